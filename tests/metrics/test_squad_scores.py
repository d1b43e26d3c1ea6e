"""SQuAD's official scores: golden strings, golden runs of the official program on real files, and its thresholds."""

import pytest

from bioclinical.errors import UserError
from bioclinical.metrics.squad import (
    exact_match,
    normalized,
    squad1_scores,
    squad2_scores,
    token_f1,
    token_f1_or_empty,
)
from bioclinical.tasks.readers.squad import read_squad


@pytest.mark.parametrize(
    "prediction, gold, exact, f1",
    [
        ("type 2 diabetes", "type-2 diabetes", 0, 0.4),
        ("5.5 mg", "55 mg", 1, 1),
        ("IL-6", "il 6", 0, 0),
        ("heart heart", "heart", 0, 2 / 3),
        ("renal cell carcinoma", "clear cell renal carcinoma", 0, 6 / 7),
        ("an", "", 1, 1),
        ("café", "cafe", 0, 0),
        ("“heart”", "heart", 0, 0),
    ],
)
def test_strings_score_as_in_the_official_program(prediction, gold, exact, f1):
    assert exact_match(prediction, gold) == exact
    assert token_f1_or_empty(prediction, gold) == pytest.approx(f1, abs=1e-12)


def test_only_an_article_is_no_token_of_1_1():
    assert (exact_match("the", "the"), token_f1("the", "the")) == (1, 0.0)


@pytest.fixture(scope="module")
def half(real_data):
    return read_squad(real_data / "squad" / "dev-v2.0_cs224n_half.json")


def golds_of(examples):
    return {e["id"]: [answer["text"] for answer in e["answers"]] for e in examples}


RUNS = [
    (lambda e, golds: "", 52.122409, 52.122409, 0, 0),
    (lambda e, golds: f"The {golds[0].upper()}!" if golds else "", 100, 100, 100, 100),
    (lambda e, golds: golds[-1] if golds else "", 99.983547, 99.983547, 99.965636, 99.965636),
    (lambda e, golds: golds[0].split()[0] if golds else "", 70.582428, 83.276582, 38.556701, 65.070469),
    (lambda e, golds: e["context"], 0, 3.144876, 0, 6.568575),
]


@pytest.mark.parametrize("predict, exact, f1, has_exact, has_f1", RUNS)
def test_runs_score_as_in_the_official_program(half, predict, exact, f1, has_exact, has_f1):
    golds = golds_of(half)
    scores = squad2_scores(golds, {e["id"]: predict(e, golds[e["id"]]) for e in half})
    assert (scores["total"], scores["HasAns_total"], scores["NoAns_total"]) == (6078, 2910, 3168)
    found = [scores[name] for name in ("exact", "f1", "HasAns_exact", "HasAns_f1")]
    assert found == pytest.approx([exact, f1, has_exact, has_f1], abs=5e-7)


def test_thresholds_as_in_the_official_program(half):
    golds = golds_of(half)
    predicted = {e["id"]: golds[e["id"]][0] if golds[e["id"]] else e["context"].split()[0] for e in half}
    values = {e["id"]: 1 / len(e["question"].split()) for e in half}

    def found(predictions):
        loose, tight = (squad2_scores(golds, predictions, values, t) for t in (1.0, 1 / 12))
        assert loose["best_exact_thresh"] == loose["best_f1_thresh"] == 1 / 12
        return [loose["exact"], loose["best_exact"], tight["exact"]]

    assert found(predicted) == pytest.approx([62.471208, 54.623231, 58.061862], abs=5e-7)
    # Equal values are not taken together: the best score is not reached at its own threshold.
    without_articles = {i: "zzz" if text.lower() in ("a", "an", "the") else text for i, text in predicted.items()}
    assert found(without_articles) == pytest.approx([48.042119, 54.623231, 54.508062], abs=5e-7)


def test_runs_of_1_1(real_data):
    examples = read_squad(real_data / "squad" / "xquad.en.json")
    golds = golds_of(examples)
    first_word = squad1_scores(golds, {i: texts[0].split()[0] for i, texts in golds.items()})
    context = squad1_scores(golds, {e["id"]: e["context"] for e in examples})
    assert list(first_word.values()) == pytest.approx([35.126050, 64.516215], abs=5e-7)
    assert list(context.values()) == pytest.approx([0, 5.235585], abs=5e-7)


def test_all_empty_on_the_whole_development_set():
    golds = {str(i): ["an answer"] if i < 5928 else [] for i in range(11873)}
    assert squad2_scores(golds, dict.fromkeys(golds, ""))["exact"] == pytest.approx(50.071591, abs=5e-7)


def test_a_missing_prediction_counts_0_in_1_1_and_is_refused_in_2_0():
    golds = {"q1": ["heart"], "q2": ["lung"]}
    assert squad1_scores(golds, {"q1": "Heart"})["exact_match"] == 50.0
    with pytest.raises(UserError, match="1 of 2 questions have no prediction, the first is q2"):
        squad2_scores(golds, {"q1": "Heart"})
    with pytest.raises(UserError, match="question q3 has no answer"):
        squad1_scores({"q3": []}, {})


def test_normalisation_is_idempotent():
    for text in ("The  5.5-mg dose", "a an the", "", "Zebra's (β)"):
        assert normalized(normalized(text)) == normalized(text)
