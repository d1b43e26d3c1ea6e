"""Predicted numbers against gold ones: Pearson's and Spearman's correlation, and the root mean squared error.

Oracle: SciPy. A correlation that does not exist (one side is constant, as a baseline's is) counts as 0.
"""

import math
from dataclasses import dataclass

import numpy as np

from bioclinical.metrics.f1 import ratio
from bioclinical.metrics.metric import Metric, Predictions, SummableMetric, group_sums


@dataclass(frozen=True, kw_only=True)
class Pearson(SummableMetric):
    """The linear correlation of predicted and gold numbers."""

    name: str = "pearson"
    low: float = -1.0

    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """table: (groups, 6), the sums of 1, x, y, xx, yy and xy, with x and y measured from their means."""
        x, y = (values - values.mean() for values in numbers_of(predictions))
        return group_sums(predictions, np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1))

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
        variances = np.maximum(n * xx - x * x, 0) * np.maximum(n * yy - y * y, 0)
        return np.clip(ratio(n * xy - x * y, np.sqrt(variances)), -1, 1)


@dataclass(frozen=True, kw_only=True)
class Spearman(Metric):
    """The correlation of the ranks; ties share their mean rank."""

    name: str = "spearman"
    low: float = -1.0

    def score(self, predictions: Predictions) -> float:
        from scipy.stats import spearmanr  # slow to import

        gold, predicted = numbers_of(predictions)
        if np.ptp(gold) == 0 or np.ptp(predicted) == 0:
            return 0.0
        return float(spearmanr(gold, predicted).statistic)


@dataclass(frozen=True, kw_only=True)
class RootMeanSquaredError(SummableMetric):
    """The root of the mean squared difference, in the unit of the gold numbers."""

    name: str = "rmse"
    high: float = math.inf
    higher_is_better: bool = False

    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """table: (groups, 2), the sum of squared differences and the number of examples."""
        gold, predicted = numbers_of(predictions)
        return group_sums(predictions, np.stack([(gold - predicted) ** 2, np.ones_like(gold)], axis=1))

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        return np.sqrt(ratio(sums[..., 0], sums[..., 1]))


def numbers_of(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Gold and predicted numbers, each (examples,)."""
    return tuple(np.array([p[key] for p in predictions], dtype=float) for key in ("gold", "predicted"))
