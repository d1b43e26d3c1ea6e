"""BLURB's submission: one JSON file a task with a model's test predictions.

The leaderboard takes one prediction file a task. Of several seeds the one with the best validation score is taken;
choosing by the test score would be choosing on the test set.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioclinical import problems
from bioclinical.errors import UserError
from bioclinical.files import write_json
from bioclinical.results.store import Result, read_predictions

# Our task -> `dataset_name`, as far as they are known from published submissions (BioM-Transformers' scripts).
DATASET_NAMES = {
    "BC5CDR-chem": "BC5CDR-chem",
    "BC5CDR-disease": "BC5-disease",
    "NCBI-disease": "NCBI-disease",
    "BC2GM": "BC2GM",
    "JNLPBA": "JNLPBA",
    "PICO": "EBM PICO",
    "ChemProt-BLURB": "ChemProt",
    "DDI-BLURB": "DDI",
    "GAD": "GAD",
    "BIOSSES": "BIOSSES",
    "HoC-BLURB": "HoC",
    "PubMedQA": "PubMedQA",
    "BioASQ-yesno": "BioASQ",
}


def write_submissions(results: Sequence[Result], folder: Path) -> list[Path]:
    """`<folder>/<model>/<dataset_name>.json` for every BLURB task with a finished run on all its test examples.

    Raises UserError where there is none.
    """
    runs: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        is_whole = result["status"] == "finished" and result["config"].get("limit") is None
        if result["dataset"] in DATASET_NAMES and result["protocol"] == "paper" and is_whole:
            runs[result["model_name"], result["dataset"]].append(result)
    if not runs:
        raise UserError("--submission: no finished run of a BLURB task under the paper protocol (without --limit)")
    written = []
    for (model, dataset), seeds in sorted(runs.items()):
        path = folder / model.replace("/", "--") / f"{DATASET_NAMES[dataset].replace(' ', '-')}.json"
        write_json(path, submission(best_by_validation(seeds)))
        written.append(path)
    return written


def best_by_validation(runs: Sequence[Result]) -> Result:
    """The run with the best validation score of its best epoch; the lowest seed where several have it."""

    def score(run: Result) -> float:
        name = run["selection_metric"]
        metric = problems.get(run["problem"]).metrics(run["labels"], run.get("negative_label"), name)[0]
        sign = 1 if metric.higher_is_better else -1
        return max(sign * epoch[name] for epoch in run["metrics"]["validation"])

    return max(sorted(runs, key=lambda run: run["seed"]), key=score)


def submission(run: Result) -> dict[str, Any]:
    """One task's predictions: a label, a number, a list of 0 and 1, or a list of tags for each test example."""
    return {
        "dataset_name": DATASET_NAMES[run["dataset"]],
        "model_name": run["model_name"],
        "predictions": {prediction["id"]: prediction["predicted"] for prediction in read_predictions(run)},
    }
