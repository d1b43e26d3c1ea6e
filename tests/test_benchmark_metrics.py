"""The field's official scores on real files with fixed predictions: the golden values."""

import json

import numpy as np
import pytest
from scipy.stats import pearsonr

from bioclinical.metrics.abstracts import AbstractExampleF1, AbstractMicroF1
from bioclinical.metrics.classification import label_metrics
from bioclinical.metrics.entities import EntityScore
from bioclinical.metrics.metric import score_all
from bioclinical.metrics.regression import Pearson, Spearman
from bioclinical.metrics.words import WordMacroF1
from bioclinical.tasks.corpora.biobert_folds import BioBertFoldsReader
from bioclinical.tasks.corpora.hoc import HocReader
from bioclinical.tasks.corpora.pubmedqa import LABELS as ANSWERS
from bioclinical.tasks.corpora.pubmedqa import PubmedQaReader
from bioclinical.tasks.corpora.rqe import RqeReader
from bioclinical.tasks.readers.delimited import DelimitedReader
from bioclinical.tasks.splits import Protocol

FILES = ("train.tsv", "dev.tsv", "test.tsv")


def constant(examples, label):
    return [{"id": e["id"], "gold": e["labels"], "predicted": label} for e in examples]


def percent(metric, predictions):
    return round(100 * metric.score(predictions), 6)


@pytest.fixture(scope="module")
def hoc(real_data):
    return HocReader().read(real_data / "hoc").splits["test"]


def every_second_positive_emptied(examples):
    """The gold labels, those of every second sentence that has any (in the file's order) taken away."""
    kept, positives = [], 0
    for example in examples:
        positives += any(example["labels"])
        kept.append([0] * 10 if any(example["labels"]) and positives % 2 == 0 else example["labels"])
    return kept


@pytest.mark.parametrize(
    "predict, blurb, blue",
    [
        (lambda examples: [e["labels"] for e in examples], 100, 100),
        (lambda examples: [[0] * 10] * len(examples), 0, 0),
        (lambda examples: [[1] * 10] * len(examples), 23.080591, 26.419214),
        (lambda examples: [[int(i == 8) for i in range(10)]] * len(examples), 24.561404, 25.724002),
        (every_second_positive_emptied, 86.518171, 83.647799),
    ],
)
def test_hoc_golden(hoc, predict, blurb, blue):
    predictions = [
        {"id": e["id"], "group": e["group"], "gold": e["labels"], "predicted": p} for e, p in zip(hoc, predict(hoc))
    ]
    assert percent(AbstractMicroF1(), predictions) == blurb
    assert percent(AbstractExampleF1(), predictions) == blue


def test_hoc_wrong_readings_are_other_numbers(hoc):
    """All labels everywhere, as sentences, as a mean over labels, and as a mean of F1 over abstracts."""
    predictions = [{"id": e["id"], "group": e["group"], "gold": e["labels"], "predicted": [1] * 10} for e in hoc]
    by_sentence = score_all(label_metrics([str(i) for i in range(10)]), predictions)
    assert round(100 * by_sentence["micro_f1"], 6) == 5.702391
    names, table = AbstractMicroF1().tabulate(predictions)
    counts = table.sum(axis=0)
    assert len(names) == 371
    assert round(100 * float(np.mean(2 * counts[:, 0] / (counts[:, 1] + counts[:, 2]))), 6) == 22.299075
    each = table.sum(axis=1)
    labelled = each[each[:, 2] > 0]
    assert round(100 * float(np.mean(2 * labelled[:, 0] / (labelled[:, 1] + labelled[:, 2]))), 6) == 25.770665


@pytest.mark.parametrize(
    "answer, accuracy, macro", [("yes", 55.2, 23.7113), ("no", 33.8, 16.8411), ("maybe", 11, 6.6066)]
)
def test_pubmedqa_constant_answers(real_data, answer, accuracy, macro):
    test = PubmedQaReader().read(real_data / "pubmedqa").splits["test"]
    scores = score_all(label_metrics(ANSWERS), constant(test, answer))
    assert (round(100 * scores["accuracy"], 4), round(100 * scores["macro_f1"], 4)) == (accuracy, macro)


@pytest.mark.parametrize(
    "key, accuracy, macro", [("reasoning_required_pred", 78.0, 72.1920), ("reasoning_free_pred", 90.4, 84.1823)]
)
def test_pubmedqa_annotators(real_data, key, accuracy, macro):
    questions = json.loads((real_data / "pubmedqa" / "ori_pqal.json").read_text())
    test = PubmedQaReader().read(real_data / "pubmedqa").splits["test"]
    predictions = [{"id": e["id"], "gold": e["labels"], "predicted": questions[e["id"]][key]} for e in test]
    scores = score_all(label_metrics(ANSWERS), predictions)
    assert (round(100 * scores["accuracy"], 4), round(100 * scores["macro_f1"], 4)) == (accuracy, macro)


def binary(examples):
    scores = score_all(label_metrics(("0", "1"), negative_label="0"), constant(examples, "1"))
    return 100 * scores["accuracy"], 100 * scores["micro_f1_1"]


