"""Temperatures and thresholds: against searches over all candidates, exact counts, and what an operating point says."""

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax
from sklearn.metrics import f1_score, log_loss

from bioclinical import problems
from bioclinical.errors import UserError
from bioclinical.problems.calibration import best_index, between, fit_temperature, label_counts_at
from bioclinical.problems.encoding import EXAMPLE_INDEX, Coder, EncodedSplit
from bioclinical.problems.operating_point import ABSTAINED, Aim, OperatingPoint, decided
from bioclinical.problems.tag_rows import ScoredWords

LABELS = ("a", "b", "false")
RNG = np.random.default_rng(0)
HONEST = RNG.normal(size=(4000, 3)) * 2
GOLD = np.array([RNG.choice(3, p=softmax(row)) for row in HONEST])


@pytest.mark.parametrize("factor", [0.4, 3.0])
def test_the_temperature_undoes_a_factor_and_is_the_best_of_a_grid(factor):
    temperature, (before, after) = fit_temperature(HONEST * factor, GOLD)
    assert temperature == pytest.approx(factor, rel=0.07) and after < before
    grid = np.geomspace(0.1, 10, 400)
    losses = [log_loss(GOLD, softmax(HONEST * factor / t, axis=1)) for t in grid]
    assert after <= min(losses) + 1e-6 and after == pytest.approx(min(losses), abs=1e-4)


def test_the_temperature_of_several_labels():
    logits = RNG.normal(size=(3000, 4))
    gold = (RNG.random((3000, 4)) < expit(logits)).astype(int)
    temperature, (before, after) = fit_temperature(logits * 5, gold)
    assert temperature == pytest.approx(5, rel=0.1) and after < before


def test_thresholds_are_the_best_of_all():
    shares, gold = RNG.random(60), RNG.integers(0, 2, 60)
    candidates = between(shares)
    counts = label_counts_at(shares, gold, candidates)
    every = [f1_score(gold, shares >= t, zero_division=0) for t in np.append(shares, 2.0)]
    best, reached = best_index(counts, None)
    assert reached and f1_score(gold, shares >= candidates[best]) == pytest.approx(max(every))
    precision = counts[:, 0] / np.maximum(counts[:, 1], 1)
    best, reached = best_index(counts, Aim("recall", "precision", 0.6))
    meeting = [row for row, p in zip(counts, precision) if p >= 0.6]
    assert reached and counts[best, 0] == max(row[0] for row in meeting) and precision[best] >= 0.6
    best, reached = best_index(counts[counts[:, 1] > 0], Aim("recall", "precision", 1.0))
    assert reached == (precision.max() == 1.0)


def test_an_aim_out_of_reach_takes_the_nearest():
    counts = np.array([[5, 10, 10], [4, 6, 10], [1, 4, 10]])
    assert best_index(counts, Aim("recall", "precision", 0.9)) == (1, False)


def test_what_is_said_at_a_threshold():
    shares = np.array([[0.2, 0.3, 0.5], [0.1, 0.15, 0.75], [0.6, 0.3, 0.1]])
    assert decided(shares, LABELS, {}).tolist() == [2, 2, 0]
    assert decided(shares, LABELS, {"false": 0.7}).tolist() == [1, 2, 0]
    assert decided(shares, LABELS, {"false": 0.05}).tolist() == [2, 2, 2]
    tagging = problems.get("token_classification")
    point = OperatingPoint(1.0, {"false": 0.7})
    coder = Coder(None, 8, frozenset(), LABELS, point=point)
    logits = torch.tensor(np.log(shares)).unsqueeze(0)
    assert tagging.reduce(logits, coder).tolist() == [[1, 2, 0]]
    given, said = tagging.reduce_raw(logits, coder)
    assert said.tolist() == [[1, 2, 0]] and given[0].tolist() == pytest.approx([0.3, 0.75, 0.6])


def of_words(tags, logits):
    """A split of one document whose words are its tokens."""
    note = ScoredWords(list(range(len(tags))), list(range(len(tags))))
    example = {"id": "1", "tokens": ["w"] * len(tags), "tags": tags}
    return EncodedSplit([example], [{"input_ids": [1] * len(tags), EXAMPLE_INDEX: 0}], [note], cut=[]), [logits]


def test_recall_of_entities_at_a_precision():
    """Ten entities of one word that the model finds more and less likely, among words that are none."""
    labels = ("B-x", "O")
    share = np.array([0.9, 0.8, 0.45, 0.4, 0.35, 0.3, 0.1, 0.1, 0.05, 0.01])
    tags = ["B-x", "B-x", "B-x", "B-x", "O", "B-x", "O", "O", "O", "O"]
    split, rows = of_words(tags, np.log(np.stack([share, 1 - share], axis=1)))
    coder = Coder(None, 32, frozenset(), labels)
    tagging = problems.get("token_classification")
    found = tagging.calibration(coder, split, rows, Aim("recall", "precision", 0.99), None)
    assert found.reached and found.scores["entities"] == {"precision": 1.0, "recall": 0.8, "f1": pytest.approx(8 / 9)}
    found = tagging.calibration(coder, split, rows, Aim("precision", "recall", 1.0), None)
    assert found.reached and found.scores["entities"]["precision"] == pytest.approx(5 / 6)
    assert set(found.point.thresholds) == {"O"}
    assert tagging.calibration(coder, split, rows, None, None).point.thresholds == {}


