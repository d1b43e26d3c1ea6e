"""Models by the tasks of a suite, in its order and by its scores, with the overall score."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from statistics import fmean, median

from bioclinical.errors import UserError
from bioclinical.metrics.metric import Metric
from bioclinical.results.compare import Measured, measure
from bioclinical.results.overall import overall, overall_difference
from bioclinical.results.panel import Panel, Row
from bioclinical.results.reported import Reported
from bioclinical.results.significance import Estimate, Sample, mean_of
from bioclinical.results.table import MARKS, NONE, Cell, Table, best_rows, interval
from bioclinical.tasks.gold_spans import ceiling_sentence
from bioclinical.tasks.suites import Member, Suite

STATISTICS = {"mean": fmean, "median": median}
OVERALL = "overall"


@dataclass
class Score:
    """One model on one member: its score, and the estimate of the mean over seeds (and folds) where there is one.

    sample: what it was estimated from, and tested: on what; None for members with folds.
    """

    value: float
    estimate: Estimate | None
    cell: Cell
    sample: Sample | None = None
    tested: str = ""


@dataclass
class Column:
    """One member over all models. metric: None where nobody has a result."""

    member: Member
    metric: Metric | None = None
    scores: dict[str, Score] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def suite_tables(
    all_measured: Sequence[Measured], suite: Suite, reported: Sequence[Reported] = (), reference: str | None = None
) -> list[Table]:
    """A table for each protocol under which members were run; raises UserError where none was."""
    protocols = sorted({base_protocol(measured.panel) for measured in all_measured if is_member(suite, measured.panel)})
    if not protocols:
        raise UserError(f"--suite {suite.name}: no result is of its tasks ({', '.join(suite.tasks)})")
    return [
        suite_table(
            [m for m in all_measured if base_protocol(m.panel) == protocol], suite, protocol, reported, reference
        )
        for protocol in protocols
    ]


def is_member(suite: Suite, panel: Panel) -> bool:
    return panel.dataset in suite.tasks


def base_protocol(panel: Panel) -> str:
    """The protocol without its fold."""
    return re.sub(r"-fold\d+$", "", panel.protocol)


def fold_of(panel: Panel) -> int | None:
    match = re.search(r"-fold(\d+)$", panel.protocol)
    return int(match[1]) if match else None


def suite_table(
    all_measured: Sequence[Measured],
    suite: Suite,
    protocol: str,
    reported: Sequence[Reported],
    reference: str | None = None,
) -> Table:
    """A row per model; the published rows below. reference: the model with which the overall scores are compared."""
    columns = [column(member, all_measured, suite) for member in suite.members]
    models = list(dict.fromkeys(row.model for measured in all_measured for row in measured.panel.rows))
    rows = [model_row(model, columns, suite) for model in models]
    mark_best(rows, len(suite.members) + 1)
    rows += [reported_row(entry, suite) for entry in reported]
    heads = [f"{c.member.task} {c.metric.name if c.metric else ''}".rstrip() for c in columns]
    statistic = f"{suite.statistic} over seeds"
    notes = [MARKS, f"{statistic}; {overall_rule(suite)}", *(note for c in columns for note in c.notes)]
    notes += order_notes(columns, models, suite, reference)
    notes += [f"{entry.name}: reported, {entry.source}" for entry in reported]
    overall = [OVERALL, "95 %"] if suite.overall else []
    return Table(f"{suite.title}, protocol {protocol}", ["model", *heads, *overall], rows, list(dict.fromkeys(notes)))


def order_notes(columns: Sequence[Column], models: Sequence[str], suite: Suite, reference: str | None) -> list[str]:
    """How firm the order of the models by their overall score is, and the differences to the reference's.

    Over the models whose every member has usable predictions of the same test set; none for suites with folds.
    """
    complete = [m for m in models if all(m in c.scores and c.scores[m].sample for c in columns)]
    if suite.overall is None or len(complete) < 2:
        return []
    if any(len({c.scores[m].tested for m in complete}) > 1 for c in columns):
        return ["the models were not tested on the same documents everywhere; their overall scores are not compared"]
    weights = [suite.weights()[c.member.task] for c in columns]
    found = overall([[c.scores[m].sample for m in complete] for c in columns], weights)
    notes = [
        f"overall: '{model}' is first in {100 * one.first:.0f} % of draws over seeds and documents, average rank "
        f"{one.average_rank:.1f} of {len(complete)}"
        for model, one in zip(complete, found)
    ]
    for model in complete:
        if reference in complete and model != reference:
            pairs = [(c.scores[reference].sample, c.scores[model].sample) for c in columns]
            notes.append(difference_note(model, reference, overall_difference(pairs, weights)))
    return notes


def difference_note(model: str, reference: str, found: Estimate) -> str:
    """The overall difference with its interval, and p where seeds are enough for one."""
    low, high = (100 * bound for bound in (found.interval if found.seeds > 1 else found.document_interval))
    of_what = "" if found.seeds > 1 else " (these runs, over documents)"
    p = "" if isnan(found.p) else f", p {'< 0.001' if found.p < 0.001 else f'{found.p:.3f}'}"
    return f"overall, '{model}' - '{reference}': {100 * found.value:+.2f} [{low:+.2f}, {high:+.2f}]{of_what}{p}"


def overall_rule(suite: Suite) -> str:
    if suite.overall is None:
        return "this suite has no overall score"
    over = "tasks" if suite.overall == "tasks" else "the kinds of tasks, each kind the mean over its tasks"
    if len({member.weight for member in suite.members}) > 1:
        over += ", weighted by their test questions"
    return f"overall: mean over {over}, of complete suites only; its interval is that of means over seeds"


def column(member: Member, all_measured: Sequence[Measured], suite: Suite) -> Column:
    """Every model's score on a member; a note for whatever was left out."""
    found = Column(member)
    measured = largest_test_sets([m for m in all_measured if m.panel.dataset == member.task], found.notes)
    measured = [m for m in measured if fold_of(m.panel) in (member.folds or (None,))]
    if not measured:
        return found
    name = member.metric or measured[0].panel.official.name
    found.metric = measured[0].panel.metric(name)
    found.notes += [f"{member.task}: {note}" for m in measured for note in m.notes if note.startswith("no interval")]
    if found.metric is None:
        found.notes.append(f"{member.task}: no result has the suite's score {name}")
        return found
    if name != measured[0].panel.official.name:
        measured = [measure(m.panel, [found.metric]) for m in measured]
    found.notes += [f"{member.task}: {s}" for m in measured if (s := ceiling_sentence(m.panel.gold_spans))]
    for model in dict.fromkeys(row.model for m in measured for row in m.panel.rows):
        if score := member_score(model, member, measured, found, suite):
            found.scores[model] = score
    return found


