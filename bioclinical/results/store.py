"""One JSON file per run, its predictions beside it: writing, reading."""

import json
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError
from bioclinical.files import remove, write_json, write_text

Result = dict[str, Any]
REQUIRED_KEYS = ("dataset", "model", "model_name", "protocol", "seed", "status", "config", "metrics", "identity")


def predictions_path(result_path: Path) -> Path:
    """The JSON lines beside a result: ids, gold and predicted labels, no text."""
    return result_path.with_suffix(".predictions.jsonl")


def write_result(path: Path, result: Result, predictions: list[dict[str, Any]]) -> None:
    """Writes predictions, then the result; the result's file exists only when both are complete."""
    remove(predictions_path(path))
    if predictions:
        write_text(predictions_path(path), "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in predictions))
    write_json(path, result)


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object; raises UserError where the file holds none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"'{path}' is not a readable result ({type(error).__name__}); --overwrite replaces it"
        ) from error
    return found if isinstance(found, dict) else {}


def read_result(path: Path) -> Result:
    """One result; raises UserError naming what is wrong with the file."""
    result = read_json_object(path)
    missing = [key for key in REQUIRED_KEYS if key not in result]
    if missing:
        raise UserError(f"'{path}' is not a result file: it lacks {', '.join(missing)}")
    return result


def read_predictions(result: Result) -> list[dict[str, Any]]:
    """The predictions beside a result that came from `read_results`; raises UserError where they cannot be read."""
    path = predictions_path(Path(result["path"]))
    try:
        # Lines end with \n alone: an id may hold a line separator of Unicode. One list is read faster than its lines.
        lines = path.read_text(encoding="utf-8").strip("\n").replace("\n", ",")
        predictions = json.loads(f"[{lines}]")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"'{path}' cannot be read ({type(error).__name__}); --overwrite repeats the run") from error
    if not all(isinstance(prediction, dict) for prediction in predictions):
        raise UserError(f"'{path}' does not hold predictions; --overwrite repeats the run")
    return predictions


def is_finished(path: Path) -> bool:
    """Whether a run's result stands there, complete."""
    return path.exists() and read_result(path)["status"] == "finished"


def store_label(path: Path, label: str | None) -> None:
    """A label is no setting: a finished run takes a new one."""
    result = read_result(path)
    if label and result.get("model_label") != label:
        write_json(path, result | {"model_label": label})
