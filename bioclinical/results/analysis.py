"""Everything that is said of a set of results: measured, compared, put into tables."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from bioclinical.errors import UserError
from bioclinical.metrics.metric import Metric
from bioclinical.results.compare import Comparison, Measured, against, all_pairs, correct, is_called, measure
from bioclinical.results.panel import Panel
from bioclinical.results.reported import Reported
from bioclinical.results.split_table import split_tables
from bioclinical.results.suite_table import suite_tables
from bioclinical.results.table import DIFFERENCE, Cell, Table, difference_cells, panel_table
from bioclinical.results.task_table import task_table
from bioclinical.tasks.suites import Suite

EXPLORATORY = "Exploratory: other metrics, corrected as a family of their own"


@dataclass
class Analysis:
    """comparisons: of each task's official metric with the reference, one family of tests. exploratory: of the other
    metrics that were asked for. pairs: of all models with each other."""

    measured: list[Measured]
    comparisons: list[Comparison] = field(default_factory=list)
    exploratory: list[Comparison] = field(default_factory=list)
    pairs: list[Comparison] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)


def analyse(
    panels: Sequence[Panel],
    reference: str | None = None,
    pairs: bool = False,
    metrics: str | None = None,
    over_splits: bool = False,
    suite: Suite | None = None,
    published: Sequence[Reported] = (),
) -> Analysis:
    """pairs: compare all models with each other. metrics: further ones to test, comma-separated, or `all`. suite: its
    table stands in place of that of all tasks. published: rows shown below it.

    Raises UserError where the reference or a metric is unknown, or nothing can be compared with the reference.
    """
    if reference is not None:
        require_known(panels, reference)
    require_metrics(panels, metrics)
    further = [further_metrics(panel, metrics) for panel in panels]
    done = Analysis([measure(panel, [panel.official, *own]) for panel, own in zip(panels, further)])
    for measured, own in zip(done.measured, further):
        official = [measured.panel.official]
        if reference is not None:
            done.comparisons += against(measured, reference, official)
            done.exploratory += against(measured, reference, own)
        if pairs:
            done.pairs += all_pairs(measured, official)
    for family in (done.comparisons, done.exploratory, done.pairs):
        correct(family)
    if reference is not None and not done.comparisons + done.exploratory:
        reasons = [note for measured in done.measured for note in measured.notes if note.startswith("not compared")]
        raise UserError(reasons[0] if reasons else f"there is no other model to compare with '{reference}'")
    done.tables = tables(done, reference, over_splits, suite, published)
    return done


def tables(
    done: Analysis, reference: str | None, over_splits: bool, suite: Suite | None, published: Sequence[Reported]
) -> list[Table]:
    """The tables in the order in which they are shown; none mixes protocols."""
    panels = [measured.panel for measured in done.measured]
    found = []
    for measured in done.measured:
        own = {row.group for row in measured.panel.rows}
        found.append(panel_table(measured, [c for c in done.comparisons if c.other.group in own]))
    protocols: dict[str, list[Measured]] = defaultdict(list)
    for measured in done.measured:
        protocols[measured.panel.protocol].append(measured)
    if suite is None:
        found += [table for table in map(task_table, protocols.values()) if table is not None]
    else:
        found += suite_tables(done.measured, suite, published, reference)
    names = {row.group: panel.dataset for panel in panels for row in panel.rows}
    if done.exploratory:
        found.append(comparison_table(EXPLORATORY, done.exploratory, names))
    if done.pairs:
        found.append(comparison_table("All pairs of models, the official metric of each task", done.pairs, names))
    if over_splits:
        of_splits = split_tables(panels, reference)
        if not of_splits:
            raise UserError("--over_splits: no dataset was run with several split seeds or folds")
        found += of_splits
    return found


def comparison_table(title: str, comparisons: Sequence[Comparison], datasets: dict[str, str]) -> Table:
    """A row per test."""
    rows = [
        [datasets[c.other.group], c.metric.name, c.other.name, c.reference.name, *difference_cells(c)]
        for c in comparisons
    ]
    columns = ["task", "metric", "model", "minus", *DIFFERENCE]
    return Table(title, columns, [[Cell(text) for text in row] for row in rows])


def require_known(panels: Sequence[Panel], reference: str) -> None:
    """Raises UserError naming the models that there are."""
    if not any(is_called(row, reference) for panel in panels for row in panel.rows):
        names = sorted({row.model for panel in panels for row in panel.rows})
        raise UserError(f"--reference: no results of '{reference}'; there are {', '.join(names)}")


def further_metrics(panel: Panel, names: str | None) -> list[Metric]:
    """Those of the panel's metrics, besides the official one, that were asked for."""
    wanted = None if names == "all" else (names or "").split(",")
    return [metric for metric in panel.metrics[1:] if wanted is None or metric.name in wanted]


def require_metrics(panels: Sequence[Panel], names: str | None) -> None:
    """Raises UserError for a metric that no task has."""
    known = sorted({metric.name for panel in panels for metric in panel.metrics})
    for name in [] if names in (None, "all") else names.split(","):
        if name not in known:
            raise UserError(f"--metrics: no task has '{name}'; there are {', '.join(known)}")
