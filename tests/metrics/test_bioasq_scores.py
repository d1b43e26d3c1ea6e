"""BioASQ's ten numbers on an example that the official program scored, under three editions of its rules."""

import json

import pytest

from bioclinical.errors import UserError
from bioclinical.metrics.bioasq import NAMES, bioasq_scores
from bioclinical.tasks.readers.bioasq import read_gold, read_system

GOLD = {
    "f1": [["Transthyretin", "TTR"]],
    "f2": [["chromosome 7"], ["7q31"]],
    "f3": [["IL-6"]],
    "f4": [["dystrophin"]],
    "f5": [["BRCA1"]],
    "l1": [["aspirin", "ASA"], ["ibuprofen"], ["naproxen"]],
    "l2": [["fever"], ["cough"], ["rash"]],
    "l3": [["A1"], ["A2"]],
    **dict(zip(("y1", "y2", "y3", "y4", "y5"), ("yes", "yes", "no", "no", "yes"))),
}
SYSTEM = {
    "f1": [["albumin"], ["ttr"]],
    "f2": [["7Q31"], ["x"]],
    "f3": [["IL 6"], ["il-6 "], ["interleukin", "IL-6"]],
    "f4": [["a"], ["b"], ["c"], ["d"], ["e"], ["Dystrophin"]],
    "f5": [],
    "l1": [["ASA"], ["aspirin"], ["Ibuprofen"], ["paracetamol"]],
    "l2": [["fever", "cough"]],
    "l3": [],
    **dict(zip(("y1", "y2", "y3", "y4", "y5"), ("Yes", "no", "unknown", "yes", "maybe"))),
}
KINDS = {"f": "factoid", "l": "list", "y": "yesno"}
LISTS = [0.5, 1 / 3, 0.357143]


@pytest.fixture
def scored(tmp_path):
    """Writes both files as BioASQ does, and scores them."""

    def write(name, answers):
        questions = [{"id": i, "type": KINDS[i[0]], "body": "?", "exact_answer": a} for i, a in answers.items()]
        (tmp_path / name).write_text(json.dumps({"questions": questions}))
        return tmp_path / name

    def score(system, edition, gold=GOLD):
        golds = read_gold(write("gold.json", gold))
        scores = bioasq_scores(golds, read_system(write("system.json", system), golds), edition)
        assert tuple(scores) == NAMES
        return list(scores.values())

    return score


def test_editions(scored):
    assert scored(SYSTEM, 5) == pytest.approx([0.4, 0.2, 0.6, 1 / 3, *LISTS, 0.4, 0.4, 0.4], abs=5e-7)
    third = [0.4, 0.2, 0.8, 0.4, 0.5, 0.388889, 0.412698, 0.4, 0.4, 0.4]
    assert scored(SYSTEM, 3) == pytest.approx(third, abs=5e-7)
    without = {i: answer for i, answer in SYSTEM.items() if i not in ("f5", "y5")}
    assert scored(without, 9)[:4] == pytest.approx([0.5, 0.25, 0.75, 0.416667], abs=5e-7)


def test_all_yes(scored):
    values = scored(SYSTEM | {f"y{k}": "yes" for k in range(1, 6)}, 5)
    assert (values[0], values[7]) == (0.6, 0.375)


def test_a_kind_that_does_not_occur_scores_0(scored):
    assert scored({}, 9, gold={"y1": "yes"}) == [0.0] * 10


def test_bad_files(scored):
    with pytest.raises(UserError, match="2 question.* missing .* the first is f5"):
        scored({i: answer for i, answer in SYSTEM.items() if i not in ("f5", "y5")}, 5)
    with pytest.raises(UserError, match="question f1: exact_answer of a factoid question must be a list of lists"):
        scored(SYSTEM | {"f1": ["flat"]}, 5)
    with pytest.raises(UserError, match="--edition 2"):
        scored(SYSTEM, 2)
