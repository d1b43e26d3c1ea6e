"""Over several tasks, as suites ask: the mean score, its differences, and how firm the order of the models is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioclinical.results.significance import Estimate, Sample, difference, mean_of, score, shared_variance

DRAWS = 10_000
DRAWING_SEED = 42


@dataclass(frozen=True)
class Overall:
    """One model over all tasks. first: the share of draws in which it has the highest mean. average_rank: over tasks
    and draws."""

    estimate: Estimate
    first: float
    average_rank: float


def overall(tasks: Sequence[Sequence[Sample]], weights: Sequence[float] | None = None) -> list[Overall]:
    """tasks: for each task a sample per model, in the same order. Higher is better in each. weights: of the
    tasks in the mean, adding up to 1; equal where None.

    The order's firmness is judged by draws from what is known of the scores: documents jointly for all models of a
    task, seeds by Student's t for each model.
    """
    rng = np.random.default_rng(DRAWING_SEED)
    drawn = np.stack([draw(samples, rng) for samples in tasks])  # tasks, draws, models
    means = np.average(drawn, axis=0, weights=weights)
    leads = means == means.max(axis=1, keepdims=True)
    first = (leads / leads.sum(axis=1, keepdims=True)).mean(axis=0)
    ranks = (drawn[..., None, :] > drawn[..., :, None]).sum(axis=-1) + 1  # the models above each one, and itself
    estimates = [mean_of([score(samples[i]) for samples in tasks], weights) for i in range(len(tasks[0]))]
    average_ranks = ranks.mean(axis=(0, 1))
    return [Overall(*values) for values in zip(estimates, first.tolist(), average_ranks.tolist())]


def overall_difference(pairs: Sequence[tuple[Sample, Sample]], weights: Sequence[float] | None = None) -> Estimate:
    """other - reference in the mean over tasks; for each task its (reference, other) on the same units."""
    return mean_of([difference(reference, other) for reference, other in pairs], weights)


def draw(samples: Sequence[Sample], rng: np.random.Generator) -> np.ndarray:
    """(draws, models): scores that are as likely as those found, given their uncertainty."""
    deviations = np.stack([sample.deviations.mean(axis=1) for sample in samples], axis=1)
    means = [sample.mean for sample in samples]
    drawn = rng.multivariate_normal(means, deviations.T @ deviations, DRAWS, method="eigh")
    for i, sample in enumerate(samples):
        if sample.seeds > 1:
            noise = (sample.deviations**2).sum() / sample.seeds - shared_variance(sample, sample)  # drawn already
            own = max(sample.seed_variance - noise, 0.0) / sample.seeds
            drawn[:, i] += math.sqrt(own) * rng.standard_t(sample.seeds - 1, DRAWS)
    return drawn
