"""How sure a score, or the difference of two models, is over both sources of variation: seeds and test documents.

A score of one run is modelled as the model's true score + what its seed did + what the drawn documents did. Scores of
one test set share the documents, so their errors are correlated: this is the design of readers and cases of Obuchowski
and Rockette (1995), with training seeds as readers nested in the models. The covariances over documents come from the
jackknife, the variance over seeds from the seeds, and Student's t has the degrees of freedom of Welch and Satterthwaite
(Hillis 2014 for this design), counted with caution, so that two models may differ in how much their seeds vary.
`benchmarks/statistics_level.py` holds the simulation by which the method was chosen.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import stdtr, stdtrit  # scipy.stats takes seconds to import

LEVEL = 0.05
POWER = 0.8
FEWEST_SEEDS = 3  # with two a model, no method kept its level (docs/results.md)
MOST_SEEDS = 1000
CAUTION = 1.5  # standard errors by which variances are raised to count their degrees of freedom (docs/results.md)
MOST_FREEDOM = 1e6  # the normal distribution, as far as anyone can tell


@dataclass(frozen=True)
class Sample:
    """The runs of one model on one test set, under one metric.

    scores: (seeds,). left_out: (parts, seeds), the score without each part of the test set: a document, or another
    unit of the metric, or some of these together where the metric is slow to compute.
    """

    scores: np.ndarray
    left_out: np.ndarray

    @property
    def seeds(self) -> int:
        return len(self.scores)

    @property
    def mean(self) -> float:
        return float(self.scores.mean())

    @cached_property
    def deviations(self) -> np.ndarray:
        """(parts, seeds): scaled such that products, summed over parts, are the jackknife's (co)variances."""
        parts = len(self.left_out)
        return (self.left_out - self.left_out.mean(axis=0)) * math.sqrt((parts - 1) / parts)

    @property
    def seed_variance(self) -> float:
        """Of one run's score between seeds on this test set: what the seeds did, alone and with the documents."""
        return float(self.scores.var(ddof=1)) if self.seeds > 1 else math.nan


@dataclass(frozen=True)
class Estimate:
    """A score or a difference (fractions) with its uncertainty.

    variances: (variance, degrees of freedom) of each independent source. document_variance: of these very runs, over
    documents alone. seeds: the smallest number of them that a model has.
    """

    value: float
    variances: tuple[tuple[float, float], ...]
    document_variance: float
    seeds: int

    @property
    def variance(self) -> float:
        return sum(variance for variance, _ in self.variances)

    @property
    def freedom(self) -> float:
        """Satterthwaite's degrees of freedom, counted with caution."""
        return float(satterthwaite(self.variances))

    @property
    def interval(self) -> tuple[float, float]:
        """95 %, over seeds and documents; NaN for one seed."""
        if self.seeds < 2:
            return math.nan, math.nan
        return around(self.value, self.variance, self.freedom)

    @property
    def document_interval(self) -> tuple[float, float]:
        """95 %, of these very runs over documents: says nothing of other seeds."""
        return around(self.value, self.document_variance, MOST_FREEDOM)

    @property
    def p(self) -> float:
        """Two-sided, of no difference; NaN where seeds are too few to keep its level or where nothing varied."""
        if self.seeds < FEWEST_SEEDS or self.variance == 0:
            return math.nan
        return float(2 * stdtr(self.freedom, -abs(self.value) / math.sqrt(self.variance)))


def satterthwaite(variances: Sequence[tuple[Any, float]]) -> Any:
    """Degrees of freedom of a sum of independent variance estimates; MOST_FREEDOM where none varies.

    variances: (variance, its degrees of freedom); the variances may be arrays of one shape. Each enters raised by
    CAUTION of its standard errors, sqrt(2 / freedom) of itself: one of few seeds that came out small by chance would
    otherwise leave the sum with the freedom of the others. A single source keeps its own freedom.
    """
    raised = [(variance * (1 + CAUTION * math.sqrt(2 / freedom)), freedom) for variance, freedom in variances]
    total = np.asarray(sum(variance for variance, _ in raised), dtype=float)
    spread = np.asarray(sum(variance**2 / freedom for variance, freedom in raised), dtype=float)
    found = np.divide(total**2, spread, out=np.full_like(total, MOST_FREEDOM), where=spread > 0)
    return np.minimum(found, MOST_FREEDOM)


