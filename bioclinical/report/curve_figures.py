"""Figures of one number against another: epochs, probabilities, context length, time and memory."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bioclinical.errors import UserError
from bioclinical.metrics.calibration import BINS, probabilities_and_outcomes
from bioclinical.report.drawing import axes, color, legend_below
from bioclinical.report.score_figures import axis_label, scale
from bioclinical.results.compare import Comparison, Measured
from bioclinical.results.panel import Row
from bioclinical.results.store import read_predictions


def learning(measured: Measured, comparisons: Sequence[Comparison]) -> Figure | None:
    """The validation metric that chose the epoch, and the validation loss: each seed thin, their mean thick."""
    panel = measured.panel
    rows = [row for row in panel.rows if any(history(run) for run in row.runs)]
    if not rows:
        return None
    name = rows[0].runs[0]["selection_metric"]
    figure, (left, right) = axes(4, columns=2)
    for row in rows:
        for ax, key, factor in ((left, name, 100.0), (right, "loss", 1.0)):
            curves = [[factor * epoch.get(key, math.nan) for epoch in history(run)] for run in row.runs]
            for curve in curves:
                ax.plot(range(1, len(curve) + 1), curve, color=color(panel, row), lw=0.8, alpha=0.45)
            shared = min(map(len, curves))
            mean = np.mean([curve[:shared] for curve in curves], axis=0)
            ax.plot(range(1, shared + 1), mean, "o-", color=color(panel, row), lw=2, ms=4, label=row.name)
    left.set(xlabel="epoch", ylabel=f"validation {name}, percent")
    right.set(xlabel="epoch", ylabel="validation loss")
    for ax in (left, right):
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
    legend_below(figure, left)
    return figure


def history(run: dict) -> list[dict[str, float]]:
    """Validation metrics of each epoch; empty where a result has none."""
    found = run["metrics"].get("validation") or []
    return found if isinstance(found, list) and all(isinstance(epoch, dict) for epoch in found) else []


def reliability(measured: Measured, comparisons: Sequence[Comparison]) -> Figure | None:
    """How often what was given a probability came true, all seeds together; on the diagonal it is honest."""
    figure, (left, right) = axes(4.2, columns=2)
    drawn = False
    for row in measured.panel.rows:
        pairs = probabilities(row)
        if pairs is None:
            continue
        given, true = pairs
        bins = np.minimum((given * BINS).astype(int), BINS - 1)
        counts = np.bincount(bins, minlength=BINS)
        used = counts > 0
        means = [np.bincount(bins, values, minlength=BINS)[used] / counts[used] for values in (given, true)]
        left.plot(*means, "o-", ms=4, color=color(measured.panel, row), label=row.name)
        right.plot((np.arange(BINS) + 0.5) / BINS, 100 * counts / counts.sum(), color=color(measured.panel, row))
        drawn = True
    if not drawn:
        return None
    left.plot([0, 1], [0, 1], color="gray", lw=1, ls="--")
    left.set(xlabel="probability given", ylabel="share that came true", xlim=(0, 1), ylim=(0, 1))
    right.set(xlabel="probability given", ylabel="percent of predictions", xlim=(0, 1))
    for ax in (left, right):
        ax.grid(alpha=0.3)
    legend_below(figure, left)
    return figure


def probabilities(row: Row) -> tuple[np.ndarray, np.ndarray] | None:
    """Judged probabilities of all seeds and what came true; None where a run has none or cannot be read."""
    pairs = []
    for run in row.runs:
        try:
            predictions = read_predictions(run)
            if not predictions or "probabilities" not in predictions[0]:
                return None
            pairs += [probabilities_and_outcomes(prediction) for prediction in predictions]
        except (UserError, KeyError, ValueError, TypeError):
            return None  # the table says what is wrong with the file
    return tuple(np.concatenate(values) for values in zip(*pairs)) if pairs else None


def risk_coverage(measured: Measured, comparisons: Sequence[Comparison]) -> Figure | None:
    """The share of wrong answers among those that are given, when the least certain ones are left out; all seeds
    together. What `predict --abstain_below` leaves out."""
    figure, (ax,) = axes(4.2)
    drawn = False
    for row in measured.panel.rows:
        pairs = certainties(row)
        if pairs is None:
            continue
        certainty, is_wrong = pairs
        order = np.argsort(-certainty, kind="stable")
        given = np.arange(1, len(order) + 1)
        ax.plot(
            100 * given / len(order),
            100 * np.cumsum(is_wrong[order]) / given,
            color=color(measured.panel, row),
            label=row.name,
        )
        drawn = True
    if not drawn:
        return None
    ax.set(xlabel="answers given, percent", ylabel="of these wrong, percent", xlim=(0, 100), ylim=(0, None))
    ax.grid(alpha=0.3)
    legend_below(figure, ax)
    return figure


def certainties(row: Row) -> tuple[np.ndarray, np.ndarray] | None:
    """Of every answer of all seeds (of every label where there are several): its certainty, and whether it is wrong."""
    pairs = probabilities(row)
    if pairs is None:
        return None
    given, true = pairs
    if isinstance(read_predictions(row.runs[0])[0]["gold"], list):  # a probability below one half says no
        said = given >= 0.5
        return np.where(said, given, 1 - given), said != true.astype(bool)
    return given, true == 0


def context(measured: Measured, comparisons: Sequence[Comparison]) -> Figure | None:
    """Score against context length, by each metric that differs in what it counts of long documents; None where all
    have the same context."""
    panel = measured.panel
    rows = [row for row in panel.rows if len(row.scores(panel.official))]
    lengths = {row.group: row.runs[0]["config"]["max_length"] for row in rows}
    if len(set(lengths.values())) < 2:
        return None
    same_kind = [metric for metric in panel.headline if type(metric) is type(panel.official)]
    figure, (ax,) = axes(4.5)
    for model in dict.fromkeys(row.model for row in rows):
        own = sorted((row for row in rows if row.model == model), key=lambda row: lengths[row.group])
        for metric, style in zip(same_kind, ("o-", "^--", "s:", "v-.")):
            points = [(lengths[row.group], scale(metric) * row.scores(metric).mean()) for row in own]
            ax.plot(*zip(*points), style, color=color(panel, own[0]), alpha=0.8, label=f"{model}: {metric.name}")
    ax.set_xscale("log", base=2)
    ax.set_xticks(sorted(set(lengths.values())), [f"{length:,}" for length in sorted(set(lengths.values()))])
    ax.minorticks_off()
    ax.set(xlabel="context, tokens", ylabel="percent" if panel.official.in_percent else panel.official.name)
    ax.grid(alpha=0.3)
    legend_below(figure, ax)
    return figure


def cost(measured: Measured, comparisons: Sequence[Comparison]) -> Figure | None:
    """The official metric against training time and peak memory, means over seeds; both from 0."""
    panel = measured.panel
    rows = [row for row in panel.rows if len(row.scores(panel.official))]
    if not rows:
        return None
    figure, (left, right) = axes(4, columns=2)
    for row in rows:
        score = scale(panel.official) * row.scores(panel.official).mean()
        seconds = np.mean([run.get("times_s", {}).get("training_steps", math.nan) for run in row.runs])
        memory = np.mean([run.get("peak_memory_bytes", math.nan) for run in row.runs]) / 2**30
        for ax, spent in ((left, seconds), (right, memory)):
            ax.plot(spent, score, "o", ms=9, color=color(panel, row), label=row.name)
    for ax, label in ((left, "training steps, seconds a run"), (right, "peak memory, GiB")):
        ax.grid(visible=True, alpha=0.3)
        ax.margins(0.15)
        ax.set(xlabel=label, xlim=(0, 1.15 * ax.dataLim.x1 if math.isfinite(ax.dataLim.x1) else None))
    left.set_ylabel(axis_label(panel.official))
    legend_below(figure, left)
    return figure
