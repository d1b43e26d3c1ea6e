"""Every metric against the library of its field, and every table against the score it must give."""

import math
import random

import numpy as np
import pytest
from scipy import stats
from seqeval.metrics import classification_report as seqeval_report
from seqeval.metrics import f1_score as seqeval_f1
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support
from sklearn.metrics import confusion_matrix as sklearn_confusion

from bioclinical.metrics.calibration import CalibrationError
from bioclinical.metrics.classification import confusion_matrix, label_metrics, per_class
from bioclinical.metrics.entities import entity_details, entity_metrics
from bioclinical.metrics.metric import SummableMetric, score_all
from bioclinical.metrics.regression import Pearson, RootMeanSquaredError, Spearman

CHEMPROT = ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9", "false")


def predictions_of(gold, predicted, **more):
    """Predictions with ids, three to a group."""
    rows = enumerate(zip(gold, predicted))
    made = [{"id": str(i), "group": f"g{i // 3}", "gold": g, "predicted": p} for i, (g, p) in rows]
    return [prediction | {key: values[i] for key, values in more.items()} for i, prediction in enumerate(made)]


def chemprot(gold, predicted):
    return predictions_of([CHEMPROT[i] for i in gold], [CHEMPROT[i] for i in predicted])


def tagged(gold, predicted, seen=None, **more):
    return predictions_of(gold, predicted, seen=seen or [list(range(len(tags))) for tags in gold], **more)


def random_labels(count=200, seed=0):
    rng = np.random.default_rng(seed)
    return chemprot(rng.integers(0, 6, count), rng.integers(0, 6, count))


def random_tags(seed=0):
    rng = random.Random(seed)
    tags = ["O", "O", "B-a", "I-a", "B-b", "I-b"]
    gold = [[rng.choice(tags) for _ in range(12)] for _ in range(200)]
    return gold, [[t if rng.random() < 0.7 else rng.choice(tags) for t in row] for row in gold]


def test_always_false_on_the_published_chemprot_counts():
    gold = np.repeat(np.arange(6), (665, 1661, 195, 293, 644, 13485))
    predictions = chemprot(gold, np.full_like(gold, 5))
    scores = score_all(label_metrics(CHEMPROT, "false"), predictions)
    shown = [round(100 * scores[name], 2) for name in ("micro_f1_5", "weighted_f1", "accuracy")]
    assert shown == [0.00, 70.55, 79.59]
    assert per_class(predictions, CHEMPROT)["CPR:4"]["support"] == 1661
    assert confusion_matrix(predictions, CHEMPROT)["rows_gold_columns_predicted"][1] == [0, 0, 0, 0, 0, 1661]


def test_micro_f1_5_by_hand():
    # 3 relations gold, 3 predicted, 1 right: precision and recall 1/3, errors into and out of `false` count.
    scores = score_all(label_metrics(CHEMPROT, "false"), chemprot([0, 1, 2, 5, 5], [0, 5, 1, 3, 5]))
    assert scores["micro_f1_5"] == pytest.approx(1 / 3) and scores["accuracy"] == pytest.approx(2 / 5)


def test_a_class_missing_from_a_split_does_not_move_the_others():
    predictions = chemprot([0, 1], [0, 1])
    scores = score_all(label_metrics(CHEMPROT, "false"), predictions)
    assert scores["micro_f1_5"] == 1.0 and per_class(predictions, CHEMPROT)["CPR:9"]["f1"] == 0.0
    assert scores["macro_f1"] == pytest.approx(2 / 6)


@pytest.mark.parametrize("seed", range(5))
def test_labels_equal_scikit_learn_to_the_last_bit(seed):
    predictions = random_labels(seed=seed)
    gold, predicted = ([p[key] for p in predictions] for key in ("gold", "predicted"))
    expected = {"accuracy": accuracy_score(gold, predicted)}
    for average in ("micro", "macro", "weighted"):
        expected[f"{average}_f1"] = f1_score(gold, predicted, labels=CHEMPROT, average=average, zero_division=0)
    expected["micro_f1_5"] = f1_score(gold, predicted, labels=CHEMPROT[:5], average="micro", zero_division=0)
    assert score_all(label_metrics(CHEMPROT, "false"), predictions) == expected
    rows = np.array([list(scores.values()) for scores in per_class(predictions, CHEMPROT).values()]).T
    assert np.array_equal(rows, precision_recall_fscore_support(gold, predicted, labels=CHEMPROT, zero_division=0))
    counted = confusion_matrix(predictions, CHEMPROT)["rows_gold_columns_predicted"]
    assert counted == sklearn_confusion(gold, predicted, labels=CHEMPROT).tolist()


