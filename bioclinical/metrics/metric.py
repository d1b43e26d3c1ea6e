"""What a metric is: an object that knows its name, its range and direction, and how to score predictions.

Metrics whose score is a function of sums over the test set's units (patients, documents, abstracts) also give the table
of those sums, so that a bootstrap resample is a weighted sum of its rows instead of a new evaluation.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import numpy as np

from bioclinical.tasks.example import group_of


class Prediction(TypedDict, total=False):
    """What a model said about one example, without its text; the lines of a `.predictions.jsonl`.

    gold, predicted: a label name; 0 or 1 per label; a number; or a tag per word.  probabilities: one per label, in the
    order of the labels.  confidence: the one of the predicted label, where that need not be the largest.  seen:
    positions of the words that were not cut.  windowed: a tag per word over all windows,
    where words were cut.  tokenless: positions of the words of which the tokenizer left nothing.  part: of a test set
    that is published in parts.
    """

    id: str
    group: str
    part: str
    gold: Any
    predicted: Any
    probabilities: list[float]
    confidence: float
    seen: list[int]
    windowed: list[str]
    tokenless: list[int]


Predictions = Sequence[Prediction]


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A score of a list of predictions.

    low, high: the range of its values.  unit: what it scores and averages over, the single `example`, a `group` of them
    (all sentences of an abstract as one) or a `fold` of a cross-validation.  needs_windows: computed from the
    predictions over whole documents, which only the test set gets.  is_headline: shown in short tables.
    """

    name: str
    low: float = 0.0
    high: float = 1.0
    higher_is_better: bool = True
    unit: Literal["example", "group", "fold"] = "example"
    needs_windows: bool = False
    is_headline: bool = True

    @abstractmethod
    def score(self, predictions: Predictions) -> float:
        """The metric over all predictions (at least one), a finite number between low and high."""

    def is_computable(self, predictions: Predictions) -> bool:
        """Whether the predictions hold what this metric needs (a baseline has no probabilities)."""
        return True

    def scored_part(self, prediction: Prediction) -> Any:
        """What of the gold is scored; the scores of two models compare only where they are equal everywhere."""
        return prediction["gold"]

    @property
    def in_percent(self) -> bool:
        """Fractions and correlations are shown times 100, as the field's tables do; other values as they are."""
        return self.high == 1.0

    def display(self, value: float) -> str:
        """A value as it is printed: `83.07` for 0.8307; four significant digits outside percent."""
        return f"{100 * value:.2f}" if self.in_percent else f"{value:.4g}"


class SummableMetric(Metric):
    """A metric that is a function of sums over units."""

    @abstractmethod
    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """The units (groups of the predictions, sorted) and a table (units, ...) of what adds up over them."""

    @abstractmethod
    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        """The metric of sums of table rows: (..., *table shape without units) -> (...)."""

    def score(self, predictions: Predictions) -> float:
        return float(self.of_sums(self.tabulate(predictions)[1].sum(axis=0)))


def group_sums(predictions: Predictions, values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The sums of values (predictions, ...) over each group: sorted group names, and (groups, ...)."""
    groups = [group_of(prediction) for prediction in predictions]
    names = sorted(set(groups))
    number = {name: i for i, name in enumerate(names)}
    table = np.zeros((len(names), *values.shape[1:]), dtype=values.dtype)
    np.add.at(table, [number[group] for group in groups], values)
    return names, table


def score_all(metrics: Sequence[Metric], predictions: Predictions) -> dict[str, float]:
    """Each metric's score by its name, where the predictions hold what it needs."""
    return {metric.name: metric.score(predictions) for metric in metrics if metric.is_computable(predictions)}


def scalars(scores: dict[str, Any]) -> dict[str, float]:
    """The scores and counts that are single numbers."""
    return {name: value for name, value in scores.items() if isinstance(value, (int, float))}
