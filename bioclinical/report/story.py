"""The quickstart's story in a table and a picture: masked accuracy and task scores before and after pre-training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

from bioclinical.errors import UserError
from bioclinical.pretraining.training.metrics_file import read_metrics
from bioclinical.results.analysis import analyse
from bioclinical.results.collection import read_results
from bioclinical.results.compare import Comparison, Measured
from bioclinical.results.panel import panels
from bioclinical.results.table import interval, interval_of, p_value


@dataclass
class Story:
    """text: a row per model and one for their difference. means: the same means in percent, to be drawn."""

    text: pd.DataFrame
    means: pd.DataFrame


def tell(masked: dict[str, float], results: Path) -> Story:
    """masked: model -> masked accuracy (fraction), the untrained model first. results: folder of both models' runs.

    Raises UserError where a model has no results.
    """
    before, after = masked
    analysis = analyse(panels(read_results(results)[0]), before)
    means = pd.DataFrame({"masked accuracy": {model: 100 * value for model, value in masked.items()}})
    text = means.map("{:.2f}".format)
    text.loc["difference"] = f"{100 * (masked[after] - masked[before]):+.2f}"
    for measured, found in zip(analysis.measured, of_model(analysis.comparisons, analysis.measured, after)):
        metric = measured.panel.official
        name = f"{measured.panel.dataset} {metric.name}"
        for row in (row for row in measured.panel.rows if row.model in masked):
            means.loc[row.model, name] = 100 * row.scores(metric).mean()
            text.loc[row.model, name] = f"{means.loc[row.model, name]:.2f} {interval_of(measured, row)}"
        bounds = interval(metric, found.estimate.interval, limited=False)
        text.loc["difference", name] = f"{100 * found.estimate.value:+.2f} {bounds}, p {p_value(found.estimate.p)}"
    return Story(text, means)


def of_model(comparisons: Sequence[Comparison], measured: Sequence[Measured], model: str) -> list[Comparison]:
    """For each panel, the comparison of this model with the reference. Raises UserError where it has none."""
    found = []
    for one in measured:
        groups = {row.group for row in one.panel.rows}
        own = [c for c in comparisons if c.other.model == model and c.other.group in groups]
        if len(own) != 1:
            raise UserError(f"{one.panel.dataset} has {len(own)} results of '{model}' to compare; it should have one")
        found += own
    return found


def draw(means: pd.DataFrame, runs: list[Path]) -> plt.Figure:
    """Left: training loss and evaluated cross-entropy over all phases; right: the table as bars."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    offset = 0
    for run, color in zip(runs, ("tab:blue", "tab:orange", "tab:green", "tab:red")):
        frame = pd.DataFrame(read_metrics(run))
        for name, style in (("loss/train/total", "-"), ("metrics/eval/LanguageCrossEntropy", "o--")):
            points = frame.dropna(subset=[name])
            label = f"{run.name}, {'training' if style == '-' else 'evaluation'}"
            left.plot(offset + points["token"], points[name], style, color=color, label=label, alpha=0.9)
        offset += frame["token"].max()
    left.set(xlabel="tokens", ylabel="cross-entropy per masked token", title="Pre-training")
    left.legend(fontsize=8)
    means.T.plot.bar(ax=right, rot=0, ylim=(0, 115), ylabel="percent", title="Before and after")
    right.legend(loc="upper left", ncols=2, fontsize=8)
    for bars in right.containers:
        right.bar_label(bars, fmt="%.1f", fontsize=8)
    return figure
