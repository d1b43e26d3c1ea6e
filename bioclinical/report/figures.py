"""Figures of results.

A panel holds the results that may stand beside each other: one task, protocol and test set. Each figure is a function
of a panel, shared with notebooks/downstream_results_exploration.ipynb; it gives None where a panel has nothing to show.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bioclinical.results.collection import BASELINE_MODEL, SCORE_COLUMNS, metric_rows
from bioclinical.results.store import Result
from bioclinical.results.table import HEADLINE_METRICS


@dataclass
class Panel:
    """rows: the panel's part of the table over seeds; scores: percent, one row per seed and metric; both with `name`,
    what figures call a model with its settings. runs: name -> finished results, one a seed."""

    title: str
    rows: pd.DataFrame
    scores: pd.DataFrame
    runs: dict[str, list[Result]]

    @property
    def metric(self) -> str:
        """The task's headline metric."""
        return next(metric for metric in HEADLINE_METRICS if metric in set(self.scores["metric"]))

    def mean(self, name: str, metric: str) -> float:
        """Over seeds; NaN where the results are older than the metric."""
        return self.scores.query("name == @name and metric == @metric")["score"].mean()

    def color(self, name: str) -> tuple:
        return colormaps["tab10"](list(self.runs).index(name) % 10)


def panels(results: list[Result], summary: pd.DataFrame) -> list[Panel]:
    """One panel per dataset, protocol and test set."""
    finished = [result for result in results if result["status"] == "finished"]
    scores = pd.DataFrame([row for result in finished for row in metric_rows(result)], columns=SCORE_COLUMNS)
    keys, found = ["dataset", "protocol", "test_set"], []
    for key, part in scores.groupby(keys):
        names = display_names(part[part["group"] != ""].drop_duplicates("group"))
        runs = {name: [r for r in finished if r["identity"]["group"] == group] for group, name in names.items()}
        rows = summary[(summary[keys] == key).all(axis=1)]
        named = [frame.assign(name=frame["group"].map(names)) for frame in (rows, part)]
        found.append(Panel("{}, protocol {}, test set {}".format(*key), *named, runs))
    return found


def display_names(groups: pd.DataFrame) -> dict[str, str]:
    """Group -> the model with those of its settings that not all share; numbered where that is still ambiguous."""
    shared = set.intersection(*(set(settings.split()) for settings in groups["settings"]))
    own = groups["settings"].map(lambda settings: " ".join(word for word in settings.split() if word not in shared))
    names = (groups["model"].str[-32:] + " " + own).str.strip()
    repeats = names.groupby(names).cumcount()
    return dict(zip(groups["group"], names + repeats.map(lambda n: f" #{n + 1}" if n else "")))


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
    figure, (ax,) = axes(f"{panel.title}: each seed, mean and 95 % interval", 1.4 + 0.5 * len(panel.runs))
    scores = panel.scores[panel.scores["metric"] == panel.metric]
    rows = panel.rows[panel.rows["metric"] == panel.metric].set_index("name")
    for y, name in enumerate(panel.runs):
        seeds, color = scores.loc[scores["name"] == name, "score"], panel.color(name)
        ax.plot(rows.loc[name, ["low", "high"]], [y, y], color=color, lw=6, alpha=0.25)
        ax.plot(seeds, np.full(len(seeds), y), "o", color=color, alpha=0.8)
        ax.plot(seeds.mean(), y, "|", color="black", ms=16, mew=2)
    for baseline in scores.loc[scores["model"] == BASELINE_MODEL, "score"][:1]:
        ax.axvline(baseline, ls="--", color="gray", label="majority baseline")
        ax.legend(fontsize=8, loc="best")
    label_rows(ax, list(panel.runs))
    ax.set_xlabel(f"{panel.metric}, percent")
    return figure


def forest(panel: Panel) -> Figure | None:
    """Differences to the reference with their bootstrap intervals over test documents; None without a reference."""
    rows = panel.rows[panel.rows["metric"].isin(HEADLINE_METRICS)]
    rows = rows[rows["difference"].notna()] if "difference" in rows else rows[:0]
    if rows.empty:
        return None
    title = f"{panel.title}: difference to {rows['reference'].iloc[0]}, 95 % interval"
    figure, (ax,) = axes(title, 1.4 + 0.35 * len(rows))
    for y, row in enumerate(rows.itertuples()):
        ax.plot([row.difference_low, row.difference_high], [y, y], color=panel.color(row.name), lw=2)
        ax.plot(row.difference, y, "s", color=panel.color(row.name))
    ax.axvline(0, color="black", lw=1)
    label_rows(ax, [f"{row.name}: {row.metric}, p = {row.p_holm:.3f}" for row in rows.itertuples()])
    ax.set_xlabel("percent points, right of 0 is better; p after Holm's correction")
    return figure