def largest_test_sets(all_measured: Sequence[Measured], notes: list[str]) -> list[Measured]:
    """Of a task's and fold's test sets the one with most examples: a quick try with --limit is no result of a suite."""
    kept: dict[str, Measured] = {}
    for measured in all_measured:
        other = kept.get(measured.panel.protocol)
        if other is None or test_examples(measured.panel) > test_examples(other.panel):
            kept[measured.panel.protocol] = measured
    for measured in all_measured:
        panel = measured.panel
        if kept[panel.protocol] is not measured:
            notes.append(
                f"{panel.dataset}: test set {panel.test_set} ({test_examples(panel):,} examples) is another one than "
                f"{kept[panel.protocol].panel.test_set} ({test_examples(kept[panel.protocol].panel):,}) and left out"
            )
    return list(kept.values())


def test_examples(panel: Panel) -> int:
    sizes = [run.get("splits", {}).get("test", {}).get("examples", 0) for row in panel.rows for run in row.runs]
    return max(sizes, default=0)


def member_score(
    model: str, member: Member, all_measured: Sequence[Measured], found: Column, suite: Suite
) -> Score | None:
    """A model's score on a member, over its folds where it has some; None, with a note, where it cannot be given."""
    values, estimates = [], []
    for measured in all_measured:
        rows = [row for row in measured.panel.rows if row.model == model and len(row.scores(found.metric))]
        if len(rows) > 1:
            settings = "; ".join(row.settings for row in rows)
            found.notes.append(f"{member.task}: '{model}' has several settings ({settings}) and is not counted")
            return None
        if rows:
            values.append(STATISTICS[suite.statistic](rows[0].scores(found.metric).tolist()))
            estimates.append(measured.estimate(rows[0], found.metric))
            row = rows[0]
    if len(values) < len(member.folds or (None,)):
        if member.folds and values:
            found.notes.append(f"{member.task}: '{model}' has {len(values)} of {len(member.folds)} folds")
        return None
    estimate = None if None in estimates else mean_of(estimates)
    if member.folds:
        return fold_score(model, member, found, values, estimate)
    cell = simple_cell(all_measured[0], row, found.metric, values[0])
    sample = all_measured[0].samples.get((row.group, found.metric.name))
    return Score(values[0], estimate, cell, sample, all_measured[0].tested(row, found.metric))


