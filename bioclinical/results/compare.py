"""Scores with their intervals, and differences between models with their tests, of one panel of results."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

from bioclinical.errors import UserError
from bioclinical.metrics.metric import Metric
from bioclinical.results import samples
from bioclinical.results.panel import Panel, Row
from bioclinical.results.significance import (
    FEWEST_SEEDS,
    LEVEL,
    Estimate,
    Sample,
    difference,
    holm,
    score,
    seeds_needed,
)


@dataclass
class Comparison:
    """`other` minus `reference` under one metric. p_holm: within the comparison's family, NaN where there is no p.

    needs: what would show a difference of this size, in words for a table; empty where it is shown.
    """

    reference: Row
    other: Row
    metric: Metric
    estimate: Estimate
    needs: str
    p_holm: float = math.nan


@dataclass
class Measured:
    """What the predictions of a panel's runs say beyond their scores.

    samples: (group, metric) -> Sample. notes: a sentence for everything that could not be measured or compared.
    """

    panel: Panel
    read: samples.Read
    samples: dict[tuple[str, str], Sample]
    notes: list[str] = field(default_factory=list)

    def estimate(self, row: Row, metric: Metric) -> Estimate | None:
        """The mean over seeds with its intervals; None without usable predictions."""
        found = self.samples.get((row.group, metric.name))
        return None if found is None else score(found)

    def tested(self, row: Row, metric: Metric) -> str:
        """A hash of the test units of a row's runs; empty where its predictions cannot be used."""
        found = [self.read.get((run["path"], metric.name)) for run in row.runs]
        return found[0].units if found and isinstance(found[0], samples.RunScores) else ""

    def compare(self, reference: Row, other: Row, metric: Metric) -> Comparison:
        """Raises UserError where the two cannot be compared."""
        pair = []
        for row in (reference, other):
            pair.append(samples.sample(row, metric, self.read))
        samples.require_same_test(self.panel, reference, other, metric, self.read)
        found = difference(*pair)
        if found.variance == 0 and found.document_variance == 0:
            raise UserError(
                f"'{other.name}' and '{reference.name}' differ equally in all runs and documents; nothing can be tested"
            )
        return Comparison(reference, other, metric, found, what_is_needed(found, *pair))


def what_is_needed(found: Estimate, reference: Sample, other: Sample) -> str:
    """How many seeds of each model would show the difference that was found, if it is true."""
    if found.seeds < 2:
        return f"{FEWEST_SEEDS} seeds or more"
    if not math.isnan(found.p) and found.p < LEVEL:
        return ""
    needed = seeds_needed(reference, other)
    if needed is None:
        return "more documents"
    return f"about {needed} seeds" if needed > found.seeds else ""


def measure(panel: Panel, metrics: Sequence[Metric]) -> Measured:
    """Reads the predictions of a panel once, for these metrics."""
    read = samples.read_runs(panel, panel.rows, metrics)
    measured = Measured(panel, read, {})
    for row in panel.rows:
        for metric in metrics:
            if not row.runs or not len(row.scores(metric)):
                continue
            try:
                measured.samples[row.group, metric.name] = samples.sample(row, metric, read)
            except UserError as error:
                measured.notes.append(f"no interval: {error}")
    return measured


def against(measured: Measured, reference: str, metrics: Sequence[Metric]) -> list[Comparison]:
    """Each other row's comparison with the reference's, p uncorrected; adds a note for each that is refused."""
    panel = measured.panel
    candidates = [row for row in panel.rows if is_called(row, reference) and row.runs]
    found = []
    for row in panel.rows:
        if is_called(row, reference) or not row.runs:
            continue
        matching = [own for own in candidates if own.settings == row.settings] if len(candidates) > 1 else candidates
        if len(matching) != 1:
            measured.notes.append(f"not compared: {no_reference(panel, reference, row, len(candidates))}")
            continue
        found += pairs_compared(measured, [(matching[0], row)], metrics)
    return found


def all_pairs(measured: Measured, metrics: Sequence[Metric]) -> list[Comparison]:
    """Each pair of rows, the first of them as reference; adds a note for each that is refused."""
    return pairs_compared(measured, list(combinations([row for row in measured.panel.rows if row.runs], 2)), metrics)


def pairs_compared(measured: Measured, pairs: Sequence[tuple[Row, Row]], metrics: Sequence[Metric]) -> list[Comparison]:
    found = []
    for metric in metrics:
        for reference, other in pairs:
            try:
                found.append(measured.compare(reference, other, metric))
            except UserError as error:
                measured.notes.append(f"not compared: {error}")
    return found


def is_called(row: Row, reference: str) -> bool:
    """A row may be named by its model or, where that has several settings, by the name in the table."""
    return reference in (row.model, row.name)


def no_reference(panel: Panel, reference: str, row: Row, candidates: int) -> str:
    """Why the reference has no results that a row can be compared with."""
    if candidates:
        return (
            f"'{reference}' has {candidates} settings for {panel.dataset}, none those of '{row.name}'; "
            "choose one of them by its name in the table"
        )
    return (
        f"'{reference}' was not tested on {panel.title}, as '{row.name}' was; scores of different test sets or "
        "protocols say nothing about models"
    )


def correct(comparisons: Sequence[Comparison]) -> None:
    """Holm's correction over one family: all comparisons of it that have a p."""
    tested = [comparison for comparison in comparisons if not math.isnan(comparison.estimate.p)]
    for comparison, p in zip(tested, holm([comparison.estimate.p for comparison in tested])):
        comparison.p_holm = p
