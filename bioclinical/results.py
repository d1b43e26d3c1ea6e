"""One JSON file per run: its path and identity, writing, reading, and the table over seeds.

python -m bioclinical.results outputs [--dataset D] [--reference MODEL] [--csv FILE] [--markdown FILE] [--html FILE]
"""

import argparse
import dataclasses
import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bioclinical.errors import UserError, first_line, run_cli
from bioclinical.files import atomic_path, remove, sha256_of_json, write_json, write_text
from bioclinical.finetuning.settings import Settings
from bioclinical.metrics import scalars
from bioclinical.statistics import Run, compare, holm, is_comparable, seed_interval

Result = dict[str, Any]

REQUIRED_KEYS = ("dataset", "model", "model_name", "protocol", "seed", "status", "config", "metrics", "identity")
COMPARISON = ("difference", "difference_low", "difference_high", "p")
BASELINE_MODEL = "(majority baseline)"
# Shown in the terminal and in Markdown, in this order, where a task has them; the CSV holds every scalar metric.
HEADLINE_METRICS = (
    "micro_f1_5",
    "weighted_f1",
    "micro_f1",
    "macro_f1",
    "accuracy",
    "f1",
    "f1_all_gold",
    "f1_windowed",
    "ece",
)
SCORE_COLUMNS = ["dataset", "protocol", "test_set", "model", "settings", "metric", "group", "seed", "score"]
STATISTICS = ("mean", "sd", "median", "min", "max")


@dataclass(frozen=True)
class Identity:
    """What decides a run's scores, as hashes: the same identity is the same run."""

    dataset: str
    model: str
    model_sha256: str
    raw_sha256: str
    protocol: str
    settings: dict[str, Any]
    seed: int

    @property
    def model_name(self) -> str:
        """A folder's own name, or the hub id."""
        return Path(self.model).resolve().name if Path(self.model).is_dir() else self.model

    @property
    def group(self) -> str:
        """Common to runs that differ only in their seed."""
        return sha256_of_json(
            [self.dataset, self.model_sha256, self.raw_sha256, self.protocol, {**self.settings, "seed": None}]
        )

    def path(self, output_dir: Path) -> Path:
        """`<output_dir>/<dataset>/<model>-<8 hex>/seed=<n>_<8 hex>.json`."""
        model = self.model_name.replace("/", "--")
        run = sha256_of_json([self.group, self.seed])
        return output_dir / self.dataset / f"{model}-{self.model_sha256[:8]}" / f"seed={self.seed}_{run[:8]}.json"


def predictions_path(result_path: Path) -> Path:
    """The JSON lines beside a result: ids, gold and predicted labels, no text."""
    return result_path.with_suffix(".predictions.jsonl")


