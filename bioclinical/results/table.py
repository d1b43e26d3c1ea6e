"""What a table is, and the one of a panel: a row per model, a column per metric, the official one first."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bioclinical.errors import UserError
from bioclinical.metrics.metric import Metric
from bioclinical.results.compare import Comparison, Measured, correct
from bioclinical.results.panel import Panel, Row
from bioclinical.results.selection import trials_note
from bioclinical.results.significance import LEVEL
from bioclinical.tasks.gold_spans import ceiling_sentence

NONE = "-"
SMALLEST_P = 0.001
DIFFERENCE = ["difference", "difference 95 %", "p", "p (Holm)", "needs"]
MARKS = "best in bold; †: not shown to be worse than the best (p after Holm's correction is 0.05 or more, or not given)"


@dataclass(frozen=True)
class Cell:
    """best: of its column. close: not shown to differ from the best."""

    text: str
    best: bool = False
    close: bool = False


@dataclass
class Table:
    """What is rendered as text, Markdown, LaTeX and HTML. notes: sentences below it."""

    title: str
    columns: list[str]
    rows: list[list[Cell]]
    notes: list[str] = field(default_factory=list)


def panel_table(measured: Measured, comparisons: Sequence[Comparison] = ()) -> Table:
    """A row per model, the official metric first with its interval and, against a reference, its difference and p."""
    panel, official = measured.panel, measured.panel.official
    compared = {c.other.group: c for c in comparisons if c.metric.name == official.name}
    others = panel.headline[1:]
    best, close = best_rows(measured)
    leaders = {metric.name: leader(panel, metric) for metric in others}
    columns = ["model", official.name, "95 %", "seeds"]
    has_trials = any(row.selection for row in panel.rows)
    columns += ["trials"] if has_trials else []
    columns += DIFFERENCE if compared else []
    rows = []
    for row in panel.rows:
        cells = [Cell(row.name), Cell(mean_and_sd(row, official), row.group == best, row.group in close)]
        cells += [Cell(interval_of(measured, row)), Cell(seed_count(row))]
        cells += [Cell(str(len(row.selection["trials"]) if row.selection else 1))] if has_trials else []
        cells += [Cell(text) for text in difference_cells(compared.get(row.group))] if compared else []
        rows.append(cells + [Cell(mean_and_sd(row, m), row.group == leaders[m.name]) for m in others])
    shown = [official, *([None] * (len(columns) - 2)), *others]
    for name, scores in panel.baselines.items():
        rows.append([Cell(name), *(Cell(NONE if m is None else value_of(scores, m)) for m in shown)])
    return Table(
        f"{panel.title}: {shared_settings(panel)}", columns + [m.name for m in others], rows, notes(measured, best)
    )


def mean_and_sd(row: Row, metric: Metric) -> str:
    """`83.07 ± 0.42` over seeds; no deviation for one."""
    scores = row.scores(metric)
    if not len(scores):
        return NONE
    mean = metric.display(scores.mean())
    return f"{mean} ± {metric.display(scores.std(ddof=1))}" if len(scores) > 1 else mean


def value_of(scores: dict[str, float], metric: Metric) -> str:
    return metric.display(scores[metric.name]) if metric.name in scores else NONE


def interval_of(measured: Measured, row: Row) -> str:
    """Over seeds and documents; for one seed over documents, marked by a star."""
    metric = measured.panel.official
    found = measured.estimate(row, metric)
    if found is None:
        return NONE
    if found.seeds > 1:
        return interval(metric, found.interval)
    return interval(metric, found.document_interval) + " *"


def interval(metric: Metric, bounds: tuple[float, float], limited: bool = True) -> str:
    """`[82.10, 84.02]`; limited to the metric's range where it is one of scores."""
    if any(map(math.isnan, bounds)):
        return NONE
    low, high = np.clip(bounds, metric.low, metric.high) if limited else bounds
    return f"[{metric.display(low)}, {metric.display(high)}]"


