"""The ways to compare two models that statistics_level.py tries, each over many simulated studies at once.

`components` is what bioclinical/results/significance.py does; tests hold the two against each other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtr

from bioclinical.results.significance import MOST_FREEDOM, satterthwaite

RESAMPLES = 200


@dataclass(frozen=True)
class Moments:
    """Many studies at once, as far as the methods look. scores: of each model, (studies, seeds). covariances: (studies,
    runs, runs) over documents, by the jackknife, the first model's runs before the second's. documents: how many."""

    scores: tuple[np.ndarray, np.ndarray]
    covariances: np.ndarray
    documents: int

    @property
    def gap(self) -> np.ndarray:
        return self.scores[1].mean(axis=1) - self.scores[0].mean(axis=1)

    @property
    def seed_variances(self) -> list[tuple[np.ndarray, float]]:
        """Of each model's mean, with its degrees of freedom."""
        return [(own.var(axis=1, ddof=1) / own.shape[1], own.shape[1] - 1) for own in self.scores]

    @property
    def document_variance(self) -> np.ndarray:
        """Of the gap between these very runs."""
        signs = np.concatenate([np.full(own.shape[1], k / own.shape[1]) for own, k in zip(self.scores, (-1, 1))])
        return np.einsum("i,bij,j->b", signs, self.covariances, signs)

    @property
    def shared_variance(self) -> tuple[np.ndarray, float]:
        """What documents do to all seeds alike."""
        first = self.scores[0].shape[1]
        one, two = self.covariances[:, :first, :first], self.covariances[:, first:, first:]
        across = self.covariances[:, :first, first:].mean(axis=(1, 2))
        return np.maximum(between_runs(one) + between_runs(two) - 2 * across, 0), self.documents - 1

    def paired(self) -> list[tuple[np.ndarray, float]]:
        """The variances of the gap where equal numbers of seeds are taken as pairs."""
        seeds = self.scores[0].shape[1]
        difference = np.concatenate([-np.eye(seeds), np.eye(seeds)], axis=1)
        gaps = self.scores[1] - self.scores[0]
        documents = between_runs(difference @ self.covariances @ difference.T)
        return [(gaps.var(axis=1, ddof=1) / seeds, seeds - 1), (np.maximum(documents, 0), self.documents - 1)]


def between_runs(covariances: np.ndarray) -> np.ndarray:
    """The mean covariance of two different runs, (studies, runs, runs) -> (studies,)."""
    runs = covariances.shape[1]
    return (covariances.sum(axis=(1, 2)) - np.trace(covariances, axis1=1, axis2=2)) / (runs * (runs - 1))


def seeds_fixed(study: Moments, rng: np.random.Generator) -> np.ndarray:
    """p over documents alone, these runs given: the paired bootstrap over documents, to first order."""
    return t_test(study.gap, study.document_variance, MOST_FREEDOM)


def both_resampled(study: Moments, rng: np.random.Generator, corrected: bool = False) -> np.ndarray:
    """p of the percentile bootstrap over seeds and documents (these to first order); corrected: with the seeds'
    deviations widened by sqrt(n / (n - 1))."""
    values, vectors = np.linalg.eigh(study.covariances)
    spread = vectors * np.sqrt(np.maximum(values, 0))[:, None]
    noise = rng.normal(size=(len(values), RESAMPLES, values.shape[1])) @ spread.transpose(0, 2, 1)
    drawn, first = [], study.scores[0].shape[1]
    for own, scores in zip((noise[..., :first], noise[..., first:]), study.scores):
        seeds = scores.shape[1]
        chosen = rng.integers(seeds, size=own.shape)
        widened = math.sqrt(seeds / (seeds - 1)) if corrected else 1.0
        mean = scores.mean(axis=1, keepdims=True)
        values = (mean + widened * (scores - mean))[:, None] + own
        drawn.append(np.take_along_axis(values, chosen, axis=2).mean(axis=2))
    gaps = drawn[1] - drawn[0]
    tail = np.minimum((gaps <= 0).sum(axis=1), (gaps >= 0).sum(axis=1))
    return np.minimum(1.0, 2 * (1 + tail) / (1 + RESAMPLES))


def widened_resampled(study: Moments, rng: np.random.Generator) -> np.ndarray:
    return both_resampled(study, rng, corrected=True)


def added_up(study: Moments, rng: np.random.Generator) -> np.ndarray:
    """p by t of the variance over seeds plus the whole variance over documents: each seed's noise counts twice."""
    return by_sum(study.gap, [*study.seed_variances, (study.document_variance, study.documents - 1)])


def pooled(study: Moments, rng: np.random.Generator) -> np.ndarray:
    """As `components`, with one variance between seeds for both models."""
    (one, its), (two, other_its) = study.seed_variances
    return by_sum(study.gap, [(one + two, its + other_its), study.shared_variance])


def plain(study: Moments, rng: np.random.Generator) -> np.ndarray:
    """As `components`, with Satterthwaite's degrees of freedom as they are."""
    variances = [*study.seed_variances, study.shared_variance]
    total = sum(variance for variance, _ in variances)
    return t_test(study.gap, total, total**2 / sum(variance**2 / freedom for variance, freedom in variances))


def components(study: Moments, rng: np.random.Generator) -> np.ndarray:
    """p of significance.py, given for two seeds too."""
    return by_sum(study.gap, [*study.seed_variances, study.shared_variance])


def paired(study: Moments, rng: np.random.Generator) -> np.ndarray:
    """As `components`, equal numbers of seeds taken as pairs; NaN where there are not as many of both."""
    if study.scores[0].shape != study.scores[1].shape:
        return np.full(len(study.gap), math.nan)
    return by_sum(study.gap, study.paired())


def by_sum(gap: np.ndarray, variances: Sequence[tuple[np.ndarray, float]]) -> np.ndarray:
    return t_test(gap, sum(variance for variance, _ in variances), satterthwaite(variances))


def t_test(gap: np.ndarray, variance: np.ndarray, freedom: Any) -> np.ndarray:
    return 2 * stdtr(freedom, -np.abs(gap) / np.sqrt(variance))


METHODS = {
    "documents, seeds fixed": seeds_fixed,
    "both resampled": both_resampled,
    "both resampled, corrected": widened_resampled,
    "variances added up": added_up,
    "components, pooled": pooled,
    "components, plain freedom": plain,
    "components, paired": paired,
    "components": components,
}
