"""Figures of classes: their F1, and which are taken for which."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bioclinical.report.drawing import axes, draw_matrix, wrapped
from bioclinical.results.class_table import class_scores
from bioclinical.results.compare import Comparison, Measured


def classes(measured: Measured, comparisons: Sequence[Comparison]) -> Figure | None:
    """F1 of each label or entity type, mean over seeds; the number of gold ones in parentheses."""
    rows = [row for row in measured.panel.rows if row.runs]
    scores = [{label: (own["f1"], gold) for label, own, gold in class_scores(row)} for row in rows]
    if not any(scores):
        return None
    gold = {label: count for own in scores for label, (_, count) in own.items()}
    labels = sorted(gold, key=lambda label: -gold[label])
    f1 = np.array([[100 * own.get(label, (0.0, 0))[0] for own in scores] for label in labels])
    figure, (ax,) = axes(2.2 + 0.32 * len(labels), width=min(14, 3.5 + 0.85 * len(rows)))
    names = [f"{label} ({gold[label]:,})" for label in labels]
    draw_matrix(ax, f1, [f"{value:.1f}" for value in f1.ravel()], [row.name for row in rows], names)
    return figure


def confusions(measured: Measured, comparisons: Sequence[Comparison]) -> Figure | None:
    """Confusion matrices (rows gold, columns predicted), summed over seeds, shaded by share of the gold class."""
    rows = [row for row in measured.panel.rows if row.runs]
    tests = [[run["metrics"]["test"] for run in row.runs] for row in rows]
    if not tests or any("confusion_matrix" not in test for found in tests for test in found):
        return None
    labels = tests[0][0]["confusion_matrix"]["labels"]
    columns = min(len(tests), 3 if len(labels) <= 4 else 2)
    lines = math.ceil(len(tests) / columns)
    side = max(3.6, 0.62 * len(labels) + 1.6)
    figure, grid = axes(side * lines, columns, lines, (side + 0.6) * columns)
    for ax, row, found in zip(grid, rows, tests):
        counts = sum(np.array(test["confusion_matrix"]["rows_gold_columns_predicted"]) for test in found)
        shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        draw_matrix(ax, shares, [f"{count:,}" for count in counts.ravel()], labels, labels)
        ax.set_title(wrapped(row.name, int(9 * side)), fontsize=9)
    for ax in grid[len(tests) :]:
        ax.axis("off")
    return figure
