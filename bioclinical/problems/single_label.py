"""One label a text, or a pair of texts: relations, diagnoses, entailment."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from bioclinical.metrics.calibration import CalibrationError
from bioclinical.metrics.classification import confusion_matrix, label_metrics, per_class
from bioclinical.metrics.metric import Metric, Prediction
from bioclinical.problems.encoding import Coder
from bioclinical.problems.label_names import LONGEST_LABEL, MOST_LABELS, name_labels, unknown
from bioclinical.problems.losses import LOSSES, Loss, balanced_weights, focal_cross_entropy, weighted_cross_entropy
from bioclinical.problems.problem import Answer, identity
from bioclinical.problems.sequence import SequenceProblem
from bioclinical.tasks.example import Example


class SingleLabel(SequenceProblem):
    """`labels` of an example is the name of its label."""

    name = "single_label_classification"
    selection_metric = "weighted_f1"
    losses = LOSSES

    def gold_fault(self, gold: str, labels: tuple[str, ...]) -> str | None:
        return unknown("label", {gold}, labels)

    def labels_in(self, examples: Sequence[Example]) -> set[str]:
        return {example["labels"] for example in examples}

    def label_fault(self, labels: tuple[str, ...]) -> str | None:
        if len(labels) <= MOST_LABELS and all(len(label) <= LONGEST_LABEL for label in labels):
            return None
        return (
            f"the label column holds {len(labels):,} different values, the longest of "
            f"{max(map(len, labels)):,} characters; is it the right column? Allowed: {MOST_LABELS} of {LONGEST_LABEL}"
        )

    def counts(self, examples: Sequence[Example], labels: tuple[str, ...]) -> dict[str, float]:
        counted = Counter(example["labels"] for example in examples)
        return {label: counted[label] for label in labels}

    def configure(self, config: Any, labels: tuple[str, ...]) -> None:
        name_labels(config, labels, self.name)

    def target(self, gold: str, coder: Coder) -> int:
        return coder.labels.index(gold)

    def loss_function(self, name: str, train: Sequence[Example], labels: tuple[str, ...]) -> Loss | None:
        if name == "weighted":
            return weighted_cross_entropy(balanced_weights(list(self.counts(train, labels).values())))
        return focal_cross_entropy if name == "focal" else None

    def prediction(self, gold: str, logits: np.ndarray, coder: Coder) -> dict[str, Any]:
        """The label of the largest logit, and every label's probability."""
        return {"predicted": coder.labels[int(logits.argmax())], "probabilities": rounded(probabilities(logits))}

    def baseline(self, train: Sequence[Example], test: Sequence[Example], labels: tuple[str, ...]) -> list[Prediction]:
        """The majority label of training."""
        golds = [example["labels"] for example in train]
        majority = max(labels, key=golds.count)
        return [identity(example) | {"gold": example["labels"], "predicted": majority} for example in test]

    def all_metrics(self, labels: tuple[str, ...], negative_label: str | None) -> list[Metric]:
        return [*label_metrics(labels, negative_label), CalibrationError()]

    def details(self, predictions: Sequence[Prediction], labels: tuple[str, ...]) -> dict[str, Any]:
        return {
            "per_class": per_class(predictions, labels),
            "confusion_matrix": confusion_matrix(predictions, labels),
        }

    def answer(self, logits: np.ndarray | None, coder: Coder) -> Answer:
        """The label with every label's probability; null for an empty text."""
        if logits is None:
            return {"label": None, "probabilities": None}
        values = zip(coder.labels, rounded(probabilities(logits)))
        return {"label": coder.labels[int(logits.argmax())], "probabilities": dict(values)}


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The softmax of the logits."""
    from scipy.special import softmax  # slow to import

    return softmax(logits)


def rounded(values: np.ndarray) -> list[float]:
    """Probabilities as they are stored."""
    return [round(float(value), 6) for value in values]