@pytest.mark.parametrize("seed", range(5))
def test_several_labels_equal_scikit_learn_to_the_last_bit(seed):
    rng = np.random.default_rng(seed)
    gold, predicted = rng.integers(0, 2, (50, 4)), rng.integers(0, 2, (50, 4))
    expected = {"accuracy": accuracy_score(gold, predicted)}
    for average in ("micro", "macro", "weighted"):
        expected[f"{average}_f1"] = f1_score(gold, predicted, average=average, zero_division=0)
    predictions = predictions_of(gold.tolist(), predicted.tolist())
    assert score_all(label_metrics("abcd"), predictions) == expected
    assert per_class(predictions, "abcd")["c"]["f1"] == f1_score(gold[:, 2], predicted[:, 2])


@pytest.mark.parametrize("seed", range(5))
def test_entities_equal_seqeval_to_the_last_bit(seed):
    gold, predicted = random_tags(seed)
    report = seqeval_report(gold, predicted, output_dict=True, zero_division=0)
    predictions = tagged(gold, predicted, windowed=predicted)
    scores, details = score_all(entity_metrics(), predictions), entity_details(predictions)
    overall = report["micro avg"]
    assert [scores[k] for k in ("precision", "recall", "f1")] == [
        overall[k] for k in ("precision", "recall", "f1-score")
    ]
    assert scores["f1"] == scores["f1_all_gold"] == scores["f1_windowed"] == seqeval_f1(gold, predicted)
    assert details["per_type"]["a"] == {
        "precision": report["a"]["precision"],
        "recall": report["a"]["recall"],
        "f1": report["a"]["f1-score"],
        "support": report["a"]["support"],
    }
    assert details["entities_cut"] == details["words_cut"] == 0


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
    gold, predicted = random_tags()
    pairs = [(conlleval_entities(g), conlleval_entities(p)) for g, p in zip(gold, predicted)]
    right = sum(len(g & p) for g, p in pairs)
    precision, recall = right / sum(len(p) for _, p in pairs), right / sum(len(g) for g, _ in pairs)
    assert score_all(entity_metrics(), tagged(gold, predicted))["f1"] == pytest.approx(
        2 * precision * recall / (precision + recall)
    )


def test_cut_entities_count_as_missed_in_f1_all_gold_only():
    gold = [["B-a", "O", "O", "B-a", "I-a"], ["B-b", "I-b"]]
    predicted = [["B-a", "O", "O", "B-a", "I-a"], ["B-b", "O"]]
    predictions = tagged(gold, predicted, seen=[[0, 1, 2], [0]])
    scores, details = score_all(entity_metrics(), predictions), entity_details(predictions)
    # Seen: one `a` right; the cut `b` looks like a one-word entity to the published number.
    assert scores["f1"] == 1.0 and details["words"] == 7 and details["words_cut"] == 3
    # All gold: 3 entities, 2 predicted, 1 right (`b` is too short).
    assert scores["f1_all_gold"] == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert (details["entities"], details["entities_cut"]) == (3, 1)


def test_windowed_score_counts_every_entity():
    gold = [["B-x", "O", "B-x"]]
    scores = score_all(entity_metrics(), tagged(gold, [["B-x", "O", "O"]], [[0, 1]], windowed=[["B-x", "O", "O"]]))
    assert (scores["f1"], scores["f1_windowed"]) == pytest.approx((1.0, 2 / 3))
    scores = score_all(entity_metrics(), tagged(gold, [["O", "O", "O"]], [[0]], windowed=gold))
    assert (scores["f1"], scores["f1_windowed"]) == (0.0, 1.0)


def test_models_that_saw_other_words_are_known_by_what_was_scored():
    (short,), (long,) = tagged([["B-x", "O"]], [["B-x", "O"]], [[0]]), tagged([["B-x", "O"]], [["O", "O"]])
    seen, everything = entity_metrics()[0], entity_metrics()[1]
    assert seen.scored_part(short) != seen.scored_part(long)
    assert everything.scored_part(short) == everything.scored_part(long)


