"""The table over seeds, for the terminal, Markdown and the page."""

import numpy as np
import pandas as pd

from bioclinical.results.collection import SCORE_COLUMNS, metric_rows
from bioclinical.results.store import Result
from bioclinical.statistics import seed_interval

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
STATISTICS = ("mean", "sd", "median", "min", "max")


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
