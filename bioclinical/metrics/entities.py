"""Entity-level scores of BIO tags: exact span and type. Oracle: seqeval in its default mode.

Three readings of long documents: the words that the model saw (the published number), all words with what was cut as
missed, and all words with tags predicted in overlapping windows. None of them looks at words of which the tokenizer
left nothing, in the gold or in what was predicted: nobody could have tagged them.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bioclinical.metrics.f1 import entity_f1, precision, ratio, recall
from bioclinical.metrics.metric import Prediction, Predictions, SummableMetric, group_sums

Words = Literal["seen", "all", "windowed"]
Entity = tuple[str, int, int]  # type, first word, last word
FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"f1": entity_f1, "precision": precision, "recall": recall}


@dataclass(frozen=True, kw_only=True)
class EntityScore(SummableMetric):
    """F1, precision or recall of entities over the `seen` words, over `all`, or over all from windows."""

    formula: Literal["f1", "precision", "recall"] = "f1"
    words: Words = "seen"

    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """table: (groups, 3), correct, predicted and gold entities."""
        pairs = [entities_of(prediction, self.words) for prediction in predictions]
        return group_sums(predictions, np.array([[len(g & p), len(p), len(g)] for g, p in pairs], dtype=int))

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        return FORMULAS[self.formula](sums)

    def scored_part(self, prediction: Prediction) -> Any:
        return (prediction["gold"], prediction["seen"]) if self.words == "seen" else prediction["gold"]


@dataclass(frozen=True, kw_only=True)
class TokenAccuracy(SummableMetric):
    """The share of the seen words with the right tag."""

    name: str = "token_accuracy"
    is_headline: bool = False

    def tabulate(self, predictions: Predictions) -> tuple[list[str], np.ndarray]:
        """table: (groups, 2), correct and all seen words."""
        tags = [tags_of(prediction, "seen") for prediction in predictions]
        return group_sums(predictions, np.array([[sum(map(str.__eq__, g, p)), len(g)] for g, p in tags], dtype=int))

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        return ratio(sums[..., 0], sums[..., 1])

    def scored_part(self, prediction: Prediction) -> Any:
        return prediction["gold"], prediction["seen"]


def entity_metrics() -> list[SummableMetric]:
    """The published `f1` with its precision and recall, both readings of whole documents, and the tags' accuracy."""
    return [
        EntityScore(name="f1"),
        EntityScore(name="f1_all_gold", words="all"),
        EntityScore(name="f1_windowed", words="windowed", needs_windows=True),
        EntityScore(name="precision", formula="precision", is_headline=False),
        EntityScore(name="recall", formula="recall", is_headline=False),
        TokenAccuracy(),
    ]


def tags_of(prediction: Prediction, words: Words) -> tuple[list[str], list[str]]:
    """Gold and predicted tags of the words that count; among `all`, the predictions of unseen words are O."""
    gold, predicted, seen = prediction["gold"], prediction["predicted"], prediction["seen"]
    if words == "seen":
        return [gold[i] for i in seen], [predicted[i] for i in seen]
    if words == "windowed":
        predicted = prediction.get("windowed", predicted)
    else:
        kept = set(seen)
        predicted = [tag if i in kept else "O" for i, tag in enumerate(predicted)]
    if tokenless := set(prediction.get("tokenless", ())):
        gold, predicted = ([tag for i, tag in enumerate(tags) if i not in tokenless] for tags in (gold, predicted))
    return gold, predicted


def entities_of(prediction: Prediction, words: Words) -> tuple[set[Entity], set[Entity]]:
    """Gold and predicted entities of one document, as seqeval reads BIO."""
    from seqeval.metrics.sequence_labeling import get_entities  # slow to import

    gold, predicted = tags_of(prediction, words)
    return set(get_entities(gold)), set(get_entities(predicted))


def entity_details(predictions: Predictions) -> dict[str, Any]:
    """How much was cut, and precision, recall, F1 and support of each type over the seen words."""
    words, seen, tokenless = (sum(len(p.get(key, ())) for p in predictions) for key in ("gold", "seen", "tokenless"))
    entities = sum(len(entities_of(p, "all")[0]) for p in predictions)
    counts = counts_by_type(predictions)
    return {
        "words": words,
        "words_cut": words - seen - tokenless,
        **({"words_without_token": tokenless} if tokenless else {}),
        "entities": entities,
        "entities_cut": entities - int(sum(row[2] for row in counts.values())),
        "per_type": {
            kind: {
                "precision": float(precision(row)),
                "recall": float(recall(row)),
                "f1": float(entity_f1(row)),
                "support": int(row[2]),
            }
            for kind, row in counts.items()
        },
    }


def counts_by_type(predictions: Predictions) -> dict[str, np.ndarray]:
    """Entity type -> (3,) correct, predicted and gold entities over the seen words; types sorted."""
    counted: tuple[Counter[str], ...] = Counter(), Counter(), Counter()
    for prediction in predictions:
        gold, predicted = entities_of(prediction, "seen")
        for counter, found in zip(counted, (gold & predicted, predicted, gold)):
            counter.update(kind for kind, _, _ in found)
    kinds = sorted(counted[1].keys() | counted[2].keys())
    return {kind: np.array([counter[kind] for counter in counted]) for kind in kinds}
