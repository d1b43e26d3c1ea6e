"""Figures of results, and one self-contained page of them: python -m bioclinical.results DIR --html report.html

A panel holds the results that may stand beside each other: one task, protocol and test set. Each figure is a function
of a panel, shared with notebooks/downstream_results_exploration.ipynb; it gives None where a panel has nothing to show.
"""

import base64
import html
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bioclinical.files import write_text
from bioclinical.results import BASELINE_MODEL, HEADLINE_METRICS, Result, metric_rows, printable

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1180px; margin: 2em auto; padding: 0 1.5em; }
h1, h2, h3 { line-height: 1.2; margin: 1.6em 0 .5em; } h2 { border-bottom: 2px solid #ddd; }
.wide { overflow-x: auto; } img { max-width: 100%; display: block; }
table { border-collapse: collapse; font-size: 13px; }
th, td { padding: .25em .7em; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid #bbb; }
tr:nth-child(even) { background: #f6f6f6; } td:nth-child(-n+2) { text-align: left; }
"""


@dataclass
class Panel:
    """results: finished ones, of one dataset, protocol and test set; rows: their part of the table over seeds;
    scores: percent, one row per seed and metric; names: what a figure calls each group of runs."""

    title: str
    results: list[Result]
    rows: pd.DataFrame
    scores: pd.DataFrame
    names: dict[str, str]

    @property
    def metric(self) -> str:
        """The task's headline metric."""
        return next((m for m in HEADLINE_METRICS if (self.scores["metric"] == m).any()), self.rows["metric"].iloc[0])

    def runs(self) -> dict[str, list[Result]]:
        """Name -> its results over seeds."""
        return {n: [r for r in self.results if r["identity"]["group"] == group] for group, n in self.names.items()}

    def values(self, name: str, metric: str) -> np.ndarray:
        """The scores of one name over seeds."""
        return self.scores.query("name == @name and metric == @metric")["score"].to_numpy()

    def color(self, name: str) -> tuple:
        return colormaps["tab10"](list(self.names.values()).index(name) % 10)


def panels(results: list[Result], summary: pd.DataFrame) -> list[Panel]:
    """One panel per dataset, protocol and test set."""
    finished = [result for result in results if result["status"] == "finished"]
    scores = pd.DataFrame([row for result in finished for row in metric_rows(result)])
    found = []
    for (dataset, protocol, test_set), part in scores.groupby(["dataset", "protocol", "test_set"]):
        same = summary.query("dataset == @dataset and protocol == @protocol and test_set == @test_set")
        inside = set(part["group"]) - {""}
        groups = part[part["group"] != ""].drop_duplicates("group")
        shared = set.intersection(*(set(settings.split()) for settings in groups["settings"]))
        own = [" ".join(word for word in settings.split() if word not in shared) for settings in groups["settings"]]
        names = [f"{model[-32:]} {settings}".strip() for model, settings in zip(groups["model"], own)]
        part = part.assign(name=part["group"].map(dict(zip(groups["group"], names))))
        title = f"{dataset}, protocol {protocol}, test set {test_set}"
        chosen = [result for result in finished if result["identity"]["group"] in inside]
        found.append(Panel(title, chosen, same, part, dict(zip(groups["group"], names))))
    return found


def axes(title: str, height: float, columns: int = 1, rows: int = 1, width: float = 9) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, fontsize=11)
    return figure, figure.subplots(rows, columns, squeeze=False).ravel()


def label_rows(ax: Axes, labels: list[str]) -> None:
    ax.set_yticks(range(len(labels)), labels, fontsize=8)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(axis="x", alpha=0.3)


def seed_strips(panel: Panel) -> Figure:
    """Every seed's score, the mean, and the 95 % interval of the mean; the baseline as a dashed line."""
    names = list(panel.names.values())
    figure, (ax,) = axes(f"{panel.title}: each seed, mean and 95 % interval", 1.4 + 0.5 * len(names))
    for y, (group, name) in enumerate(panel.names.items()):
        seeds = panel.values(name, panel.metric)
        row = panel.rows[(panel.rows["group"] == group) & (panel.rows["metric"] == panel.metric)].iloc[0]
        if not math.isnan(row["low"]):
            ax.plot([row["low"], row["high"]], [y, y], color=panel.color(name), lw=6, alpha=0.25)
        ax.plot(seeds, np.full(len(seeds), y), "o", color=panel.color(name), alpha=0.8)
        ax.plot(seeds.mean(), y, "|", color="black", ms=16, mew=2)
    baseline = panel.scores[(panel.scores["model"] == BASELINE_MODEL) & (panel.scores["metric"] == panel.metric)]
    if len(baseline):
        ax.axvline(baseline["score"].iloc[0], ls="--", color="gray", label="majority baseline")
        ax.legend(fontsize=8, loc="best")
    label_rows(ax, names)
    ax.set_xlabel(f"{panel.metric}, percent")
    return figure


def forest(panel: Panel) -> Figure | None:
    """Differences to the reference with their bootstrap intervals over test documents; None without a reference."""
    rows = panel.rows[panel.rows["metric"].isin(HEADLINE_METRICS) & panel.rows.get("difference", pd.Series()).notna()]
    if rows.empty:
        return None
    figure, (ax,) = axes(
        f"{panel.title}: difference to {rows['reference'].iloc[0]}, 95 % interval", 1.4 + 0.35 * len(rows)
    )
    for y, row in enumerate(rows.itertuples()):
        color = panel.color(panel.names[row.group])
        ax.plot([row.difference_low, row.difference_high], [y, y], color=color, lw=2)
        ax.plot(row.difference, y, "s", color=color)
    ax.axvline(0, color="black", lw=1)
    names = rows["group"].map(panel.names)
    label_rows(ax, [f"{n}: {m}, p = {p:.3f}" for n, m, p in zip(names, rows["metric"], rows["p_holm"])])
    ax.set_xlabel("percent points, right of 0 is better; p after Holm's correction")
    return figure


def per_class(panel: Panel) -> Figure | None:
    """F1 of each label or entity type, mean over seeds; the number of gold ones in parentheses."""
    runs = panel.runs()
    tests = {
        n: [r["metrics"]["test"].get("per_class") or r["metrics"]["test"].get("per_type") or {} for r in rs]
        for n, rs in runs.items()
    }
    support = {label: s["support"] for found in tests.values() for test in found for label, s in test.items()}
    if not support:
        return None
    labels = sorted(support, key=lambda label: -support[label])
    f1 = np.array(
        [[100 * np.mean([t.get(label, {}).get("f1", 0.0) for t in ts]) for ts in tests.values()] for label in labels]
    )
    width, size = 3.5 + 1.6 * len(runs), 1.6 + 0.3 * len(labels)
    figure, (ax,) = axes(f"{panel.title}:\nF1 by class, percent", size, width=min(width, 14))
    draw_matrix(
        ax, f1, [f"{x:.1f}" for x in f1.ravel()], list(runs), [f"{label} ({support[label]})" for label in labels]
    )
    return figure


def confusions(panel: Panel) -> Figure | None:
    """Confusion matrices summed over seeds, shaded by share of the gold class; single-label tasks only."""
    runs = {
        n: [r["metrics"]["test"]["confusion_matrix"] for r in rs]
        for n, rs in panel.runs().items()
        if "confusion_matrix" in rs[0]["metrics"]["test"]
    }
    if not runs:
        return None
    columns = min(3, len(runs))
    rows = math.ceil(len(runs) / columns)
    figure, grid = axes(
        f"{panel.title}: confusion (rows gold, columns predicted)", 4.2 * rows, columns, rows, 4.4 * columns
    )
    for ax, (name, matrices) in zip(grid, runs.items()):
        counts = sum(np.array(m["rows_gold_columns_predicted"]) for m in matrices)
        shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        draw_matrix(ax, shares, [f"{c:,}" for c in counts.ravel()], matrices[0]["labels"], matrices[0]["labels"])
        ax.set_title(name, fontsize=9)
    for ax in grid[len(runs) :]:
        ax.axis("off")
    return figure


def draw_matrix(ax: Axes, percent: np.ndarray, cells: list[str], columns: list[str], rows: list[str]) -> None:
    ax.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (y, x), text in zip(np.ndindex(percent.shape), cells):
        ax.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if percent[y, x] > 60 else "black")
    ax.set_xticks(range(len(columns)), columns, fontsize=8, rotation=30, ha="right")
    ax.set_yticks(range(len(rows)), rows, fontsize=8)


def score_by_length(panel: Panel) -> Figure:
    """Score against context length; token tasks: over words seen, over all gold entities, and in windows."""
    metrics = [m for m in ("f1", "f1_all_gold", "f1_windowed") if (panel.scores["metric"] == m).any()] or [panel.metric]
    figure, (ax,) = axes(f"{panel.title}: score against context length", 4)
    for model in sorted({result["model_name"] for result in panel.results}):
        groups = [(rs[0]["config"]["max_length"], n) for n, rs in panel.runs().items() if rs[0]["model_name"] == model]
        color = panel.color(groups[0][1])
        for metric, style in zip(metrics, ("o-", "^--", "s:")):
            points = sorted(
                (length, panel.values(n, metric).mean()) for length, n in groups if len(panel.values(n, metric))
            )
            ax.plot(*zip(*points), style, color=color, alpha=0.8, label=f"{model[-32:]}: {metric}")
    lengths = sorted({result["config"]["max_length"] for result in panel.results})
    ax.set_xscale("log", base=2)
    ax.set_xticks(lengths, [f"{length:,}" for length in lengths])
    ax.minorticks_off()
    ax.set(xlabel="context, tokens", ylabel="percent")
    ax.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside right upper")
    return figure


def quality_by_cost(panel: Panel) -> Figure:
    """The headline metric against training time and peak memory, means over seeds."""
    figure, (left, right) = axes(f"{panel.title}: quality against cost", 4, columns=2)
    for name, runs in panel.runs().items():
        score = panel.values(name, panel.metric).mean()
        seconds = np.mean([run.get("times_s", {}).get("training_steps", math.nan) for run in runs])
        memory = np.mean([run.get("peak_memory_bytes", math.nan) for run in runs])
        left.plot(seconds, score, "o", ms=9, color=panel.color(name), label=name)
        right.plot(memory / 2**30, score, "o", ms=9, color=panel.color(name))
    left.set(xlabel="training steps, seconds a run", ylabel=f"{panel.metric}, percent")
    right.set(xlabel="peak memory, GiB")
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.margins(0.15)
    figure.legend(fontsize=8, loc="outside lower center", ncols=2)
    return figure


FIGURES = (seed_strips, forest, per_class, confusions, score_by_length, quality_by_cost)


def write_report(path: Path, results: list[Result], summary: pd.DataFrame, notes: list[str]) -> None:
    """One page: what was left out, then a table and the figures of each panel; it loads nothing."""
    body = [f"<p>{html.escape(note)}</p>" for note in notes]
    for panel in panels(results, summary):
        shown = printable(panel.rows).drop(columns=["dataset", "protocol"])
        body += [
            f"<h2>{html.escape(panel.title)}</h2>",
            f'<div class="wide">{shown.to_html(index=False, border=0)}</div>',
        ]
        for draw in FIGURES:
            if figure := draw(panel):
                body.append(f'<img alt="{draw.__name__}" src="data:image/png;base64,{as_png(figure)}">')
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    write_text(
        path,
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" '
        f'content="{policy}"><title>Results</title><style>{STYLE}</style><h1>Results</h1>'
        + "\n".join(body)
        + "</html>\n",
    )


def as_png(figure: Figure) -> str:
    """The figure as base64 PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return base64.b64encode(buffer.getvalue()).decode()