def test_gad_always_one(real_data):
    reader = DelimitedReader(FILES, "sentence", "label", delimiter="\t", quoted=False)
    for split, expected in (("test", (52.622, 68.957)), ("dev", (54.766, 70.773))):
        assert tuple(round(x, 3) for x in binary(reader.read_file(real_data / "gad" / f"{split}.tsv"))) == expected


def test_euadr_always_one(real_data):
    scores = [
        binary(BioBertFoldsReader().read(real_data / "euadr", Protocol(fold=fold)).splits["test"])
        for fold in range(1, 11)
    ]
    f1 = [score for _, score in scores]
    assert [round(x, 3) for x in f1] == [84.375] * 2 + [83.871] + [85.246] * 7
    assert (round(np.mean(f1), 4), round(np.median(f1), 4), round(np.mean(f1[1:]), 4)) == (84.9342, 85.2459, 84.9964)
    assert round(np.mean([accuracy for accuracy, _ in scores]), 4) == 73.8168
    assert round(100 * 2 * 262 / (262 + 355), 4) == 84.9271  # all folds as one


def test_rqe_always_false(real_data):
    test = RqeReader().read(real_data / "rqe").splits["test"]
    assert round(100 * score_all(label_metrics(("false", "true")), constant(test, "false"))["accuracy"], 4) == 57.2848


def similarities(real_data, splits):
    reader = DelimitedReader(
        FILES, "sent1", "score", id_column="pair_id", delimiter="\t", text_b_column="sent2", quoted=False
    )
    return [
        e | {"labels": float(e["labels"])} for s in splits for e in reader.read_file(real_data / "biosses" / f"{s}.tsv")
    ]


def jaccard(example):
    a, b = (set(example[key].lower().split()) for key in ("text", "text_b"))
    return len(a & b) / len(a | b)


@pytest.mark.parametrize(
    "splits, predict, pearson, spearman",
    [
        (["test"], lambda e: e["labels"] ** 3, 0.914749, 1),
        (["test"], jaccard, 0.635973, 0.622030),
        (["dev"], jaccard, 0.463054, 0.387083),
        (["train", "dev", "test"], jaccard, 0.618107, 0.646091),
    ],
)
def test_biosses_golden(real_data, splits, predict, pearson, spearman):
    examples = similarities(real_data, splits)
    predictions = [{"id": e["id"], "gold": e["labels"], "predicted": predict(e)} for e in examples]
    assert (round(Pearson().score(predictions), 6), round(Spearman().score(predictions), 6)) == (pearson, spearman)
    assert Pearson().score(predictions) == pytest.approx(
        pearsonr([p["gold"] for p in predictions], [p["predicted"] for p in predictions]).statistic
    )


def test_chemprot_always_false():
    counts = {"CPR:3": 665, "CPR:4": 1_661, "CPR:5": 195, "CPR:6": 293, "CPR:9": 644, "false": 13_485}
    predictions = [
        {"id": f"{label}{i}", "gold": label, "predicted": "false"}
        for label, count in counts.items()
        for i in range(count)
    ]
    scores = score_all(label_metrics(tuple(counts), "false"), predictions)
    assert [round(100 * scores[name], 2) for name in ("accuracy", "weighted_f1", "micro_f1_5")] == [79.59, 70.55, 0]


def test_untyped_entities_are_not_counted_twice():
    """seqeval before 0.0.16 takes bare B and I for two types: 6 entities where there are 4."""
    tags = ["O", "B", "I", "I", "O", "B", "O", "B", "B", "I"]
    predictions = [{"id": "1", "gold": tags, "predicted": tags, "seen": list(range(len(tags)))}]
    assert EntityScore(name="f1").tabulate(predictions)[1].tolist() == [[4, 4, 4]]


def test_pico_counts_words():
    classes = ("PAR", "INT", "OUT")
    gold = ["I-PAR", "I-PAR", "O", "I-INT", "I-OUT", "I-OUT"]
    predicted = ["B-PAR", "O", "O", "I-OUT", "I-OUT", "I-OUT"]
    predictions = [{"id": "1", "gold": gold, "predicted": predicted, "seen": list(range(6))}]
    expected = (2 * 1 / (1 + 2) + 0 + 2 * 2 / (3 + 2)) / 3
    assert WordMacroF1(classes=classes).score(predictions) == pytest.approx(expected)
    predictions[0]["seen"] = [0, 1, 2, 3]  # the last two words were cut: missed
    assert WordMacroF1(classes=classes).score(predictions) == pytest.approx((2 / 3 + 0 + 0) / 3)


def test_pico_always_outcome():
    """The published test set's words: 4,711 / 3,563 / 8,090 of 51,784."""
    words = {"I-PAR": 4_711, "I-INT": 3_563, "I-OUT": 8_090, "O": 51_784 - 16_364}
    gold = [tag for tag, count in words.items() for _ in range(count)]
    predictions = [{"id": "1", "gold": gold, "predicted": ["I-OUT"] * len(gold), "seen": list(range(len(gold)))}]
    assert percent(WordMacroF1(classes=("PAR", "INT", "OUT")), predictions) == pytest.approx(9.0078, abs=1e-4)
