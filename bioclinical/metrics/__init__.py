"""Every metric under its own name: scikit-learn for classification, seqeval's default mode for entities.

Fractions 0-1; zero_division=0 throughout, as published.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from seqeval.metrics import classification_report as entity_report
from seqeval.metrics import f1_score as entity_f1
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

Metrics = dict[str, Any]


def single_label_metrics(
    gold: Sequence[int], predicted: Sequence[int], labels: Sequence[str], negative_label: str | None = None
) -> Metrics:
    """Scores over label ids. With a negative label, also `micro_f1_<k>` over the k other classes.

    `micro_f1_5` is ChemProt's official metric: `false` is left out of the sums, but predicting a relation where
    there is none, or none where there is one, still counts as an error.
    """
    ids = list(range(len(labels)))
    metrics: Metrics = {"accuracy": float(accuracy_score(gold, predicted))}
    for average in ("micro", "macro", "weighted"):
        metrics[f"{average}_f1"] = float(f1_score(gold, predicted, labels=ids, average=average, zero_division=0))
    if negative_label is not None:
        positive = [i for i in ids if labels[i] != negative_label]
        metrics[f"micro_f1_{len(positive)}"] = float(
            f1_score(gold, predicted, labels=positive, average="micro", zero_division=0)
        )
    metrics["per_class"] = per_class(gold, predicted, labels)
    metrics["confusion_matrix"] = {
        "labels": list(labels),
        "rows_gold_columns_predicted": confusion_matrix(gold, predicted, labels=ids).tolist(),
    }
    return metrics


def multi_label_metrics(gold: np.ndarray, predicted: np.ndarray, labels: Sequence[str]) -> Metrics:
    """Scores over 0/1 matrices (examples, labels); `accuracy` is the share of examples with every label right."""
    metrics: Metrics = {"accuracy": float(accuracy_score(gold, predicted))}
    for average in ("micro", "macro", "weighted"):
        metrics[f"{average}_f1"] = float(f1_score(gold, predicted, average=average, zero_division=0))
    metrics["per_class"] = per_class(gold, predicted, labels)
    return metrics


def per_class(gold, predicted, labels: Sequence[str]) -> Metrics:
    """Precision, recall, F1 and support of each label."""
    scores = precision_recall_fscore_support(gold, predicted, labels=list(range(len(labels))), zero_division=0)
    names = ("precision", "recall", "f1", "support")
    return {
        label: {name: (int if name == "support" else float)(values[i]) for name, values in zip(names, scores)}
        for i, label in enumerate(labels)
    }


def entity_metrics(
    gold: list[list[str]],
    predicted: list[list[str]],
    seen: list[list[int]],
    windowed: list[list[str]] | None = None,
) -> Metrics:
    """Entity-level scores of BIO tags, one list of word tags per document.

    seen: for each document the positions of the words that the model saw (the rest was cut); unseen predictions are
    ignored. `f1`, `precision`, `recall` score the seen words only (the published number: exact span and type).
    `f1_all_gold` scores all words, so that entities beyond the context count as missed. `f1_windowed` scores the tags
    `windowed` of all words, predicted in overlapping windows where a document is longer than the context.
    """
    seen_gold = [[tags[i] for i in positions] for tags, positions in zip(gold, seen)]
    seen_predicted = [[tags[i] for i in positions] for tags, positions in zip(predicted, seen)]
    full_predicted = [with_unseen_as_o(tags, positions) for tags, positions in zip(predicted, seen)]
    words, words_seen = sum(map(len, gold)), sum(map(len, seen))
    correct = sum(g == p for gs, ps in zip(seen_gold, seen_predicted) for g, p in zip(gs, ps))
    report = scores_by_type(seen_gold, seen_predicted)
    overall = report.pop("micro avg")
    full_support = sum(
        scores["support"] for name, scores in scores_by_type(gold, full_predicted).items() if name != "micro avg"
    )
    return {
        "f1": overall["f1"],
        "precision": overall["precision"],
        "recall": overall["recall"],
        "f1_all_gold": float(entity_f1(gold, full_predicted, zero_division=0)) if full_support else 0.0,
        **({} if windowed is None else {"f1_windowed": scores_by_type(gold, windowed)["micro avg"]["f1"]}),
        "token_accuracy": correct / words_seen if words_seen else 0.0,
        "words": words,
        "words_cut": words - words_seen,
        "entities": full_support,
        "entities_cut": full_support - overall["support"],
        "per_type": report,
    }


def scores_by_type(gold: list[list[str]], predicted: list[list[str]]) -> Metrics:
    """Entity type -> precision, recall, F1, support; the key `micro avg` holds the overall scores."""
    if not any(tag != "O" for tags in gold + predicted for tag in tags):
        return {"micro avg": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}}
    report = entity_report(gold, predicted, output_dict=True, zero_division=0)
    return {
        name: {
            "precision": float(scores["precision"]),
            "recall": float(scores["recall"]),
            "f1": float(scores["f1-score"]),
            "support": int(scores["support"]),
        }
        for name, scores in report.items()
        if name not in ("macro avg", "weighted avg")
    }


def with_unseen_as_o(tags: list[str], seen: list[int]) -> list[str]:
    """The predicted tags with O at every word that the model did not see."""
    kept = set(seen)
    return [tag if i in kept else "O" for i, tag in enumerate(tags)]


def scalars(metrics: Metrics) -> dict[str, float]:
    """The metrics that are single numbers."""
    return {name: value for name, value in metrics.items() if isinstance(value, (int, float))}
