"""One number a text, or a pair of texts: similarity, severity."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from bioclinical.metrics.metric import Metric, Prediction
from bioclinical.metrics.regression import Pearson, RootMeanSquaredError, Spearman
from bioclinical.problems.encoding import Coder
from bioclinical.problems.label_names import name_labels
from bioclinical.problems.problem import Answer, identity
from bioclinical.problems.sequence import SequenceProblem
from bioclinical.tasks.example import Example


class Regression(SequenceProblem):
    """`labels` of an example is a number, or one written out. The loss is the mean squared error."""

    name = "regression"
    selection_metric = "pearson"
    has_labels = False

    def gold_fault(self, gold: Any, labels: tuple[str, ...]) -> str | None:
        return "its score is not a finite number; is it the right column?" if number_of(gold) is None else None

    def prepared(self, example: Example) -> Example:
        return example | {"labels": number_of(example["labels"])}

    def counts(self, examples: Sequence[Example], labels: tuple[str, ...]) -> dict[str, float]:
        golds = [example["labels"] for example in examples]
        return {"lowest score": min(golds), "mean score": float(np.mean(golds)), "highest score": max(golds)}

    def configure(self, config: Any, labels: tuple[str, ...]) -> None:
        name_labels(config, ["score"], self.name)

    def target(self, gold: float, coder: Coder) -> float:
        return gold

    def prediction(self, gold: float, logits: np.ndarray, coder: Coder) -> dict[str, Any]:
        return {"predicted": float(logits[0])}

    def baseline(self, train: Sequence[Example], test: Sequence[Example], labels: tuple[str, ...]) -> list[Prediction]:
        """The mean of training."""
        mean = float(np.mean([example["labels"] for example in train]))
        return [identity(example) | {"gold": example["labels"], "predicted": mean} for example in test]

    def all_metrics(self, labels: tuple[str, ...], negative_label: str | None) -> list[Metric]:
        return [Pearson(), Spearman(), RootMeanSquaredError()]

    def answer(self, logits: np.ndarray | None, coder: Coder) -> Answer:
        """The number; null for an empty text."""
        return {"score": None if logits is None else round(float(logits[0]), 6)}


def number_of(value: Any) -> float | None:
    """The value as a finite number; None where it is none."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
