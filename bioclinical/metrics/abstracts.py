"""HoC's two official scores: sentences are joined to abstracts (their groups), a label of any sentence is one of the
abstract. BLUE and BLURB then count differently, so that their scores are never compared."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from bioclinical.metrics.classification import indicators
from bioclinical.metrics.f1 import micro_f1, precision, ratio, recall
from bioclinical.metrics.metric import Predictions, SummableMetric
from bioclinical.tasks.example import group_of


@dataclass(frozen=True, kw_only=True)
class AbstractMicroF1(SummableMetric):
    """BLURB's: micro F1 over all labels of all abstracts."""

    name: str = "abstract_micro_f1"
    unit: Literal["example", "group", "fold"] = "group"

    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """table: (abstracts, labels, 3), correct, predicted and gold."""
        return abstract_counts(predictions)

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        return micro_f1(sums)


@dataclass(frozen=True, kw_only=True)
class AbstractExampleF1(SummableMetric):
    """BLUE's: precision and recall of each abstract, both averaged over abstracts, then their harmonic mean.

    Only abstracts with a gold label count: BLUE's program divides by their number of gold labels, and its files hold no
    others.
    """

    name: str = "abstract_example_f1"
    unit: Literal["example", "group", "fold"] = "group"

    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """table: (abstracts, 3), precision, recall, and 1 where the abstract has a gold label."""
        names, counts = abstract_counts(predictions)
        totals = counts.sum(axis=1)
        is_labelled = totals[:, 2] > 0
        return names, np.stack([precision(totals) * is_labelled, recall(totals), is_labelled], axis=1)

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        mean_precision, mean_recall = ratio(sums[..., 0], sums[..., 2]), ratio(sums[..., 1], sums[..., 2])
        return ratio(2 * mean_precision * mean_recall, mean_precision + mean_recall)


def abstract_counts(predictions: Predictions) -> tuple[list[str], np.ndarray]:
    """Abstracts sorted, and (abstracts, labels, 3): whether each label is correct, predicted, gold in any sentence."""
    groups = [group_of(prediction) for prediction in predictions]
    names = sorted(set(groups))
    number = {name: i for i, name in enumerate(names)}
    rows = [number[group] for group in groups]
    sides = []
    for key in ("gold", "predicted"):
        values = indicators([prediction[key] for prediction in predictions], ())
        joined = np.zeros((len(names), values.shape[1]), dtype=int)
        np.maximum.at(joined, rows, values)
        sides.append(joined)
    gold, predicted = sides
    return names, np.stack([gold & predicted, predicted, gold], axis=-1)
