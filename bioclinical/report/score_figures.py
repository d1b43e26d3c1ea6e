"""Figures of scores and differences with what is known of their uncertainty.

Each takes a measured panel and the comparisons with a reference, and gives None where there is nothing to show; the
page and notebooks/downstream_results_exploration.ipynb share them.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bioclinical.metrics.metric import Metric
from bioclinical.report.drawing import axes, color, height_of, label_rows, wrapped
from bioclinical.results.compare import Comparison, Measured
from bioclinical.results.significance import Estimate
from bioclinical.results.table import p_value


def seeds(measured: Measured, comparisons: Sequence[Comparison]) -> Figure | None:
    """Every seed's score, their mean, its 95 % interval, and the thinner one over documents alone."""
    panel, metric = measured.panel, measured.panel.official
    rows = [row for row in panel.rows if len(row.scores(metric))]
    if not rows:
        return None
    labels = [wrapped(row.name) for row in rows]
    figure, (ax,) = axes(height_of(labels))
    for y, row in enumerate(rows):
        scores = scale(metric) * row.scores(metric)
        draw_intervals(ax, y, measured.estimate(row, metric), metric, color(panel, row), limited=True)
        ax.plot(scores, np.full(len(scores), y), "o", color=color(panel, row), ms=6, mec="white", mew=0.8, zorder=3)
        ax.plot(scores.mean(), y, "|", color="black", ms=18, mew=2, zorder=4)
    label_rows(ax, labels)
    ax.margins(x=0.06)
    ax.set_xlabel(axis_label(metric) + baseline_text(measured))
    return figure


def differences(measured: Measured, comparisons: Sequence[Comparison]) -> Figure | None:
    """Differences to the reference with both intervals, and p where it is given."""
    groups = {row.group for row in measured.panel.rows}
    own = [c for c in comparisons if c.other.group in groups]
    if not own:
        return None
    labels = [f"{wrapped(c.other.name)}\n{c.metric.name}: {verdict(c)}" for c in own]
    figure, (ax,) = axes(height_of(labels))
    for y, c in enumerate(own):
        draw_intervals(ax, y, c.estimate, c.metric, color(measured.panel, c.other), limited=False)
        ax.plot(scale(c.metric) * c.estimate.value, y, "s", color=color(measured.panel, c.other), zorder=3)
    ax.axvline(0, color="black", lw=1)
    label_rows(ax, labels)
    better = "right" if own[0].metric.higher_is_better else "left"
    unit = "percent points" if own[0].metric.in_percent else own[0].metric.name
    ax.set_xlabel(f"{unit} minus {wrapped(own[0].reference.name, 60)}; {better} of 0 is better")
    return figure


def draw_intervals(ax, y: float, estimate: Estimate | None, metric: Metric, shade: tuple, limited: bool) -> None:
    """The interval over seeds and documents as a band, the one over documents alone as a line."""
    if estimate is None:
        return
    for bounds, style in ((estimate.interval, {"lw": 9, "alpha": 0.28}), (estimate.document_interval, {"lw": 1.5})):
        if not any(map(math.isnan, bounds)):
            low, high = np.clip(bounds, metric.low, metric.high) if limited else bounds
            ax.plot([scale(metric) * low, scale(metric) * high], [y, y], color=shade, solid_capstyle="butt", **style)


def verdict(comparison: Comparison) -> str:
    """p after Holm, or why there is none."""
    if math.isnan(comparison.estimate.p):
        return f"no p; needs {comparison.needs}" if comparison.needs else "no p"
    p = p_value(comparison.p_holm)
    return f"p {p}" if p.startswith("<") else f"p = {p}"


def scale(metric: Metric) -> float:
    return 100.0 if metric.in_percent else 1.0


def axis_label(metric: Metric) -> str:
    return metric.name + (", percent" if metric.in_percent else "")


def baseline_text(measured: Measured) -> str:
    metric, panel = measured.panel.official, measured.panel
    value = panel.baseline.get(metric.name)
    return "" if value is None else f"; {panel.baseline_name.strip('()')} {metric.display(value)}"