def test_no_entities_anywhere_is_zero_and_not_a_crash():
    scores = score_all(entity_metrics(), tagged([["O", "O"]], [["O", "O"]]))
    assert scores["f1"] == scores["f1_all_gold"] == 0.0 and scores["token_accuracy"] == 1.0
    assert entity_details(tagged([["B-a"]], [["O"]], [[]]))["entities_cut"] == 1


def test_bare_b_and_i_tags_are_one_entity():
    predictions = tagged([["B", "I", "O"]], [["B", "I", "O"]])
    assert entity_metrics()[0].score(predictions) == 1.0 and entity_details(predictions)["entities"] == 1


def test_calibration_error_by_hand():
    # Both in the bin of 0.9: mean probability 0.9, half came true.
    predictions = predictions_of(["a", "a"], ["a", "b"], probabilities=[[0.9, 0.1], [0.1, 0.9]])
    assert CalibrationError().score(predictions) == pytest.approx(0.4)
    several = predictions_of([[1, 0]], [[1, 0]], probabilities=[[0.9, 0.3]])
    assert CalibrationError().score(several) == pytest.approx((0.1 + 0.3) / 2)
    assert not CalibrationError().is_computable(predictions_of("a", "a"))
    assert "ece" not in score_all([CalibrationError()], predictions_of("a", "a"))


def random_numbers(seed=0):
    rng = np.random.default_rng(seed)
    gold = rng.integers(0, 9, 60) / 2  # with ties
    return gold, gold + rng.normal(size=60)


def test_correlations_equal_scipy():
    gold, predicted = random_numbers()
    predictions = predictions_of(gold, predicted)
    assert Pearson().score(predictions) == pytest.approx(stats.pearsonr(gold, predicted).statistic, abs=1e-14)
    assert Spearman().score(predictions) == stats.spearmanr(gold, predicted).statistic
    assert RootMeanSquaredError().score(predictions) == pytest.approx(math.sqrt(np.mean((gold - predicted) ** 2)))
    far = predictions_of(gold + 1e8, predicted * 1e-6)
    assert Pearson().score(far) == pytest.approx(stats.pearsonr(gold, predicted).statistic, abs=1e-6)


def test_constant_numbers_do_not_correlate():
    for predictions in (predictions_of([1, 2], [3, 3]), predictions_of([1, 1], [1, 3]), predictions_of([1], [2])):
        assert Pearson().score(predictions) == Spearman().score(predictions) == 0.0


def every_metric():
    gold, predicted = random_tags()
    several = np.random.default_rng(0).integers(0, 2, (2, 50, 4)).tolist()
    probabilities = np.random.default_rng(0).dirichlet(np.ones(6), 200).tolist()
    labels = [p | {"probabilities": q} for p, q in zip(random_labels(), probabilities)]
    for metric in (*label_metrics(CHEMPROT, "false"), CalibrationError()):
        yield metric, labels
    for metric in label_metrics("abcd"):
        yield metric, predictions_of(*several)
    seen = [list(range(0, 12, 2)) for _ in gold]
    for metric in entity_metrics():
        yield metric, tagged(gold, predicted, seen)
    for metric in (Pearson(), RootMeanSquaredError()):
        yield metric, predictions_of(*random_numbers())


@pytest.mark.parametrize("metric, predictions", every_metric(), ids=lambda value: getattr(value, "name", ""))
def test_a_resample_is_a_weighted_sum_of_the_table(metric, predictions):
    """Drawing groups with replacement and scoring them anew gives what the sums give."""
    assert isinstance(metric, SummableMetric)
    units, table = metric.tabulate(predictions)
    groups = sorted({p["group"] for p in predictions})
    weights = np.random.default_rng(1).multinomial(len(units), [1 / len(units)] * len(units), 4)
    resampled = metric.of_sums(np.tensordot(weights, table, axes=1))
    assert units == groups and resampled.shape == (4,)
    for weight, value in zip(weights, resampled):
        drawn = [
            p for group, times in zip(groups, weight) for _ in range(times) for p in predictions if p["group"] == group
        ]
        assert metric.score(drawn) == pytest.approx(value, abs=1e-9)
        assert metric.low <= value <= metric.high


def test_values_are_shown_in_percent_where_they_are_fractions():
    assert [Pearson().display(0.9142), RootMeanSquaredError().display(0.91424)] == ["91.42", "0.9142"]