def fold_score(model: str, member: Member, found: Column, values: list[float], estimate: Estimate | None) -> Score:
    """The median over folds, as published; the mean beside it, in a note."""
    mean = found.metric.display(fmean(values))
    found.notes.append(f"{member.task}: '{model}' median over {len(values)} folds, their mean {mean}")
    return Score(median(values), estimate, Cell(found.metric.display(median(values))))


def simple_cell(measured: Measured, row: Row, metric: Metric, value: float) -> Cell:
    """A score, marked as in the task's own table where that is by the same metric."""
    best, close = best_rows(measured) if metric.name == measured.panel.official.name else (None, set())
    return Cell(metric.display(value), row.group == best, row.group in close)


def model_row(model: str, columns: Sequence[Column], suite: Suite) -> list[Cell]:
    """A model's scores, and the overall one where no member is missing."""
    cells = [Cell(model)]
    cells += [c.scores[model].cell if model in c.scores else Cell(NONE) for c in columns]
    if suite.overall is None:
        return cells
    scores = {c.member.task: c.scores[model] for c in columns if model in c.scores}
    if missing := suite.missing(scores):
        return [*cells, Cell(f"{len(scores)} of {len(scores) + len(missing)} tasks"), Cell(NONE)]
    total = 100 * suite.total({task: score.value for task, score in scores.items()})
    return [*cells, Cell(f"{total:.2f}"), Cell(overall_interval(columns, scores, suite))]


def overall_interval(columns: Sequence[Column], scores: Mapping[str, Score], suite: Suite) -> str:
    """The overall score's interval over seeds and documents; none where a member has none."""
    estimates = {task: score.estimate for task, score in scores.items()}
    if None in estimates.values():
        return NONE
    weights = suite.weights()
    found = mean_of(list(estimates.values()), [weights[task] for task in estimates])
    bounds = found.interval if found.seeds > 1 else found.document_interval
    return interval(columns[0].metric, bounds) + ("" if found.seeds > 1 else " *")


def mark_best(rows: list[list[Cell]], position: int) -> None:
    """Marks the highest overall score where there are two to choose from."""
    totals = [float(row[position].text) for row in rows if len(row) > position and is_number(row[position].text)]
    if len(totals) < 2:
        return
    for row in rows:
        if is_number(row[position].text) and float(row[position].text) == max(totals):
            row[position] = Cell(row[position].text, best=True)


def is_number(text: str) -> bool:
    return re.fullmatch(r"\d+\.\d+", text) is not None


def reported_row(entry: Reported, suite: Suite) -> list[Cell]:
    """A published row: as printed, never compared."""
    cells = [Cell(entry.name), *(Cell(entry.scores.get(task, NONE)) for task in suite.tasks)]
    return cells + ([Cell(entry.overall or NONE), Cell(NONE)] if suite.overall else [])
