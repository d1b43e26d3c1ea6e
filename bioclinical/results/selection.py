"""Trials from which one setting was chosen on validation: the record of the choice, and what tables make of it.

A record stands beside the results: `<output>/<dataset>/<model>-<8hex>/selection-<8hex>.json`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioclinical import problems
from bioclinical.errors import UserError
from bioclinical.files import sha256_of_json, write_json
from bioclinical.results.store import Result, read_json_object, read_result

Trials = dict[str, list[Path | None]]  # setting -> the result of each of its runs, None where a run failed
REQUIRED_KEYS = ("select_on", "setting", "metric", "chosen", "trials")


def select(setting: str, trials: Trials) -> dict[str, Any]:
    """The record of a choice: the trial with the best mean validation score among those without a failed run.

    Raises UserError where every trial has one.
    """
    results = {value: [read_result(path) for path in paths if path] for value, paths in trials.items()}
    whole = [value for value, paths in trials.items() if all(paths)]
    if not whole:
        raise UserError(f"no {setting} was chosen: every one of {', '.join(trials)} has a failed run")
    sample = results[whole[0]][0]
    metric = problems.get(sample["problem"]).metrics(
        sample["labels"], sample.get("negative_label"), sample["selection_metric"]
    )[0]
    best_of = max if metric.higher_is_better else min
    scores = {value: [best_of(e[metric.name] for e in run["metrics"]["validation"]) for run in results[value]]
              for value in whole}  # fmt: skip
    means = {value: sum(own) / len(own) for value, own in scores.items()}
    chosen = best_of(whole, key=means.__getitem__)
    return {
        "select_on": "validation",
        "setting": setting,
        "metric": metric.name,
        "chosen": results[chosen][0]["identity"]["group"],
        "trials": [
            {
                "value": value,
                "group": results[value][0]["identity"]["group"] if results[value] else None,
                "validation": means.get(value),
                "seeds": [run["seed"] for run in results[value]],
                "failed": sum(path is None for path in paths),
            }
            for value, paths in trials.items()
        ],
    }


def write_selection(setting: str, trials: Trials) -> tuple[Path, dict[str, Any]]:
    """Chooses and writes the record beside the results; the same trials give the same file."""
    record = select(setting, trials)
    folder = next(path for paths in trials.values() for path in paths if path).parent
    name = sha256_of_json([record["setting"], [trial["group"] for trial in record["trials"]]])[:8]
    path = folder / f"selection-{name}.json"
    write_json(path, record)
    return path, record


def read_selections(output_dir: Path) -> list[dict[str, Any]]:
    """All records below a folder. Raises UserError for a file that is none."""
    found = []
    for path in sorted(Path(output_dir).glob("*/*/selection-*.json")):
        record = read_json_object(path)
        if missing := [key for key in REQUIRED_KEYS if key not in record]:
            raise UserError(f"'{path}' is no record of a choice: it lacks {', '.join(missing)}; remove it")
        found.append(record)
    return found


def chosen_results(results: Sequence[Result], records: Sequence[dict[str, Any]]) -> list[Result]:
    """The results without the trials that were not chosen; a chosen one holds its record as `selection`."""
    of_chosen = {record["chosen"]: record for record in records}
    rejected = {trial["group"] for record in records for trial in record["trials"]} - set(of_chosen)
    return [
        result | ({"selection": of_chosen[group]} if group in of_chosen else {})
        for result in results
        if (group := result["identity"]["group"]) not in rejected
    ]


def trials_note(name: str, record: dict[str, Any]) -> str:
    """What a reader of a chosen row must know."""
    tried = ", ".join(
        trial["value"] + (f" ({100 * trial['validation']:.2f})" if trial["validation"] is not None else " (failed)")
        for trial in record["trials"]
    )
    how = f"from {len(record['trials'])} trials by validation {record['metric']}"
    return f"'{name}' was chosen {how}: {record['setting']} {tried}"
