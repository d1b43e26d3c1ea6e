"""All results below a folder, and what is wrong with the files that are none."""

import math
from pathlib import Path
from typing import Any

from bioclinical import problems
from bioclinical.errors import UserError
from bioclinical.results.store import Result, read_result

SHAPE: dict[str, type] = {
    "dataset": str,
    "model": str,
    "model_name": str,
    "protocol": str,
    "problem": str,
    "seed": int,
    "labels": list,
    "config": dict,
    "metrics": dict,
    "identity": dict,
}
IN_CONFIG: dict[str, Any] = {"lr": (int, float), "epochs": int, "batch_size": int, "max_length": int}
IN_IDENTITY = ("group", "raw_sha256", "model_sha256")


def read_results(output_dir: Path, dataset: str | None = None) -> tuple[list[Result], list[str]]:
    """All results below a folder (with their `path`), and a sentence for each unreadable file and unfinished run."""
    results = []
    skipped = [
        f"'{run.with_suffix('.json')}' is not finished; main.py --resume continues it"
        for run in sorted(Path(output_dir).glob("*/*/seed=*.run"))
        if not run.with_suffix(".json").exists()
    ]
    for path in sorted(Path(output_dir).glob("*/*/seed=*.json")):
        try:
            result = read_result(path) | {"path": str(path)}
            if found := fault(result):
                raise UserError(f"'{path}' is not a result file: {found}")
        except UserError as error:
            skipped.append(str(error))
            continue
        if dataset is None or result["dataset"].lower() == dataset.lower():
            results.append(result)
    return results, skipped


def fault(result: Result) -> str | None:
    """What of a result cannot be used; None for a good one."""
    for key, kind in SHAPE.items():
        if not isinstance(result.get(key), kind) or result[key] == "":
            return f"its `{key}` is missing or no {kind.__name__}"
    if result["status"] not in ("finished", "failed"):
        return f"its status is '{result['status']}', neither finished nor failed"
    for key, kind in IN_CONFIG.items():
        if not isinstance(result["config"].get(key), kind):
            return f"its `config` has no usable {key}"
    for key in IN_IDENTITY:
        if not isinstance(result["identity"].get(key), str):
            return f"its `identity` has no {key}"
    if not all(isinstance(label, str) for label in result["labels"]):
        return "its `labels` are not all names"
    try:
        problems.get(result["problem"]).metrics(result["labels"], result.get("negative_label"), result.get("metric"))
    except UserError as error:
        return str(error)
    test = result["metrics"].get("test")
    if result["status"] == "finished" and not isinstance(test, dict):
        return "it has no test metrics"
    numbers = [value for value in (test or {}).values() if isinstance(value, (int, float))]
    return None if all(map(math.isfinite, numbers)) else "its test metrics are not all finite"
