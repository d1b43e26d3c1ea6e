"""Scores of single words with a class each, for tags that mark words and not spans (PICO)."""

from dataclasses import dataclass

import numpy as np

from bioclinical.metrics.entities import tags_of
from bioclinical.metrics.f1 import macro_f1
from bioclinical.metrics.metric import Predictions, SummableMetric, group_sums


@dataclass(frozen=True, kw_only=True)
class WordMacroF1(SummableMetric):
    """The mean over the classes of each one's F1 over words; B- and I- of a class are the same, O is none.

    Words beyond the model's context count as O.
    """

    name: str = "word_macro_f1"
    classes: tuple[str, ...]

    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """table: (groups, classes, 3), correct, predicted and gold words."""
        rows = []
        for prediction in predictions:
            gold, predicted = (np.array([tag[2:] for tag in tags]) for tags in tags_of(prediction, "all"))
            pairs = [(gold == name, predicted == name) for name in self.classes]
            rows.append([[(g & p).sum(), p.sum(), g.sum()] for g, p in pairs])
        return group_sums(predictions, np.array(rows, dtype=int))

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        return macro_f1(sums)
