import random

import numpy as np
import pytest
from sklearn.metrics import f1_score

from bioclinical.metrics import entity_metrics, multi_label_metrics, scalars, single_label_metrics

CHEMPROT = ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9", "false")


def all_seen(tags):
    return [list(range(len(row))) for row in tags]


def test_always_false_on_the_published_chemprot_counts():
    counts = (665, 1661, 195, 293, 644, 13485)
    gold = np.repeat(np.arange(6), counts)
    metrics = single_label_metrics(gold, np.full_like(gold, 5), CHEMPROT, negative_label="false")
    shown = [round(100 * metrics[name], 2) for name in ("micro_f1_5", "weighted_f1", "accuracy")]
    assert shown == [0.00, 70.55, 79.59]
    assert metrics["per_class"]["CPR:4"]["support"] == 1661
    assert metrics["confusion_matrix"]["rows_gold_columns_predicted"][1] == [0, 0, 0, 0, 0, 1661]


def test_micro_f1_5_by_hand():
    # 3 relations gold, 3 predicted, 1 right: precision and recall 1/3, errors into and out of `false` count.
    metrics = single_label_metrics([0, 1, 2, 5, 5], [0, 5, 1, 3, 5], CHEMPROT, "false")
    assert metrics["micro_f1_5"] == pytest.approx(1 / 3) and metrics["accuracy"] == pytest.approx(2 / 5)


def test_a_class_missing_from_a_split_does_not_move_the_others():
    metrics = single_label_metrics([0, 1], [0, 1], CHEMPROT, "false")
    assert metrics["micro_f1_5"] == 1.0 and metrics["per_class"]["CPR:9"]["f1"] == 0.0
    assert metrics["macro_f1"] == pytest.approx(2 / 6)


def test_multi_label_against_scikit_learn():
    rng = np.random.default_rng(0)
    gold, predicted = rng.integers(0, 2, (50, 4)), rng.integers(0, 2, (50, 4))
    metrics = multi_label_metrics(gold, predicted, "abcd")
    for average in ("micro", "macro", "weighted"):
        assert metrics[f"{average}_f1"] == f1_score(gold, predicted, average=average, zero_division=0)
    assert metrics["per_class"]["c"]["f1"] == pytest.approx(f1_score(gold[:, 2], predicted[:, 2]))


def conlleval_entities(tags):
    """conlleval's reading of BIO: an I- tag after O or another type begins an entity."""
    entities, start = [], None
    for i, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        if start is not None and (prefix != "I" or kind != start[1]):
            entities.append((start[0], i, start[1]))
            start = None
        if prefix != "O" and start is None:
            start = (i, kind)
    return set(entities)


def test_entity_scores_against_conlleval_semantics():
    rng = random.Random(0)
    tags = ["O", "O", "B-a", "I-a", "B-b", "I-b"]
    gold = [[rng.choice(tags) for _ in range(12)] for _ in range(200)]
    predicted = [[t if rng.random() < 0.7 else rng.choice(tags) for t in row] for row in gold]
    pairs = [(conlleval_entities(g), conlleval_entities(p)) for g, p in zip(gold, predicted)]
    right = sum(len(g & p) for g, p in pairs)
    precision, recall = right / sum(len(p) for _, p in pairs), right / sum(len(g) for g, _ in pairs)
    metrics = entity_metrics(gold, predicted, all_seen(gold))
    assert metrics["precision"] == pytest.approx(precision) and metrics["recall"] == pytest.approx(recall)
    assert metrics["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert metrics["f1_all_gold"] == metrics["f1"] and metrics["entities_cut"] == metrics["words_cut"] == 0


def test_cut_entities_count_as_missed_in_f1_all_gold_only():
    gold = [["B-a", "O", "O", "B-a", "I-a"], ["B-b", "I-b"]]
    predicted = [["B-a", "O", "O", "B-a", "I-a"], ["B-b", "O"]]
    metrics = entity_metrics(gold, predicted, seen=[[0, 1, 2], [0]])
    # Seen: one `a` right; the cut `b` looks like a one-word entity to the published number.
    assert metrics["f1"] == 1.0 and metrics["words"] == 7 and metrics["words_cut"] == 3
    # All gold: 3 entities, 2 predicted, 1 right (`b` is too short).
    assert metrics["f1_all_gold"] == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert (metrics["entities"], metrics["entities_cut"]) == (3, 1)


def test_no_entities_anywhere_is_zero_and_not_a_crash():
    metrics = entity_metrics([["O", "O"]], [["O", "O"]], [[0, 1]])
    assert metrics["f1"] == metrics["f1_all_gold"] == 0.0 and metrics["token_accuracy"] == 1.0
    assert entity_metrics([["B-a"]], [["O"]], [[]])["entities_cut"] == 1
    assert set(scalars(metrics)) >= {"f1", "precision", "recall", "f1_all_gold", "token_accuracy"}


def test_bare_b_and_i_tags_are_one_entity():
    metrics = entity_metrics([["B", "I", "O"]], [["B", "I", "O"]], [[0, 1, 2]])
    assert metrics["f1"] == 1.0 and metrics["entities"] == 1
