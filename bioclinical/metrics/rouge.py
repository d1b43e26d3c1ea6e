"""ROUGE of generated texts by the package rouge-score (0-1): F of n-grams, of the longest common subsequence, by lines.

Lower case; everything but a-z and 0-9 is a blank. With the Porter stemmer (as BioMedLM's program) or without (as
Hugging Face's `evaluate`, MEDIQA-Chat and ACI-Bench): two sets of numbers, kept apart by their names.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bioclinical.metrics.metric import Metric, Predictions, SummableMetric, group_sums

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
STEMMED = "_stemmed"


@functools.cache
def scorer(stem: bool, names: tuple[str, ...] = NAMES) -> "RougeScorer":
    from rouge_score.rouge_scorer import RougeScorer  # half a second that only who scores texts waits for

    return RougeScorer(names, use_stemmer=stem)


def rouge_scores(prediction: str, references: Sequence[str], stem: bool) -> dict[str, float]:
    """F of one prediction; of several references the best, for each measure. An empty text scores 0."""
    scores = scorer(stem).score_multi(references, prediction)
    return {name: float(scores[name].fmeasure) for name in NAMES}


def both_scores(prediction: str, reference: str) -> dict[str, float]:
    """F of one prediction under all names of `rouge_metrics`."""
    plain, stemmed = (rouge_scores(prediction, [reference], stem) for stem in (False, True))
    return plain | {name + STEMMED: value for name, value in stemmed.items()}


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over texts."""
    return {name: sum(score[name] for score in scores) / len(scores) for name in NAMES}


@dataclass(frozen=True, kw_only=True)
class Rouge(SummableMetric):
    """The mean of a measure over texts; each prediction holds its own value under the metric's name."""

    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """table: (groups, 2), the sum of the values and the number of texts."""
        return group_sums(predictions, np.array([[p[self.name], 1] for p in predictions], dtype=float))

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        return sums[..., 0] / np.maximum(sums[..., 1], 1)


def rouge_metrics() -> list[Metric]:
    """Each measure without the stemmer, then with it."""
    return [Rouge(name=name) for name in (*NAMES, *(name + STEMMED for name in NAMES))]


def typical_text(texts: Sequence[str], candidates: int = 50, judges: int = 200) -> str:
    """The one of the first `candidates` texts whose mean ROUGE-1 with the first `judges` is highest; the first of
    equals. A constant answer that knows the training texts only."""

    def mean_likeness(text: str) -> float:
        return sum(scorer(False, ("rouge1",)).score(other, text)["rouge1"].fmeasure for other in texts[:judges])

    distinct = list(dict.fromkeys(texts))[:candidates]
    return max(distinct, key=mean_likeness)


def first_words(text: str, count: int) -> str:
    """The beginning of a text."""
    return " ".join(text.split()[:count])


def length_details(predictions: Predictions) -> dict[str, Any]:
    """How long the texts are, and how many are empty."""
    written, wanted = ([p[key] for p in predictions] for key in ("predicted", "gold"))
    return {
        "texts": len(predictions),
        "empty_texts": sum(not words for words in written),
        "mean_words_written": sum(written) / len(written),
        "mean_words_wanted": sum(wanted) / len(wanted),
    }
