"""Accuracy and F1 of labels, one or several an example. Oracle: scikit-learn with zero_division=0."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bioclinical.metrics.f1 import AVERAGES, f1, precision, ratio, recall
from bioclinical.metrics.metric import Predictions, SummableMetric, group_sums


@dataclass(frozen=True, kw_only=True)
class Accuracy(SummableMetric):
    """The share of examples that are right; with several labels, right in every one. key: what was predicted."""

    name: str = "accuracy"
    key: str = "predicted"

    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """table: (groups, 2), correct and all examples."""
        return group_sums(predictions, np.array([[p["gold"] == p[self.key], 1] for p in predictions], dtype=int))

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums[..., 0], sums[..., 1])

    def is_computable(self, predictions: Predictions) -> bool:
        return all(self.key in prediction for prediction in predictions)


@dataclass(frozen=True, kw_only=True)
class LabelF1(SummableMetric):
    """F1 over labels. scored: those in the sums, all where None. labels: all, in the order of their ids.

    With a label left out (ChemProt's `false`), predicting another one in its place, or it in place of another one,
    still counts as an error.
    """

    labels: tuple[str, ...]
    average: Literal["micro", "macro", "weighted"]
    scored: tuple[str, ...] | None = None

    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """table: (groups, scored labels, 3), correct, predicted and gold."""
        chosen = [self.labels.index(label) for label in (self.labels if self.scored is None else self.scored)]
        return group_sums(predictions, label_counts(predictions, self.labels)[:, chosen])

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        return AVERAGES[self.average](sums)


def label_metrics(labels: Sequence[str], negative_label: str | None = None) -> list[SummableMetric]:
    """The three averages and accuracy; before them, with a negative label, `micro_f1_<k>` over the k other labels.

    `micro_f1_5` is ChemProt's official metric.
    """
    labels = tuple(labels)
    metrics: list[SummableMetric] = []
    if negative_label is not None:
        positive = tuple(label for label in labels if label != negative_label)
        metrics.append(LabelF1(name=f"micro_f1_{len(positive)}", labels=labels, average="micro", scored=positive))
    metrics += [LabelF1(name=f"{average}_f1", labels=labels, average=average) for average in AVERAGES]
    return [*metrics, Accuracy()]


def label_counts(predictions: Predictions, labels: Sequence[str]) -> np.ndarray:
    """(predictions, labels, 3): whether each label is correct, predicted, gold. Raises KeyError for an unknown one."""
    gold, predicted = (indicators([p[key] for p in predictions], labels) for key in ("gold", "predicted"))
    return np.stack([gold & predicted, predicted, gold], axis=-1)


def indicators(values: list[Any], labels: Sequence[str]) -> np.ndarray:
    """(examples, labels) of 0 and 1, from label names or from lists of 0 and 1."""
    if not isinstance(values[0], str):
        return np.array(values, dtype=int)
    number = {label: i for i, label in enumerate(labels)}
    return np.eye(len(labels), dtype=int)[[number[value] for value in values]]


def per_class(predictions: Predictions, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support (gold examples) of each label."""
    counts = label_counts(predictions, labels).sum(axis=0)
    columns = zip(labels, precision(counts), recall(counts), f1(counts), counts[:, 2])
    return {
        label: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(support)}
        for label, p, r, f, support in columns
    }


def confusion_matrix(predictions: Predictions, labels: Sequence[str]) -> dict[str, Any]:
    """Counts of gold labels (rows) by predicted ones (columns)."""
    gold, predicted = (indicators([p[key] for p in predictions], labels) for key in ("gold", "predicted"))
    return {"labels": list(labels), "rows_gold_columns_predicted": (gold.T @ predicted).tolist()}
