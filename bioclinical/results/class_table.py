"""Precision, recall and F1 of each class or entity type."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bioclinical.results.panel import Panel, Row
from bioclinical.results.table import Cell, Table

CLASS_SCORES = ("precision", "recall", "f1")


def class_table(panel: Panel) -> Table | None:
    """Precision, recall and F1 of each class or entity type, means over seeds, in percent; gold ones counted."""
    cells = [
        [Cell(row.name), Cell(label), *(Cell(f"{100 * scores[k]:.2f}") for k in CLASS_SCORES), Cell(f"{gold:,}")]
        for row in panel.rows
        for label, scores, gold in class_scores(row)
    ]
    return Table(f"{panel.title}: classes", ["model", "class", *CLASS_SCORES, "gold"], cells) if cells else None


def class_scores(row: Row) -> list[tuple[str, dict[str, float], int]]:
    """(label, its mean precision, recall and F1 over seeds, gold examples) for each class, by falling number."""
    tests = [run["metrics"]["test"] for run in row.runs]
    per_label = [test.get("per_class") or test.get("per_type") or {} for test in tests]
    labels = dict.fromkeys(label for own in per_label for label in own)
    empty = {**dict.fromkeys(CLASS_SCORES, 0.0), "support": 0}
    found = []
    for label in labels:
        own = [scores.get(label, empty) for scores in per_label]
        means = {key: float(np.mean([scores[key] for scores in own])) for key in CLASS_SCORES}
        found.append((label, means, max(scores["support"] for scores in own)))
    return sorted(found, key=lambda entry: -entry[2])


def class_frame(all_panels: Sequence[Panel]) -> pd.DataFrame:
    """The class tables unrounded, as fractions."""
    return pd.DataFrame(
        [
            {"dataset": panel.dataset, "protocol": panel.protocol, "test_set": panel.test_set, "model": row.model}
            | {"settings": row.settings, "class": label, **scores, "gold": gold}
            for panel in all_panels
            for row in panel.rows
            for label, scores, gold in class_scores(row)
        ]
    )
