"""The examples that one model gets right and another does not: ids and shares of seeds, no text and no labels."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from bioclinical.errors import UserError
from bioclinical.results.panel import Panel, Row
from bioclinical.results.store import read_predictions


def disagreements(panels: Sequence[Panel], one: str, two: str) -> pd.DataFrame:
    """One row per example for which the two models' shares of seeds that are right differ, the widest apart first.

    Raises UserError where no panel has both, or a model has several settings in one.
    """
    rows = []
    for panel in panels:
        pair = [[row for row in panel.rows if name in (row.model, row.name) and row.runs] for name in (one, two)]
        if not all(pair):
            continue
        for name, found in zip((one, two), pair):
            if len(found) > 1:
                names = ", ".join(row.name for row in found)
                raise UserError(f"'{name}' has several settings for {panel.dataset}; choose one of: {names}")
        first, second = (share_right(found[0]) for found in pair)
        for example in sorted(first.keys() & second.keys()):
            if first[example] != second[example]:
                about = {"dataset": panel.dataset, "protocol": panel.protocol, "test_set": panel.test_set}
                rows.append(about | {"id": example, f"right {one}": first[example], f"right {two}": second[example]})
    if not rows:
        raise UserError(f"no task has predictions of both '{one}' and '{two}' that differ")
    frame = pd.DataFrame(rows)
    gap = (frame[f"right {one}"] - frame[f"right {two}"]).abs()
    return frame.assign(gap=gap).sort_values(["dataset", "gap"], ascending=[True, False], kind="stable")


def share_right(row: Row) -> dict[str, float]:
    """Example id -> the share of the seeds whose whole answer is the gold one."""
    right: dict[str, list[Any]] = {}
    for run in row.runs:
        for prediction in read_predictions(run):
            right.setdefault(str(prediction["id"]), []).append(prediction["gold"] == prediction["predicted"])
    return {example: sum(values) / len(values) for example, values in right.items()}
