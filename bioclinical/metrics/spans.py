"""SQuAD's exact match and F1 as metrics of predictions (0-1), over all questions, or those with or without an answer.

A prediction holds no text: `gold` and `predicted` are [start, end) in the context (an empty list for no answer), and
its `exact` and `f1` were computed from the texts by bioclinical/metrics/squad.py.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bioclinical.metrics.f1 import ratio
from bioclinical.metrics.metric import Metric, Prediction, Predictions, SummableMetric, group_sums
from bioclinical.metrics.squad import best_threshold

Part = Literal["all", "answerable", "unanswerable"]


@dataclass(frozen=True, kw_only=True)
class QuestionScore(SummableMetric):
    """The mean of a question's own score; 0 where no question belongs to the part."""

    key: str
    part: Part = "all"

    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """table: (groups, 2), the sum of the scores and the number of questions."""
        rows = [[p[self.key], 1] if belongs(p, self.part) else [0, 0] for p in predictions]
        return group_sums(predictions, np.array(rows, dtype=float))

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums[..., 0], sums[..., 1])

    def is_computable(self, predictions: Predictions) -> bool:
        return any(belongs(prediction, self.part) for prediction in predictions)


def belongs(prediction: Prediction, part: Part) -> bool:
    return part == "all" or bool(prediction["gold"]) == (part == "answerable")


def span_metrics() -> list[Metric]:
    """F1 and exact match of all questions, then of those with an answer and of those without."""
    return [
        QuestionScore(name="f1", key="f1"),
        QuestionScore(name="exact", key="exact"),
        QuestionScore(name="has_answer_f1", key="f1", part="answerable", is_headline=False),
        QuestionScore(name="has_answer_exact", key="exact", part="answerable", is_headline=False),
        QuestionScore(name="no_answer_exact", key="exact", part="unanswerable", is_headline=False),
    ]


def span_details(predictions: Predictions) -> dict[str, Any]:
    """Counts; what the windows and the longest answer let a model reach; and the best threshold's score.

    reachable_*: the mean score of the gold answers themselves, cut to what is inside one window and not too long.
    best_*: as SQuAD's official program finds them on these very questions; for comparison, never a result.
    """
    reachable = [p for p in predictions if "reachable_f1" in p]
    details: dict[str, Any] = {
        "questions": len(predictions),
        "questions_without_answer": sum(not p["gold"] for p in predictions),
        "questions_answered": sum(bool(p["predicted"]) for p in predictions),
    }
    if reachable:
        for name in ("reachable_exact", "reachable_f1"):
            details[name] = sum(p[name] for p in reachable) / len(reachable)
    if all("null_odds" in p for p in predictions) and details["questions_without_answer"]:
        golds = {p["id"]: ["an answer"] if p["gold"] else [] for p in predictions}
        odds, answered = {p["id"]: p["null_odds"] for p in predictions}, {p["id"]: "an answer" for p in predictions}
        for name in ("exact", "f1"):
            scores = {p["id"]: p[f"answered_{name}"] for p in predictions}
            best = best_threshold(name, golds, answered, scores, odds)
            details[f"best_{name}"] = best[f"best_{name}"] / 100
            details[f"best_{name}_threshold"] = best[f"best_{name}_thresh"]
    return details
