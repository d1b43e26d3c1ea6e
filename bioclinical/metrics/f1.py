"""F1 from counts of correct, predicted and gold: the formulas, once.

scikit-learn computes F1 from the counts, seqeval from precision and recall: equal numbers up to the last bit, and each
is kept for its own metrics so that scores agree with those libraries exactly. Without any count, a score is 0.
"""

import numpy as np


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, 0 where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, dtype=float), np.asarray(denominator, dtype=float)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def precision(counts: np.ndarray) -> np.ndarray:
    """counts: (..., 3), the last axis correct, predicted, gold."""
    return ratio(counts[..., 0], counts[..., 1])


def recall(counts: np.ndarray) -> np.ndarray:
    """counts: (..., 3)."""
    return ratio(counts[..., 0], counts[..., 2])


def f1(counts: np.ndarray) -> np.ndarray:
    """counts: (..., 3); scikit-learn's F1, 2 correct / (predicted + gold)."""
    return ratio(2 * counts[..., 0], counts[..., 1] + counts[..., 2])


def entity_f1(counts: np.ndarray) -> np.ndarray:
    """counts: (..., 3); seqeval's F1, the harmonic mean of precision and recall."""
    p, r = precision(counts), recall(counts)
    return ratio(2 * p * r, p + r)


def micro_f1(counts: np.ndarray) -> np.ndarray:
    """counts: (..., classes, 3) -> (...): F1 of the counts of all classes together."""
    return f1(counts.sum(axis=-2))


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """counts: (..., classes, 3) -> (...): the mean over classes, those that never occur included."""
    return f1(counts).mean(axis=-1)


def weighted_f1(counts: np.ndarray) -> np.ndarray:
    """counts: (..., classes, 3) -> (...): the mean over classes, weighted by their gold examples."""
    gold = counts[..., 2]
    return ratio((f1(counts) * gold).sum(axis=-1), gold.sum(axis=-1))


AVERAGES = {"weighted": weighted_f1, "micro": micro_f1, "macro": macro_f1}
