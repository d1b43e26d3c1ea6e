"""One label a text, or a pair of texts: relations, diagnoses, entailment."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from bioclinical.metrics.calibration import CalibrationError
from bioclinical.metrics.classification import confusion_matrix, label_metrics, per_class
from bioclinical.metrics.metric import Metric, Prediction
from bioclinical.problems.calibration import best_index, between, fit_temperature, scores_at
from bioclinical.problems.encoding import Coder, EncodedSplit
from bioclinical.problems.label_names import LONGEST_LABEL, MOST_LABELS, name_labels, unknown
from bioclinical.problems.losses import LOSSES, Loss, balanced_weights, focal_cross_entropy, weighted_cross_entropy
from bioclinical.problems.operating_point import ABSTAINED, Aim, Calibration, OperatingPoint, decided
from bioclinical.problems.problem import Answer, identity
from bioclinical.problems.sequence import SequenceProblem, logits_and_gold
from bioclinical.tasks.example import Example


class SingleLabel(SequenceProblem):
    """`labels` of an example is the name of its label."""

    name = "single_label_classification"
    selection_metric = "weighted_f1"
    losses = LOSSES
    most_thresholds = 1
    can_abstain = True

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
        shares = probabilities(logits / coder.point.temperature)
        said = self.said(shares, coder)
        found = {"predicted": said, "probabilities": rounded(shares)}
        if coder.point.thresholds:  # what is said need not be what is most probable
            found["confidence"] = found["probabilities"][coder.labels.index(said)]
        return found

    def said(self, shares: np.ndarray, coder: Coder) -> str:
        return coder.labels[int(decided(shares, coder.labels, coder.point.thresholds))]

    def calibration_fault(
        self, validation: Sequence[Example], aim: Aim | None, negative_label: str | None
    ) -> str | None:
        found = len(self.labels_in(validation))
        if found < 2:
            return f"has {found} label(s) among its {len(validation):,} validation examples; 2 are needed"
        if aim and negative_label is None:
            return "has no negative label, whose threshold would decide; leave out --operating_point"
        return None

    def calibration(
        self,
        coder: Coder,
        split: EncodedSplit,
        logits: Sequence[np.ndarray],
        aim: Aim | None,
        negative_label: str | None,
    ) -> Calibration:
        """A temperature; for an aim the threshold of the negative label, precision and recall being of all others."""
        values, gold = logits_and_gold(coder, split, logits, self)
        temperature, nll = fit_temperature(values, gold)
        if aim is None:
            return Calibration(OperatingPoint(temperature), True, {}, nll, len(gold))
        shares, own = probabilities(values / temperature), coder.labels.index(negative_label)
        candidates = between(shares[:, own])
        tried = [decided(shares, coder.labels, {negative_label: t}) for t in candidates]
        counts = np.array([[((p == gold) & (p != own)).sum(), (p != own).sum(), (gold != own).sum()] for p in tried])
        best, reached = best_index(counts, aim)
        point = OperatingPoint(temperature, {negative_label: float(candidates[best])})
        return Calibration(point, reached, {f"all but {negative_label}": scores_at(counts[best])}, nll, len(gold))

    def abstained(self, answer: Answer, below: float) -> Answer:
        given = answer["probabilities"]
        return answer | {"label": ABSTAINED} if given and given[answer["label"]] < below else answer

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
        shares = probabilities(logits / coder.point.temperature)
        return {"label": self.said(shares, coder), "probabilities": dict(zip(coder.labels, rounded(shares)))}


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The softmax of the logits over their last axis."""
    from scipy.special import softmax  # slow to import

    return softmax(logits, axis=-1)


def rounded(values: np.ndarray) -> list[float]:
    """Probabilities as they are stored."""
    return [round(float(value), 6) for value in values]
