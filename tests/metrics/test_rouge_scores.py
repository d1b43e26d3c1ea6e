"""ROUGE with and without the stemmer: golden values, empty texts, several references."""

import pytest

from bioclinical.metrics.rouge import NAMES, mean_scores, rouge_scores

PAIRS = [
    (
        "What are the treatments for migraine headaches in pregnant women?",
        "How are migraines treated during pregnancy?",
        [0.25, 0, 0.25, 0.25],
        0.125,
    ),
    (
        "The patient denies chest pain, fever or chills.\nShe takes metformin 500 mg twice daily.",
        "Takes metformin 500mg two times a day.\nNo chest pain and no fever.",
        [0.357143, 0.153846, 0.214286, 0.357143],
        0.357143,
    ),
    (
        "Is β-blocker therapy safe with COPD?",
        "Are beta-blockers safe in COPD?",
        [0.5, 0, 0.5, 0.5],
        0.333333,
    ),
]


def test_golden_values():
    stemmed = [rouge_scores(prediction, [reference], stem=True) for reference, prediction, _, _ in PAIRS]
    for scores, (reference, prediction, expected, unstemmed) in zip(stemmed, PAIRS):
        assert [scores[name] for name in NAMES] == pytest.approx(expected, abs=5e-7)
        assert rouge_scores(prediction, [reference], stem=False)["rouge1"] == pytest.approx(unstemmed, abs=5e-7)
    means = [0.369048, 0.051282, 0.321429, 0.369048]
    assert [mean_scores(stemmed)[name] for name in NAMES] == pytest.approx(means, abs=5e-7)


def test_the_best_of_several_references_counts_and_an_empty_text_scores_0():
    assert rouge_scores("heart failure", ["lung", "heart failure"], stem=False)["rouge2"] == 1
    assert set(rouge_scores("", ["heart failure"], stem=True).values()) == {0.0}