def sequence_split(golds):
    return EncodedSplit(
        [{"id": str(i), "text": "t", "labels": g} for i, g in enumerate(golds)],
        [{"input_ids": [1], EXAMPLE_INDEX: i} for i in range(len(golds))],
        [None] * len(golds),
        cut=[],
    )


def test_a_class_task_with_a_negative_label():
    split, coder = sequence_split([LABELS[g] for g in GOLD]), Coder(None, 8, frozenset(), LABELS)
    single = problems.get("single_label_classification")
    found = single.calibration(coder, split, list(HONEST * 3), Aim("precision", "recall", 0.8), "false")
    assert found.reached and found.scores["all but false"]["recall"] >= 0.8 and set(found.point.thresholds) == {"false"}
    at_point = Coder(None, 8, frozenset(), LABELS, point=found.point)
    said = [p["predicted"] for p in single.predictions(at_point, split, list(HONEST * 3))]
    right = sum(s == LABELS[g] != "false" for s, g in zip(said, GOLD))
    assert right / sum(GOLD != 2) == pytest.approx(found.scores["all but false"]["recall"])
    calibration_error = next(m for m in single.metrics(LABELS) if m.name == "ece")
    before = calibration_error.score(single.predictions(coder, split, list(HONEST * 3)))
    after = calibration_error.score(single.predictions(at_point, split, list(HONEST * 3)))
    assert after < before / 3


def test_thresholds_of_several_labels_leave_out_what_never_occurs():
    golds = [[int(RNG.random() < expit(x)), int(RNG.random() < expit(y)), 0] for x, y, _ in HONEST[:300]]
    split, coder = sequence_split(golds), Coder(None, 8, frozenset(), LABELS)
    multi = problems.get("multi_label_classification")
    found = multi.calibration(coder, split, list(HONEST[:300]), None, None)
    assert set(found.point.thresholds) == {"a", "b"} and found.reached
    at_point = Coder(None, 8, frozenset(), LABELS, point=found.point)
    for k, label in enumerate("ab"):
        predictions = multi.predictions(at_point, split, list(HONEST[:300]))
        f1 = f1_score([g[k] for g in golds], [p["predicted"][k] for p in predictions])
        assert f1 == pytest.approx(found.scores[label]["f1"])


def test_abstentions_are_values_of_their_own():
    single, tagging = problems.get("single_label_classification"), problems.get("token_classification")
    answer = {"label": "a", "probabilities": {"a": 0.6, "b": 0.4}}
    assert single.abstained(answer, 0.7)["label"] == ABSTAINED and single.abstained(answer, 0.6) == answer
    nothing = {"label": None, "probabilities": None}
    assert single.abstained(nothing, 0.9) == nothing
    multi = {"labels": ["a"], "probabilities": {"a": 0.6, "b": 0.1, "false": 0.45}}
    found = problems.get("multi_label_classification").abstained(multi, 0.7)
    assert found["labels"] == [] and found["abstained"] == ["a", "false"]
    entities = [{"start": 0, "end": 2, "type": "x", "probability": p} for p in (0.5, 0.9)]
    marked = tagging.abstained({"entities": entities}, 0.8)["entities"]
    assert [entity.get("abstained") for entity in marked] == [True, None] and len(marked) == 2
    span = {"answer": "aspirin", "start": 3, "end": 10, "probability": 0.2}
    found = problems.get("span_qa").abstained(span, 0.5)
    assert (found["answer"], found["start"]) == (ABSTAINED, None)
    choice = {"answer": "A", "probabilities": {"A": 0.4, "B": 0.35, "C": 0.25}}
    assert problems.get("multiple_choice").abstained(choice, 0.5)["answer"] == ABSTAINED


@pytest.mark.parametrize(
    "stored, message",
    [
        ([], "holds no operating point"),
        ({"temperature": 0}, "temperature must be a number above 0"),
        ({"temperature": True}, "temperature must be a number above 0"),
        ({"thresholds": {"a": 2}}, "numbers from 0 to 1"),
        ({"thresholds": {"c": 0.5, "a": 0.5}}, "is for other labels: 1 of its 2 are none of the model's 3"),
        ({"thresholds": {"a": 0.5, "b": 0.5}}, "has 2 thresholds; this kind of problem takes 1"),
    ],
)
def test_points_that_are_none(stored, message):
    with pytest.raises(UserError, match=message):
        OperatingPoint.read(stored, LABELS, 1, "'file.json'")


@pytest.mark.parametrize(
    "text", ["recall", "recall@recall=0.9", "recall@precision=0", "f1@precision=0.9", "recall@precision=95"]
)
def test_aims_that_are_none(text):
    with pytest.raises(UserError, match="write recall@precision=0.95"):
        Aim.parse(text)
