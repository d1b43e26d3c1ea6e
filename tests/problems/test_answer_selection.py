"""Selecting answers: golden values of run_qa's post-processing, and the short slow loop as oracle."""

import numpy as np
import pytest

from bioclinical.problems.answer_selection import best_threshold, select

CONTEXT = "Aspirin inhibits COX-1 and COX-2 in platelets."
TOKENS = [
    (0, 7),
    (8, 16),
    (17, 20),
    (20, 21),
    (21, 22),
    (23, 26),
    (27, 30),
    (30, 31),
    (31, 32),
    (33, 35),
    (36, 45),
    (45, 46),
]
NOTHING = (0, 0)
OFFSETS = np.array([[NOTHING] * 3 + TOKENS[k : k + 7] + [NOTHING] for k in (0, 5)])
START = np.array(
    [[2.0, -9, -9, 1.0, 0.5, 3.0, 0, 0, 0.2, 1.5, -9], [1.0, -9, -9, 0.3, 2.8, 0, 0, 0, 1.2, 0, -9]], dtype=np.float32
)
END = np.array(
    [[1.5, -9, -9, 0.8, 0.1, 0.2, 0.3, 2.5, 0, 1.0, -9], [0.5, -9, -9, 0.1, 0.2, 0.4, 2.4, 0, 1.1, 0.6, -9]],
    dtype=np.float32,
)


def answers(with_null, n_best=20, longest=30):
    """(text, probability) best first with "" for no answer, as run_qa lists them; and the null odds."""
    found = select(START, END, OFFSETS, np.array([0, 0]), n_best, longest)
    shares, null = found.probabilities(with_null)
    texts = [CONTEXT[s:e] for s, e in zip(found.starts[0], found.ends[0]) if s >= 0]
    listed = list(zip(texts, shares[0].tolist())) + ([("", float(null[0]))] if with_null else [])
    return [pair for pair in listed if pair[1] > 0], float(found.null_odds[0])


def test_golden_values_of_1_1():
    listed, _ = answers(with_null=False)
    assert len(listed) == 20
    assert [text for text, _ in listed[:3]] == ["COX-1", "COX-2", "COX-1 and COX"]
    assert [p for _, p in listed[:3]] == pytest.approx([0.295033, 0.218566, 0.065831], abs=5e-7)
    assert answers(with_null=False, n_best=3)[0][0] == ("COX-1", pytest.approx(0.509178, abs=5e-7))


def test_golden_values_of_2_0():
    listed, odds = answers(with_null=True)
    assert len(listed) == 21
    assert listed[0] == ("COX-1", pytest.approx(0.293447, abs=5e-7))
    assert odds == pytest.approx(-4.0, abs=1e-6)  # empty at a threshold of -4.1, not at -4.0
    short, odds = answers(with_null=True, longest=2)
    assert short[0][0] == "COX-"
    assert [p for text, p in short if text == "COX-"] == pytest.approx([0.1369, 0.123872], abs=5e-7)
    assert odds == pytest.approx(-1.8, abs=1e-6)
    listed, _ = answers(with_null=True, n_best=1)
    assert listed == [("COX-1", pytest.approx(0.982014, abs=5e-7)), ("", pytest.approx(0.017986, abs=5e-7))]


def reference(start, end, offsets, question, n_best, longest):
    """The published loop: a list of (score, start, end) per question, and the null scores."""
    found, null = {}, {}
    for s, e, spans, q in zip(start, end, offsets, question):
        null[q] = min(null.get(q, np.inf), s[0] + e[0])
        for i in np.argsort(s, kind="stable")[::-1][:n_best]:
            for j in np.argsort(e, kind="stable")[::-1][:n_best]:
                is_token = spans[i][0] < spans[i][1] and spans[j][0] < spans[j][1]
                if is_token and i <= j < i + longest:
                    found.setdefault(q, []).append((s[i] + e[j], spans[i][0], spans[j][1]))
    return {q: sorted(found.get(q, []), key=lambda c: c[0], reverse=True)[:n_best] for q in null}, null


def random_windows(rng, windows, length, questions):
    question = np.sort(np.append(np.arange(questions), rng.integers(0, questions, windows - questions)))
    start, end = rng.normal(size=(2, windows, length)).astype(np.float32).round(1)  # rounded: ties
    ends = np.cumsum(rng.integers(0, 4, (windows, length)), axis=1)
    offsets = np.stack([np.maximum(ends - 2, 0), ends], axis=-1)
    offsets[:, :5] = 0
    padding = np.arange(length) >= rng.integers(6, length + 1, windows)[:, None]
    start[padding] = end[padding] = -np.inf
    offsets[padding] = 0
    return start, end, offsets, question


@pytest.mark.parametrize("seed", range(5))
def test_selection_equals_the_slow_loop(seed):
    rng = np.random.default_rng(seed)
    n_best, longest = int(rng.integers(1, 12)), int(rng.integers(1, 9))
    windows = random_windows(rng, 60, 24, 25)
    found = select(*windows, n_best, longest)
    expected, null = reference(*windows, n_best, longest)
    for q in range(25):
        listed = [(s, a, b) for s, a, b in zip(found.scores[q], found.starts[q], found.ends[q]) if np.isfinite(s)]
        assert listed == expected[q]
        assert found.null[q] == null[q]


def test_a_question_without_a_possible_answer_has_none():
    found = select(START, END, np.zeros_like(OFFSETS), np.array([0, 0]))
    assert found.starts[0, 0] == -1 and found.null_odds[0] == np.inf
    assert found.probabilities(with_null=True)[1][0] == 1.0


def test_best_threshold_is_reached():
    rng = np.random.default_rng(0)
    odds, has_answer = rng.integers(-5, 6, 200).astype(float), rng.random(200) < 0.5
    scores = np.where(has_answer, rng.random(200), 0.0)

    def mean_at(threshold):
        return np.where(odds > threshold, ~has_answer, scores).mean()

    best = best_threshold(odds, scores, has_answer)
    assert mean_at(best) == max(mean_at(t) for t in [*odds, -99])
    assert best_threshold(odds, np.zeros(200), np.zeros(200, dtype=bool)) < odds.min()
