"""Exact match and F1 of span answers, by the rules of SQuAD's official programs (1.1 and 2.0), in percent.

Sources: evaluate-v1.1.py and evaluate-v2.0.py of rajpurkar/SQuAD-explorer, inconsistencies included: results are equal
to theirs to the last digit. Golds are a mapping from question id to the texts of its answers, in the file's order; no
text means that the question has no answer.
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence

from bioclinical.errors import UserError

Golds = Mapping[str, Sequence[str]]
WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")
# The official default: no value lies above it, so that nothing is set to "no answer".
KEEP_ALL = 1.0


def normalized(text: str) -> str:
    """Lower case without ASCII punctuation (deleted, not replaced), articles and repeated blanks."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(WITHOUT_PUNCTUATION)).split())


def exact_match(prediction: str, gold: str) -> int:
    """1 where both are the same after normalisation."""
    return int(normalized(prediction) == normalized(gold))


def token_f1(prediction: str, gold: str) -> float:
    """F1 of the bags of tokens; where a side has no token, 0 (the rule of 1.1)."""
    predicted, wanted = normalized(prediction).split(), normalized(gold).split()
    shared = sum((Counter(predicted) & Counter(wanted)).values())
    if shared == 0:
        return 0.0
    precision, recall = shared / len(predicted), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def token_f1_or_empty(prediction: str, gold: str) -> float:
    """F1 of the bags of tokens; where a side has no token, 1 if the other has none either (the rule of 2.0)."""
    predicted, wanted = normalized(prediction), normalized(gold)
    return token_f1(prediction, gold) if predicted and wanted else float(predicted == wanted)


def squad1_question(prediction: str, golds: Sequence[str]) -> tuple[int, float]:
    """Exact match and F1 (0-1) of one question: each the best over its golds."""
    return max(exact_match(prediction, gold) for gold in golds), max(token_f1(prediction, gold) for gold in golds)


def squad2_question(prediction: str, golds: Sequence[str]) -> tuple[int, float]:
    """The same in 2.0: golds without a token are dropped, and none left means that there is no answer."""
    golds = [gold for gold in golds if normalized(gold)] or [""]
    return (
        max(exact_match(prediction, gold) for gold in golds),
        max(token_f1_or_empty(prediction, gold) for gold in golds),
    )


def squad1_scores(golds: Golds, predictions: Mapping[str, str]) -> dict[str, float]:
    """`exact_match` and `f1`; a question without a prediction counts 0. Raises UserError for one without gold."""
    for question, texts in golds.items():
        if not texts:
            raise UserError(f"question {question} has no answer, which SQuAD 1.1 does not know; score it as 2.0")
    scores = [
        squad1_question(predictions[question], texts) if question in predictions else (0, 0.0)
        for question, texts in golds.items()
    ]
    return {
        "exact_match": 100.0 * sum(exact for exact, _ in scores) / len(scores),
        "f1": 100.0 * sum(f1 for _, f1 in scores) / len(scores),
    }


def squad2_scores(
    golds: Golds,
    predictions: Mapping[str, str],
    no_answer: Mapping[str, float] | None = None,
    threshold: float = KEEP_ALL,
) -> dict[str, float]:
    """The official program's numbers, under its names: all, HasAns_*, NoAns_*, and best_* where `no_answer` is given.

    no_answer: question id -> how sure the system is that there is no answer; strictly above `threshold`, the question
    counts as answered with "no answer". Raises UserError for a question without a prediction or value.
    """
    require_all(golds, predictions, "prediction")
    raw = {question: squad2_question(predictions[question], texts) for question, texts in golds.items()}
    final = raw
    if no_answer is not None:
        require_all(golds, no_answer, "no-answer value")
        final = {
            question: (int(not golds[question]), float(not golds[question]))
            if no_answer[question] > threshold
            else scores
            for question, scores in raw.items()
        }
    metrics = means(list(final.values()))
    for name, has_answer in (("HasAns", True), ("NoAns", False)):
        part = [scores for question, scores in final.items() if bool(golds[question]) is has_answer]
        if part:
            metrics |= {f"{name}_{key}": value for key, value in means(part).items()}
    if no_answer is not None:
        for k, name in enumerate(("exact", "f1")):
            scores = {question: pair[k] for question, pair in raw.items()}
            metrics |= best_threshold(name, golds, predictions, scores, no_answer)
    return metrics


def require_all(golds: Golds, given: Mapping[str, object], what: str) -> None:
    """Raises UserError where a question is missing."""
    missing = [question for question in golds if question not in given]
    if missing:
        raise UserError(
            f"{len(missing):,} of {len(golds):,} questions have no {what}, the first is {missing[0]}; "
            "give one for every question (an empty text means no answer)"
        )


def means(scores: Sequence[tuple[int, float]]) -> dict[str, float]:
    """exact and f1 in percent, and their number."""
    return {
        "exact": 100.0 * sum(exact for exact, _ in scores) / len(scores),
        "f1": 100.0 * sum(f1 for _, f1 in scores) / len(scores),
        "total": len(scores),
    }


def best_threshold(
    name: str,
    golds: Golds,
    predictions: Mapping[str, str],
    scores: Mapping[str, float],
    no_answer: Mapping[str, float],
) -> dict[str, float]:
    """The threshold of `no_answer` at which the mean score would be highest, found as the official program does.

    It walks up the sorted values, one question at a time: equal values are not taken together, so the best score may
    not be reachable; a prediction of only an article counts as an answer here, though not in the score.
    """
    current = best = sum(not texts for texts in golds.values())
    best_at = 0.0
    for question in sorted(no_answer, key=lambda question: no_answer[question]):
        if question not in golds:
            continue
        current += scores[question] if golds[question] else (-1 if predictions[question] else 0)
        if current > best:
            best, best_at = current, no_answer[question]
    return {f"best_{name}": 100.0 * best / len(golds), f"best_{name}_thresh": best_at}
