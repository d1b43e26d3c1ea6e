"""Differences to a reference model, tested."""

import functools
import math

import pandas as pd

from bioclinical.errors import UserError
from bioclinical.results.store import Result, read_predictions
from bioclinical.statistics import Run, compare, holm, is_comparable

COMPARISON = ("difference", "difference_low", "difference_high", "p")


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
