"""Any number of a list's labels a text, or a pair of texts."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from bioclinical.metrics.abstracts import AbstractExampleF1, AbstractMicroF1
from bioclinical.metrics.calibration import CalibrationError
from bioclinical.metrics.classification import label_metrics, per_class
from bioclinical.metrics.metric import Metric, Prediction
from bioclinical.problems.calibration import best_index, between, fit_temperature, label_counts_at, scores_at
from bioclinical.problems.encoding import Coder, EncodedSplit
from bioclinical.problems.label_names import name_labels
from bioclinical.problems.losses import LOSSES, Loss, focal_binary, positive_weights, weighted_binary
from bioclinical.problems.operating_point import Aim, Calibration, OperatingPoint
from bioclinical.problems.problem import Answer, identity
from bioclinical.problems.sequence import SequenceProblem, logits_and_gold
from bioclinical.problems.single_label import rounded
from bioclinical.tasks.example import Example


class MultiLabel(SequenceProblem):
    """`labels` of an example is a list of 0 and 1 in the order of the task's labels, which it must list."""

    name = "multi_label_classification"
    selection_metric = "weighted_f1"
    losses = LOSSES
    most_thresholds = None
    can_abstain = True

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
        """1 where the probability is above one half (or reaches its threshold), and every label's probability."""
        shares = probabilities(logits / coder.point.temperature)
        return {"predicted": said(logits, shares, coder), "probabilities": rounded(shares)}

    def calibration_fault(
        self, validation: Sequence[Example], aim: Aim | None, negative_label: str | None
    ) -> str | None:
        found = {value for example in validation for value in example["labels"]}
        return None if len(found) == 2 else f"has no mixed labels among its {len(validation):,} validation examples"

    def calibration(
        self,
        coder: Coder,
        split: EncodedSplit,
        logits: Sequence[np.ndarray],
        aim: Aim | None,
        negative_label: str | None,
    ) -> Calibration:
        """A temperature, and a threshold for each label that has positives there: of the best F1, or for the aim."""
        values, gold = logits_and_gold(coder, split, logits, self)
        temperature, nll = fit_temperature(values, gold)
        shares, thresholds, scores, reached = probabilities(values / temperature), {}, {}, True
        for k, label in enumerate(coder.labels):
            if not gold[:, k].any():
                continue
            candidates = between(shares[:, k])
            counts = label_counts_at(shares[:, k], gold[:, k], candidates)
            best, is_met = best_index(counts, aim)
            thresholds[label], scores[label] = float(candidates[best]), scores_at(counts[best])
            reached = reached and is_met
        return Calibration(OperatingPoint(temperature, thresholds), reached, scores, nll, gold.size)

    def abstained(self, answer: Answer, below: float) -> Answer:
        """`abstained`: the labels of which neither yes nor no is as probable as that; they are not among `labels`."""
        if answer["probabilities"] is None:
            return answer
        open_ = [label for label, p in answer["probabilities"].items() if max(p, 1 - p) < below]
        return answer | {"labels": [label for label in answer["labels"] if label not in open_], "abstained": open_}

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
        shares = probabilities(logits / coder.point.temperature)
        found = [label for label, is_said in zip(coder.labels, said(logits, shares, coder)) if is_said]
        return {"labels": found, "probabilities": dict(zip(coder.labels, rounded(shares)))}


def said(logits: np.ndarray, shares: np.ndarray, coder: Coder) -> list[int]:
    """1 for each label that is said."""
    least = coder.point.thresholds
    return [
        int(share >= least[label] if label in least else logit > 0)
        for label, logit, share in zip(coder.labels, logits, shares)
    ]


def probabilities(logits: np.ndarray) -> np.ndarray:
    """The logistic function of each logit."""
    from scipy.special import expit  # slow to import

    return expit(logits)