def seed_count(row: Row) -> str:
    return f"{len(row.runs)}" + (f" + {len(row.failed)} failed" if row.failed else "")


def difference_cells(found: Comparison | None) -> list[str]:
    """Those of DIFFERENCE; an interval over documents alone, which one seed leaves, is starred."""
    if found is None:
        return [NONE] * len(DIFFERENCE)
    estimate, metric = found.estimate, found.metric
    bounds = interval(metric, estimate.interval, limited=False)
    if estimate.seeds < 2:
        bounds = interval(metric, estimate.document_interval, limited=False) + " *"
    sign = "+" if estimate.value >= 0 else ""
    shown = [sign + metric.display(estimate.value), bounds]
    return [*shown, p_value(estimate.p), p_value(found.p_holm), found.needs or NONE]


def p_value(p: float) -> str:
    """Three decimals; below 0.001 the tails of few seeds are not known any better."""
    if math.isnan(p):
        return NONE
    return f"<{SMALLEST_P}" if p < SMALLEST_P else f"{p:.3f}"


def leader(panel: Panel, metric: Metric) -> str | None:
    """The group of the row with the best mean; None where there are not two to choose from."""
    means = {row.group: row.scores(metric).mean() for row in panel.rows if len(row.scores(metric))}
    if len(means) < 2:
        return None
    return (max if metric.higher_is_better else min)(means, key=means.get)


def best_rows(measured: Measured) -> tuple[str | None, set[str]]:
    """The best row by the official metric, and those not shown to be worse: Holm's correction over this panel."""
    panel, metric = measured.panel, measured.panel.official
    best = leader(panel, metric)
    if best is None:
        return None, set()
    top = next(row for row in panel.rows if row.group == best)
    found = []
    for row in panel.rows:
        if row is not top and row.runs:
            try:
                found.append(measured.compare(top, row, metric))
            except UserError:
                continue  # what cannot be compared gets no mark; the comparison itself says why
    correct(found)
    return best, {c.other.group for c in found if not c.p_holm < LEVEL}


def shared_settings(panel: Panel) -> str:
    """The settings that all rows have."""
    settings = [row.settings.split() for row in panel.rows]
    return " ".join(word for word in settings[0] if all(word in own for own in settings))


def notes(measured: Measured, best: str | None) -> list[str]:
    """What a reader must know of a panel's numbers."""
    panel, metric = measured.panel, measured.panel.official
    found = [MARKS] if best else []
    found += [ceiling] if (ceiling := ceiling_sentence(panel.gold_spans)) else []
    if any(len(row.scores(metric)) == 1 for row in panel.rows):
        found.append("* these runs, over documents: with one seed nothing is known of others, and there is no p")
    found += [trials_note(row.name, row.selection) for row in panel.rows if row.selection]
    for row in panel.rows:
        if row.failed:
            seeds = ", ".join(str(run["seed"]) for run in row.failed)
            counted = row.fallback and row.runs
            found.append(
                f"'{row.name}' failed with seed {seeds}"
                + (
                    f", counted as the {panel.baseline_name.strip('()')} (--exclude_failed leaves it out)"
                    if counted
                    else ", not counted"
                )
            )
        scores = row.scores(metric)
        if len(scores) > 1 and np.ptp(scores) == 0:
            found.append(f"all seeds of '{row.name}' score the same; its interval is of documents alone")
    found += [
        f"'{row.name}' has runs with --group_by_length from before result files had a schema: their scores were "
        "computed in a wrong order; repeat them with --overwrite"
        for row in panel.rows
        if any(run.get("schema") is None and run["config"].get("group_by_length") for run in row.runs)
    ]
    seed_sets = {tuple(row.seeds) for row in panel.rows if row.runs}
    if len(seed_sets) > 1:
        sets = "; ".join(f"'{row.name}' {' '.join(map(str, row.seeds))}" for row in panel.rows if row.runs)
        found.append(f"not all rows have the same seeds: {sets}")
    return found + list(dict.fromkeys(measured.notes))
