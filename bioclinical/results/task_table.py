"""Models by tasks: the official metric of each, and the average rank."""

from collections.abc import Sequence

import numpy as np

from bioclinical.metrics.metric import Metric
from bioclinical.results.compare import Measured
from bioclinical.results.panel import Panel, Row
from bioclinical.results.table import MARKS, NONE, Cell, Table, best_rows, mean_and_sd


def task_table(all_measured: Sequence[Measured]) -> Table | None:
    """Models by tasks, the official metric of each, and the average rank over tasks that all models have.

    None where there are not two tasks, or a task occurs with several test sets. For panels of one protocol.
    """
    all_panels = [measured.panel for measured in all_measured]
    tasks = [panel.dataset for panel in all_panels]
    if len(set(tasks)) < 2 or len(set(tasks)) < len(tasks):
        return None
    names = {id(panel): overall_names(panel, all_panels) for panel in all_panels}
    models = list(dict.fromkeys(names[id(panel)][row.group] for panel in all_panels for row in panel.rows))
    columns: dict[str, dict[str, Cell]] = {}
    ranks: dict[str, list[int]] = {model: [] for model in models}
    for measured in all_measured:
        panel = measured.panel
        best, close = best_rows(measured)
        scored = [row for row in panel.rows if len(row.scores(panel.official))]
        cells = {
            names[id(panel)][row.group]: Cell(mean_and_sd(row, panel.official), row.group == best, row.group in close)
            for row in scored
        }
        columns[f"{panel.dataset} {panel.official.name}"] = cells
        if len(cells) == len(models):
            for row in scored:
                ranks[names[id(panel)][row.group]].append(rank(row, scored, panel.official))
    ranked = len(ranks[models[0]])
    rows = [
        [Cell(model), *(column.get(model, Cell(NONE)) for column in columns.values())]
        + ([Cell(f"{np.mean(ranks[model]):.2f}")] if ranked else [])
        for model in models
    ]
    heads = ["model", *columns] + ([f"average rank ({ranked} tasks)"] if ranked else [])
    return Table(f"Models by tasks, protocol {all_panels[0].protocol}", heads, rows, [MARKS])


def overall_names(panel: Panel, all_panels: Sequence[Panel]) -> dict[str, str]:
    """Group -> the model, with its settings where a panel has it with several."""
    several = {
        row.model for other in all_panels for row in other.rows if sum(r.model == row.model for r in other.rows) > 1
    }
    return {row.group: f"{row.model} {row.settings}" if row.model in several else row.model for row in panel.rows}


def rank(row: Row, rows: Sequence[Row], metric: Metric) -> float:
    """1 for the best mean; equal means share the mean of their ranks."""
    sign = 1 if metric.higher_is_better else -1
    own = sign * row.scores(metric).mean()
    means = [sign * other.scores(metric).mean() for other in rows]
    return sum(mean > own for mean in means) + (1 + sum(mean == own for mean in means)) / 2
