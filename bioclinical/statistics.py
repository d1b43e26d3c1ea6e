"""How sure a score or a difference is: intervals over seeds, paired bootstrap over documents, Holm, calibration.

A run is a result and its predictions. Every F1 here is a function of three counts per class (correct, predicted, gold),
which add up over documents; so a resample of the documents is a weighted sum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from seqeval.metrics.sequence_labeling import get_entities

from bioclinical.errors import UserError
from bioclinical.tasks.splits import group_of

RESAMPLES = 1_000
RESAMPLING_SEED = 42
BINS = 15
TOKEN_METRICS = ("f1", "f1_all_gold", "f1_windowed")
Run = tuple[dict[str, Any], list[dict[str, Any]]]


@dataclass(frozen=True)
class Comparison:
    """A model's score minus the reference's (fractions), its 95 % interval, and the two-sided p of no difference."""

    difference: float
    low: float
    high: float
    p: float


def seed_interval(scores: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean over seeds by Student's t; NaN for fewer than two seeds."""
    if len(scores) < 2:
        return math.nan, math.nan
    half = stats.t.ppf(0.975, len(scores) - 1) * np.std(scores, ddof=1) / math.sqrt(len(scores))
    return float(np.mean(scores) - half), float(np.mean(scores) + half)


def calibration_error(probabilities: np.ndarray, outcomes: np.ndarray) -> float:
    """Expected calibration error over 15 bins of equal width: |mean probability - share that came true|, weighted.

    For one label an example: the probability of the predicted one. For several: of every label (Guo et al. 2017).
    """
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, probabilities - outcomes, minlength=BINS)
    return float(np.abs(gaps).sum() / len(probabilities))


def is_comparable(metric: str) -> bool:
    """Whether the metric is one of those that `compare` can resample."""
    return metric in TOKEN_METRICS or metric == "accuracy" or metric.startswith(("micro_f1", "macro_f1", "weighted_f1"))


def compare(reference: list[Run], other: list[Run], metric: str) -> Comparison:
    """Paired bootstrap over the test documents (patients, where these were kept together), scores averaged over seeds.

    Raises UserError where the runs were not tested on the same documents under the same protocol.
    """
    tables = [[counts_by_group(run, metric) for run in runs] for runs in (reference, other)]
    groups = sorted(tables[0][0])
    for (result, _), table in zip([*reference, *other], [*tables[0], *tables[1]]):
        if tested_on(result) != tested_on(reference[0][0]) or sorted(table) != groups:
            raise UserError(
                f"{result['model_name']} ({tested_on(result)[0]}, protocol {result['protocol']}) and the reference "
                f"{reference[0][0]['model_name']} (protocol {reference[0][0]['protocol']}) were tested on different "
                "documents; their scores cannot be compared"
            )
    gold = [sum(table.values())[:, 2].tolist() for seeds in tables for table in seeds]
    if any(counts != gold[0] for counts in gold):
        raise UserError(
            f"{metric} scores the words that a model saw, and {other[0][0]['model_name']} saw others than "
            f"{reference[0][0]['model_name']}; f1_all_gold and f1_windowed can be compared"
        )
    drawn = np.random.default_rng(RESAMPLING_SEED).multinomial(len(groups), [1 / len(groups)] * len(groups), RESAMPLES)
    weights = np.vstack([np.ones(len(groups)), drawn])  # the first row is the test set itself
    score = [mean_score(table, groups, weights, metric, reference[0][0]) for table in tables]
    difference, resampled = (score[1] - score[0])[0], (score[1] - score[0])[1:]
    low, high = np.quantile(resampled, (0.025, 0.975))
    smaller_side = min((resampled <= 0).sum(), (resampled >= 0).sum())
    return Comparison(float(difference), float(low), float(high), min(1.0, 2 * (1 + smaller_side) / (1 + RESAMPLES)))


def tested_on(result: dict[str, Any]) -> tuple[str, str, str, int | None]:
    """What two results must share to be compared."""
    return result["dataset"], result["protocol"], result["identity"]["raw_sha256"], result["config"].get("limit")


def mean_score(
    tables: list[dict[str, np.ndarray]], groups: list[str], weights: np.ndarray, metric: str, result: dict[str, Any]
) -> np.ndarray:
    """The metric, averaged over the seeds' tables, for each row of group weights."""
    counts = np.stack([[table[group] for group in groups] for table in tables], axis=1)  # groups, seeds, classes, 3
    summed = np.tensordot(weights, counts, axes=1)
    return metric_of_counts(summed, metric, result).mean(axis=1)


def metric_of_counts(counts: np.ndarray, metric: str, result: dict[str, Any]) -> np.ndarray:
    """counts: (..., classes, 3), the last axis correct, predicted, gold. Classes without any count score 0."""
    if metric.startswith("micro_f1_"):
        negative = result.get("negative_label") or "false"
        counts = counts[..., [label != negative for label in result["labels"]], :]
    if not metric.startswith(("macro", "weighted")):
        counts = counts.sum(axis=-2, keepdims=True)
    correct, sizes = counts[..., 0], counts[..., 1] + counts[..., 2]
    f1 = np.divide(2 * correct, sizes, out=np.zeros_like(sizes, dtype=float), where=sizes > 0)
    if not metric.startswith("weighted"):
        return f1.mean(axis=-1)
    gold = counts[..., 2]
    return (f1 * gold).sum(axis=-1) / np.maximum(gold.sum(axis=-1), 1)


def counts_by_group(run: Run, metric: str) -> dict[str, np.ndarray]:
    """(classes, 3) counts of each patient or document; raises UserError where they do not give the stored score."""
    result, predictions = run
    counts: dict[str, np.ndarray] = {}
    try:
        for prediction in predictions:
            group = group_of(prediction)
            counts[group] = counts.get(group, 0) + document_counts(prediction, metric, result["labels"])
        score = metric_of_counts(sum(counts.values()), metric, result)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        score = math.nan
    if not math.isclose(float(score), result["metrics"]["test"][metric], abs_tol=1e-6):
        raise UserError(f"the predictions beside '{result.get('path')}' do not give its {metric}; they were changed")
    return counts


def document_counts(prediction: dict[str, Any], metric: str, labels: list[str]) -> np.ndarray:
    """(classes, 3): correct, predicted and gold entities or labels of one prediction."""
    gold, predicted = prediction["gold"], prediction["predicted"]
    if metric in TOKEN_METRICS:
        seen = prediction["seen"]
        if metric == "f1":
            gold, predicted = [gold[i] for i in seen], [predicted[i] for i in seen]
        elif metric == "f1_windowed":
            predicted = prediction.get("windowed", predicted)
        gold, predicted = set(get_entities(gold)), set(get_entities(predicted))
        return np.array([[len(gold & predicted), len(predicted), len(gold)]])
    if metric == "accuracy":
        return np.array([[gold == predicted, 1, 1]], dtype=int)
    if isinstance(gold, str):
        gold, predicted = [[label == name for name in labels] for label in (gold, predicted)]
    gold, predicted = np.array(gold, dtype=int), np.array(predicted, dtype=int)
    return np.stack([gold & predicted, predicted, gold], axis=1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's correction for comparing several models with one reference."""
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate([(len(order) - k) * p_values[i] for k, i in enumerate(order)])
    return np.minimum(stepped, 1.0)[np.argsort(order)].tolist()
