"""Any number of a list's labels a text, or a pair of texts."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from bioclinical.metrics.abstracts import AbstractExampleF1, AbstractMicroF1
from bioclinical.metrics.calibration import CalibrationError
from bioclinical.metrics.classification import label_metrics, per_class
from bioclinical.metrics.metric import Metric, Prediction
from bioclinical.problems.encoding import Coder
from bioclinical.problems.label_names import name_labels
from bioclinical.problems.losses import LOSSES, Loss, focal_binary, positive_weights, weighted_binary
from bioclinical.problems.problem import Answer, identity
from bioclinical.problems.sequence import SequenceProblem
from bioclinical.problems.single_label import rounded
from bioclinical.tasks.example import Example


class MultiLabel(SequenceProblem):
    """`labels` of an example is a list of 0 and 1 in the order of the task's labels, which it must list."""

    name = "multi_label_classification"
    selection_metric = "weighted_f1"
    losses = LOSSES

    def gold_fault(self, gold: Any, labels: tuple[str, ...]) -> str | None:
        if isinstance(gold, list) and len(gold) == len(labels) and all(value in (0, 1) for value in gold):
            return None
        return f"`labels` must be a list of {len(labels)} zeros and ones, one for each of the task's labels"

    def label_fault(self, labels: tuple[str, ...]) -> str | None:
        return "a multi-label task needs its list of labels; add labels=(...) to its entry"

    def counts(self, examples: Sequence[Example], labels: tuple[str, ...]) -> dict[str, float]:
        counted = Counter(label for example in examples for label, on in zip(labels, example["labels"]) if on)
        return {label: counted[label] for label in labels}

    def configure(self, config: Any, labels: tuple[str, ...]) -> None:
        name_labels(config, labels, self.name)

    def target(self, gold: list[int], coder: Coder) -> list[float]:
        return [float(value) for value in gold]  # binary cross-entropy wants floats

    def loss_function(self, name: str, train: Sequence[Example], labels: tuple[str, ...]) -> Loss | None:
        if name == "weighted":
            return weighted_binary(positive_weights(list(self.counts(train, labels).values()), len(train)))
        return focal_binary if name == "focal" else None

    def prediction(self, gold: list[int], logits: np.ndarray, coder: Coder) -> dict[str, Any]:
        """1 where the logit is above 0, and every label's probability."""
        return {"predicted": [int(logit > 0) for logit in logits], "probabilities": rounded(probabilities(logits))}

    def baseline(self, train: Sequence[Example], test: Sequence[Example], labels: tuple[str, ...]) -> list[Prediction]:
        """Each label that most training examples have."""
        majority = [int(share > 0.5) for share in np.mean([example["labels"] for example in train], axis=0)]
        return [identity(example) | {"gold": example["labels"], "predicted": majority} for example in test]

    def all_metrics(self, labels: tuple[str, ...], negative_label: str | None) -> list[Metric]:
        return [*label_metrics(labels), CalibrationError()]

    def special_metrics(self, labels: tuple[str, ...]) -> list[Metric]:
        return [AbstractMicroF1(), AbstractExampleF1()]

    def details(self, predictions: Sequence[Prediction], labels: tuple[str, ...]) -> dict[str, Any]:
        return {"per_class": per_class(predictions, labels)}

    def answer(self, logits: np.ndarray | None, coder: Coder) -> Answer:
        """The labels with every label's probability; null for an empty text."""
        if logits is None:
            return {"labels": None, "probabilities": None}
        found = [label for label, logit in zip(coder.labels, logits) if logit > 0]
        return {"labels": found, "probabilities": dict(zip(coder.labels, rounded(probabilities(logits))))}


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The logistic function of each logit."""
    from scipy.special import expit  # slow to import

    return expit(logits)