def per_class(panel: Panel) -> Figure | None:
    """F1 of each label or entity type, mean over seeds; the number of gold ones in parentheses."""
    cells = [
        {"name": name, "label": label, "f1": 100 * scores["f1"], "gold": scores["support"]}
        for name, runs in panel.runs.items()
        for test in (run["metrics"]["test"] for run in runs)
        for label, scores in (test.get("per_class") or test.get("per_type") or {}).items()
    ]
    if not cells:
        return None
    frame = pd.DataFrame(cells)
    gold = frame.groupby("label")["gold"].max().sort_values(ascending=False)
    f1 = frame.pivot_table(index="label", columns="name", values="f1", fill_value=0).loc[gold.index, list(panel.runs)]
    size = {"height": 1.6 + 0.3 * len(gold), "width": min(14, 3.5 + 1.6 * len(panel.runs))}
    figure, (ax,) = axes(f"{panel.title}:\nF1 by class, percent", **size)
    rows = [f"{label} ({count})" for label, count in gold.items()]
    draw_matrix(ax, f1.to_numpy(), [f"{value:.1f}" for value in f1.to_numpy().ravel()], list(panel.runs), rows)
    return figure


def confusions(panel: Panel) -> Figure | None:
    """Confusion matrices summed over seeds, shaded by share of the gold class; single-label tasks only."""
    tests = {name: [run["metrics"]["test"] for run in runs] for name, runs in panel.runs.items()}
    if any("confusion_matrix" not in test for found in tests.values() for test in found):
        return None
    columns, rows = min(3, len(tests)), math.ceil(len(tests) / 3)
    title = f"{panel.title}: confusion (rows gold, columns predicted)"
    figure, grid = axes(title, 4.2 * rows, columns, rows, 4.4 * columns)
    for ax, (name, found) in zip(grid, tests.items()):
        labels = found[0]["confusion_matrix"]["labels"]
        counts = sum(np.array(test["confusion_matrix"]["rows_gold_columns_predicted"]) for test in found)
        shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        draw_matrix(ax, shares, [f"{count:,}" for count in counts.ravel()], labels, labels)
        ax.set_title(name, fontsize=9)
    for ax in grid[len(tests) :]:
        ax.axis("off")
    return figure


def draw_matrix(ax: Axes, percent: np.ndarray, cells: list[str], columns: list[str], rows: list[str]) -> None:
    ax.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (y, x), text in zip(np.ndindex(percent.shape), cells):
        ax.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if percent[y, x] > 60 else "black")
    ax.set_xticks(range(len(columns)), columns, fontsize=8, rotation=30, ha="right")
    ax.set_yticks(range(len(rows)), rows, fontsize=8)


def score_by_length(panel: Panel) -> Figure | None:
    """Score against context length; token tasks: over words seen, over all gold entities, and in windows. None where
    all have the same."""
    lengths = {name: runs[0]["config"]["max_length"] for name, runs in panel.runs.items()}
    if len(set(lengths.values())) == 1:
        return None
    metrics = [m for m in ("f1", "f1_all_gold", "f1_windowed") if m in set(panel.scores["metric"])] or [panel.metric]
    figure, (ax,) = axes(f"{panel.title}: score against context length", 4.5)
    for model in sorted({runs[0]["model_name"] for runs in panel.runs.values()}):
        names = sorted((n for n, runs in panel.runs.items() if runs[0]["model_name"] == model), key=lengths.get)
        for metric, style in zip(metrics, ("o-", "^--", "s:")):
            points = [lengths[n] for n in names], [panel.mean(n, metric) for n in names]
            ax.plot(*points, style, color=panel.color(names[0]), alpha=0.8, label=f"{model[-32:]}: {metric}")
    ax.set_xscale("log", base=2)
    ax.set_xticks(sorted(set(lengths.values())), [f"{length:,}" for length in sorted(set(lengths.values()))])
    ax.minorticks_off()
    ax.set(xlabel="context, tokens", ylabel="percent")
    ax.grid(alpha=0.3)
    figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    return figure


def quality_by_cost(panel: Panel) -> Figure:
    """The headline metric against training time and peak memory, means over seeds."""
    figure, (left, right) = axes(f"{panel.title}: quality against cost", 4, columns=2)
    for name, runs in panel.runs.items():
        seconds = np.mean([run.get("times_s", {}).get("training_steps", math.nan) for run in runs])
        memory = np.mean([run.get("peak_memory_bytes", math.nan) for run in runs]) / 2**30
        for ax, cost in ((left, seconds), (right, memory)):
            ax.plot(cost, panel.mean(name, panel.metric), "o", ms=9, color=panel.color(name), label=name)
            ax.grid(visible=True, alpha=0.3)
            ax.margins(0.15)
    left.set(xlabel="training steps, seconds a run", ylabel=f"{panel.metric}, percent")
    right.set(xlabel="peak memory, GiB")
    figure.legend(*left.get_legend_handles_labels(), fontsize=8, loc="outside lower center", ncols=2)
    return figure


FIGURES = (seed_strips, forest, per_class, confusions, score_by_length, quality_by_cost)
