"""All results below a folder, and the scores that they hold."""

import dataclasses
import math
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError, first_line
from bioclinical.files import sha256_of_json
from bioclinical.finetuning.settings import Settings
from bioclinical.metrics.metric import scalars
from bioclinical.results.store import Result, read_result

BASELINE_MODEL = "(majority baseline)"
SCORE_COLUMNS = ["dataset", "protocol", "test_set", "model", "settings", "metric", "group", "seed", "score"]


def read_results(output_dir: Path, dataset: str | None = None) -> tuple[list[Result], list[str]]:
    """All results below a folder (with their `path`), and a sentence for each unreadable file and unfinished run."""
    results = []
    problems = [
        f"'{run.with_suffix('.json')}' is not finished; main.py --resume continues it"
        for run in sorted(Path(output_dir).glob("*/*/seed=*.run"))
        if not run.with_suffix(".json").exists()
    ]
    for path in sorted(Path(output_dir).glob("*/*/seed=*.json")):
        try:
            result = read_result(path) | {"path": str(path)}
            if result["status"] not in ("finished", "failed"):
                raise UserError(f"'{path}' is not finished (its status is '{result['status']}')")
            metric_rows(result)
            wanted = dataset is None or result["dataset"].lower() == dataset.lower()
        except UserError as error:
            problems.append(str(error))
            continue
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append(f"'{path}' is not a result file ({type(error).__name__}: {first_line(error)})")
            continue
        if wanted:
            results.append(result)
    return results, problems


def metric_rows(result: Result) -> list[dict[str, Any]]:
    """The test scores of one result (fractions become percent) and its baseline's; NaN for a run that failed."""
    identity = result["identity"]
    common = {
        "dataset": result["dataset"],
        "protocol": result["protocol"],
        "test_set": sha256_of_json([identity["raw_sha256"], result["config"].get("limit")])[:8],
    }
    run = {"model": result["model_name"], "settings": described_settings(result["config"])}
    baseline = {"model": BASELINE_MODEL, "settings": "", "group": "", "seed": 0}
    run |= {"group": identity["group"], "seed": result["seed"]}
    if result["status"] == "failed":
        return [common | run | {"metric": result["selection_metric"], "score": math.nan}]
    rows = []
    for name, value in scalars(result["metrics"].get("test", {})).items():
        if is_fraction(name):
            rows.append(common | run | {"metric": name, "score": 100 * value})
    for name, value in scalars(result["metrics"].get("baseline", {})).items():
        if is_fraction(name):
            rows.append(common | baseline | {"metric": name, "score": 100 * value})
    return rows


def is_fraction(metric: str) -> bool:
    """Counts (words, entities) are no scores."""
    return "f1" in metric or "accuracy" in metric or metric in ("precision", "recall", "ece")


def described_settings(config: dict[str, Any]) -> str:
    """The settings that users vary most, and those that differ from the published recipe."""
    shown = f"lr={config['lr']:g} epochs={config['epochs']} batch={config['batch_size']} length={config['max_length']}"
    for name, default in dataclasses.asdict(Settings()).items():
        if name not in ("lr", "epochs", "batch_size", "max_length", "seed") and config.get(name, default) != default:
            shown += f" {name}={config[name]}"
    return shown