def write_result(path: Path, result: Result, predictions: list[dict[str, Any]]) -> None:
    """Writes predictions, then the result; the result's file exists only when both are complete."""
    remove(predictions_path(path))
    if predictions:
        write_text(predictions_path(path), "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in predictions))
    write_json(path, result)


def read_result(path: Path) -> Result:
    """One result; raises UserError naming what is wrong with the file."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"'{path}' is not a readable result ({type(error).__name__}); --overwrite replaces it"
        ) from error
    missing = [key for key in REQUIRED_KEYS if not isinstance(result, dict) or key not in result]
    if missing:
        raise UserError(f"'{path}' is not a result file: it lacks {', '.join(missing)}")
    return result


def read_predictions(result: Result) -> list[dict[str, Any]]:
    """The predictions beside a result that came from `read_results`; raises UserError where they cannot be read."""
    path = predictions_path(Path(result["path"]))
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read ({type(error).__name__}); --overwrite repeats the run") from error


def is_finished(path: Path) -> bool:
    """Whether a run's result stands there, complete."""
    return path.exists() and read_result(path)["status"] == "finished"


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


def table(results: list[Result]) -> pd.DataFrame:
    """One row per dataset, protocol, model, settings and metric: mean, sd, 95 % interval, median, min, max over seeds.

    Scores in percent. sd is the sample's (n - 1); it and the interval (`low`, `high`) are empty for one seed. The
    baseline row needs no seed.
    """
    frame = pd.DataFrame(
        [row for result in results for row in metric_rows(result)],
        columns=SCORE_COLUMNS,
    )
    keys = ["dataset", "protocol", "test_set", "group", "model", "settings", "metric"]
    scores = frame.drop_duplicates([*keys, "seed"]).groupby(keys, sort=False)["score"]
    summary = scores.agg(["mean", "std", "median", "min", "max", "count"])
    intervals = np.array([seed_interval(values.dropna().to_numpy()) for _, values in scores]).reshape(-1, 2)
    summary[["low", "high"]] = intervals.clip(0, 100)  # no score lies beyond
    summary = summary.reset_index()
    summary = summary.rename(columns={"std": "sd", "count": "n"})
    failed = pd.Series([r["identity"]["group"] for r in results if r["status"] == "failed"], dtype=str).value_counts()
    summary["failed"] = summary["group"].map(failed).fillna(0).astype(int)
    summary = summary.sort_values(["dataset", "protocol", "test_set", "metric"], key=metric_order, kind="stable")
    return summary.reset_index(drop=True)


def metric_order(column: pd.Series) -> pd.Series:
    """Sorts metrics by HEADLINE_METRICS first, everything else as it is."""
    if column.name != "metric":
        return column
    order = {name: f"{i:02d}" for i, name in enumerate(HEADLINE_METRICS)}
    return column.map(lambda name: order.get(name, "99" + name))


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


def compared(summary: pd.DataFrame, results: list[Result], reference: str) -> tuple[pd.DataFrame, list[str]]:
    """The table with each model's difference to the reference (percent points, 95 % bootstrap interval over documents,
    p, p after Holm), and a sentence for each model and metric that was not compared.

    Raises UserError where the reference is unknown or nothing can be compared with it.
    """
    models = sorted({result["model_name"] for result in results})
    if reference not in models:
        raise UserError(f"--reference: no results of '{reference}'; there are {', '.join(models)}")

    @functools.cache
    def runs(group: str) -> list[Run]:
        finished = [r for r in results if r["status"] == "finished" and r["identity"]["group"] == group]
        return [(result, read_predictions(result)) for result in finished]

    summary, notes = summary.copy(), []
    summary[[*COMPARISON, "p_holm"]] = math.nan
    summary["reference"] = reference
    is_reference = summary["model"] == reference
    for _key, rows in summary[summary["metric"].map(is_comparable)].groupby(
        ["dataset", "protocol", "test_set", "metric"]
    ):
        candidates = rows[is_reference.loc[rows.index] & (rows["n"] > 0)]
        others = rows[~is_reference.loc[rows.index] & (rows["group"] != "") & (rows["n"] > 0)]
        for i, row in others.iterrows():
            matching = candidates[candidates["settings"] == row["settings"]] if len(candidates) > 1 else candidates
            try:
                if len(matching) != 1:
                    raise UserError(no_reference(reference, row, summary[is_reference], len(candidates)))
                found = compare(runs(matching["group"].item()), runs(row["group"]), row["metric"])
                summary.loc[i, list(COMPARISON)] = [100 * found.difference, 100 * found.low, 100 * found.high, found.p]
            except UserError as error:
                notes.append(f"not compared: {error}")
        done = rows.index[summary.loc[rows.index, "p"].notna()]
        summary.loc[done, "p_holm"] = holm(summary.loc[done, "p"].tolist())
    if summary["p"].isna().all():
        raise UserError(notes[0] if notes else f"there is no other model to compare with '{reference}'")
    return summary, list(dict.fromkeys(notes))


def no_reference(reference: str, row: pd.Series, of_reference: pd.DataFrame, candidates: int) -> str:
    """Why the reference has no result that a row can be compared with."""
    if candidates:
        return f"'{reference}' has {candidates} settings for {row['dataset']}, none those of '{row['model']}'"
    there = of_reference[of_reference["dataset"] == row["dataset"]]
    tested = sorted({f"{r.protocol} (test set {r.test_set})" for r in there.itertuples()}) or ["nothing of it"]
    return (
        f"'{row['model']}' was tested on {row['dataset']} under {row['protocol']} (test set {row['test_set']}), "
        f"'{reference}' under {', '.join(tested)}; scores of different test sets or protocols say nothing about models"
    )


def printable(summary: pd.DataFrame) -> pd.DataFrame:
    """Headline metrics with two decimals, internal columns dropped; the test set only where there are several."""
    shown = summary[summary["metric"].isin(HEADLINE_METRICS)].drop(
        columns=["group", "reference", "name"], errors="ignore"
    )
    low, high = shown.pop("low"), shown.pop("high")
    shown.insert(list(shown).index("sd") + 1, "interval_95", [interval(*bounds) for bounds in zip(low, high)])
    if "p" in shown:
        low, high = shown.pop("difference_low"), shown.pop("difference_high")
        shown.insert(list(shown).index("p"), "difference_95", [interval(*bounds) for bounds in zip(low, high)])
        for column, digits in (("difference", "{:+.2f}"), ("p", "{:.3f}"), ("p_holm", "{:.3f}")):
            shown[column] = ["-" if pd.isna(value) else digits.format(value) for value in shown[column]]
    if shown.groupby(["dataset", "protocol"])["test_set"].nunique().max() == 1:
        shown = shown.drop(columns="test_set")
    if not shown["failed"].any():
        shown = shown.drop(columns="failed")
    for column in STATISTICS:
        shown[column] = shown[column].map(lambda value: "-" if pd.isna(value) else f"{value:.2f}")
    return shown


def interval(low: float, high: float) -> str:
    """Two decimals; a dash where there is none."""
    return "-" if pd.isna(low) else f"[{low:.2f}, {high:.2f}]"


def to_markdown(frame: pd.DataFrame) -> str:
    """A GitHub table."""
    lines = [list(frame.columns), ["---"] * len(frame.columns), *frame.astype(str).values.tolist()]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Table over seeds from result files; scores in percent.")
    parser.add_argument("output_dir", help="the folder given to main.py as --output_dir")
    parser.add_argument("--dataset", help="only this one")
    parser.add_argument("--reference", metavar="MODEL", help="add each model's difference to this one, tested")
    parser.add_argument("--html", metavar="FILE", help="write a page of tables and figures that needs no network")
    parser.add_argument("--csv", metavar="FILE", help="write every metric, unrounded")
    parser.add_argument("--markdown", metavar="FILE", help="write the printed table as Markdown")
    args = parser.parse_args()
    results, problems = read_results(Path(args.output_dir), args.dataset)
    for problem in problems:
        print(f"skipped: {problem}")
    if not results:
        raise UserError(f"no results under '{args.output_dir}'" + (f" for {args.dataset}" if args.dataset else ""))
    summary, notes = table(results), []
    if args.reference:
        summary, notes = compared(summary, results, args.reference)
    shown = [printable(rows) for _, rows in summary.groupby("protocol")]  # no column mixes protocols
    print("\n\n".join(rows.to_string(index=False) for rows in shown))
    if single := sorted(set(summary.loc[(summary["n"] == 1) & (summary["group"] != ""), "model"])):
        notes.append(f"no interval over seeds where there is one seed only: {', '.join(single)}")
    print("\n".join(["", *notes]) if notes else "", end="\n" if notes else "")
    if args.html:
        from bioclinical.report import write_report  # matplotlib takes a second to load

        write_report(Path(args.html), results, summary, [*problems, *notes])
    if args.csv:
        with atomic_path(Path(args.csv)) as partial:
            summary.to_csv(partial, index=False)
    if args.markdown:
        write_text(Path(args.markdown), "\n".join(map(to_markdown, shown)))


if __name__ == "__main__":
    run_cli(main)
