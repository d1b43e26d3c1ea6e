"""How far probabilities are from the shares that came true."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bioclinical.metrics.metric import Predictions, SummableMetric, group_sums

BINS = 15


@dataclass(frozen=True, kw_only=True)
class CalibrationError(SummableMetric):
    """Expected calibration error over 15 bins of equal width: |mean probability - share that came true|, weighted.

    For one label an example: the probability of the predicted one. For several: of every label (Guo et al. 2017).
    """

    name: str = "ece"
    higher_is_better: bool = False

    def is_computable(self, predictions: Predictions) -> bool:
        return "probabilities" in predictions[0]

    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """table: (groups, bins + 1), in each bin the sum of probability minus outcome, then the number of pairs."""
        pairs = [probabilities_and_outcomes(prediction) for prediction in predictions]
        return group_sums(predictions, np.array([bin_sums(*pair) for pair in pairs]))

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        return np.abs(sums[..., :BINS]).sum(axis=-1) / sums[..., BINS]

    def score(self, predictions: Predictions) -> float:
        # Summed in one go rather than by groups: the last bit of a sum of fractions depends on its order.
        pairs = [probabilities_and_outcomes(prediction) for prediction in predictions]
        return float(self.of_sums(bin_sums(*map(np.concatenate, zip(*pairs)))))


def probabilities_and_outcomes(prediction: Any) -> tuple[np.ndarray, np.ndarray]:
    """Of one prediction: the probabilities that are judged, and 1 or 0 for what came true."""
    probabilities, gold = np.array(prediction["probabilities"]), prediction["gold"]
    if isinstance(gold, list):
        return probabilities, np.array(gold, dtype=float)
    said = np.array([prediction.get("confidence", probabilities.max())])
    return said, np.array([gold == prediction["predicted"]], dtype=float)


def bin_sums(probabilities: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """(bins + 1,): the sum of probability minus outcome in each bin, and the number of pairs."""
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    return np.append(np.bincount(bins, probabilities - outcomes, minlength=BINS), len(probabilities))
