"""ROUGE of generated texts by the package rouge-score (0-1): F of n-grams, of the longest common subsequence, by lines.

Lower case; everything but a-z and 0-9 is a blank. With the Porter stemmer (as BioMedLM's program) or without (as
Hugging Face's `evaluate`, MEDIQA-Chat and ACI-Bench): two sets of numbers, kept apart by their names.
"""

import functools
from collections.abc import Mapping, Sequence

from rouge_score.rouge_scorer import RougeScorer

NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


@functools.cache
def scorer(stem: bool) -> RougeScorer:
    return RougeScorer(NAMES, use_stemmer=stem)


def rouge_scores(prediction: str, references: Sequence[str], stem: bool) -> dict[str, float]:
    """F of one prediction; of several references the best, for each measure. An empty text scores 0."""
    scores = scorer(stem).score_multi(references, prediction)
    return {name: float(scores[name].fmeasure) for name in NAMES}


def mean_scores(scores: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean over texts."""
    return {name: sum(score[name] for score in scores) / len(scores) for name in NAMES}