def around(value: float, variance: float, freedom: float) -> tuple[float, float]:
    """The 95 % interval by Student's t."""
    half = stdtrit(freedom, 1 - LEVEL / 2) * math.sqrt(variance)
    return float(value - half), float(value + half)


def score(sample: Sample) -> Estimate:
    """The mean over seeds of one model."""
    own = shared_variance(sample, sample)
    return Estimate(
        sample.mean,
        (*seed_part(sample), (max(own, 0.0), len(sample.left_out) - 1)),
        float((sample.deviations.mean(axis=1) ** 2).sum()),
        sample.seeds,
    )


def difference(reference: Sample, other: Sample) -> Estimate:
    """other - reference; both on the same units in the same order, seeds not paired."""
    documents = (
        shared_variance(reference, reference) + shared_variance(other, other) - 2 * shared_variance(reference, other)
    )
    gap = other.deviations.mean(axis=1) - reference.deviations.mean(axis=1)
    return Estimate(
        other.mean - reference.mean,
        (*seed_part(reference), *seed_part(other), (max(documents, 0.0), len(reference.left_out) - 1)),
        float((gap**2).sum()),
        min(reference.seeds, other.seeds),
    )


def seed_part(sample: Sample) -> list[tuple[float, float]]:
    """The mean's variance over seeds, with its degrees of freedom; nothing for one seed, whose variance is unknown."""
    return [(sample.seed_variance / sample.seeds, sample.seeds - 1)] if sample.seeds > 1 else []


def shared_variance(one: Sample, two: Sample) -> float:
    """The covariance over documents of two runs with different seeds, averaged over all such pairs.

    Of one model: what its seeds have in common. The noise that each seed has on its own documents is left out, because
    the variance between seeds holds it already. One run alone: its whole variance, as nothing tells them apart.
    """
    sums = (one.deviations.sum(axis=1) * two.deviations.sum(axis=1)).sum()
    pairs = one.seeds * two.seeds
    if one is two and one.seeds > 1:
        sums -= (one.deviations**2).sum()
        pairs -= one.seeds
    return float(sums / pairs)


def mean_of(estimates: Sequence[Estimate], weights: Sequence[float] | None = None) -> Estimate:
    """The mean over tasks, whose seeds and documents are independent. weights: of the tasks, adding up to 1."""
    shares = [1 / len(estimates)] * len(estimates) if weights is None else weights
    return Estimate(
        float(np.dot(shares, [estimate.value for estimate in estimates])),
        tuple((variance * w**2, freedom) for e, w in zip(estimates, shares) for variance, freedom in e.variances),
        sum(estimate.document_variance * w**2 for estimate, w in zip(estimates, shares)),
        min(estimate.seeds for estimate in estimates),
    )


def seeds_needed(reference: Sample, other: Sample) -> int | None:
    """Seeds of each model with which a true difference of the size found is seen (p < 0.05) in 80 % of such studies.

    None where no number would do, because the test documents alone leave it open.
    """
    found = difference(reference, other)
    *_, documents = found.variances
    for seeds in range(FEWEST_SEEDS, MOST_SEEDS + 1):
        parts = [(sample.seed_variance / seeds, seeds - 1) for sample in (reference, other)] + [documents]
        variance, freedom = sum(part for part, _ in parts), satterthwaite(parts)
        if abs(found.value) >= (stdtrit(freedom, 1 - LEVEL / 2) + stdtrit(freedom, POWER)) * math.sqrt(variance):
            return seeds
    return None


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction over a family of tests."""
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate([(len(order) - k) * p_values[i] for k, i in enumerate(order)])
    return np.minimum(stepped, 1.0)[np.argsort(order)].tolist()
