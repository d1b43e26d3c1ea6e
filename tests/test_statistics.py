"""Intervals, paired bootstrap, Holm, calibration; `--reference` and what it refuses."""

import dataclasses
import random
import sys

import numpy as np
import pytest
from scipy import stats
from test_results import identity, result

from bioclinical import problems
from bioclinical.errors import UserError, run_cli
from bioclinical.metrics.metric import score_all
from bioclinical.results import __main__ as results_module
from bioclinical.results.collection import read_results
from bioclinical.results.compare import compared
from bioclinical.results.store import write_result
from bioclinical.results.table import table
from bioclinical.statistics import (
    calibration_error,
    compare,
    counts_by_group,
    document_counts,
    holm,
    metric_of_counts,
    seed_interval,
)

LABELS = ["a", "b", "false"]
TAGS = ("O", "O", "B-x", "I-x", "B-y", "I-y")


def scores_of(problem, predictions, labels, negative=None):
    return score_all(problems.get(problem).metrics(labels, negative), predictions)


def single_label_run(who, share_right, documents=60, negative="false"):
    """A finished result with its predictions: two sentences a document."""
    rng = random.Random(sum(map(ord, who.model)) + who.seed)
    predictions = []
    for i in range(2 * documents):
        gold = LABELS[i % 3]
        predicted = gold if rng.random() < share_right else rng.choice(LABELS)
        predictions.append({"id": str(i), "group": str(i // 2), "gold": gold, "predicted": predicted})
    metrics = scores_of("single_label_classification", predictions, LABELS, negative)
    run = result(who, 0.5) | {"labels": LABELS, "negative_label": negative}
    return run | {"metrics": {"test": metrics}}, predictions


def token_run(documents, rng):
    predictions, gold_rng = [], random.Random(0)
    for i in range(documents):
        gold, predicted, windowed = ([r.choice(TAGS) for _ in range(9)] for r in (gold_rng, rng, rng))
        predictions.append({"id": str(i), "gold": gold, "predicted": predicted[:6] + ["O"] * 3, "seen": list(range(6))})
        if i % 2:
            predictions[-1]["windowed"] = windowed
    metrics = scores_of("token_classification", predictions, TAGS)
    return result(identity(), 0.5) | {"labels": list(TAGS), "metrics": {"test": metrics}}, predictions


def recomputed(run, metric):
    return metric_of_counts(sum(counts_by_group(run, metric).values()), metric, run[0])


def test_counts_give_the_metrics_of_the_libraries():
    run = single_label_run(identity(), 0.6)
    for metric in ("accuracy", "micro_f1", "macro_f1", "weighted_f1", "micro_f1_2"):
        assert recomputed(run, metric) == pytest.approx(run[0]["metrics"]["test"][metric])
    run = token_run(30, random.Random(1))
    for metric in ("f1", "f1_all_gold", "f1_windowed"):
        assert recomputed(run, metric) == pytest.approx(run[0]["metrics"]["test"][metric])
    gold, predicted = np.random.default_rng(0).integers(0, 2, (2, 40, 3))
    predictions = [
        {"id": str(i), "gold": g, "predicted": p} for i, (g, p) in enumerate(zip(gold.tolist(), predicted.tolist()))
    ]
    metrics = scores_of("multi_label_classification", predictions, LABELS)
    for metric in ("accuracy", "micro_f1", "macro_f1", "weighted_f1"):
        run = result(identity(), 0.5) | {"labels": LABELS, "metrics": {"test": metrics}}, predictions
        assert recomputed(run, metric) == pytest.approx(metrics[metric])


def test_bootstrap_against_a_plain_loop(monkeypatch):
    """The same draws, but whole documents repeated and scored by scikit-learn."""
    one, two = (single_label_run(identity(model=name), share, documents=20) for name, share in (("m", 0.5), ("n", 0.8)))
    monkeypatch.setattr("bioclinical.statistics.RESAMPLES", 60)
    found = compare([one], [two], "weighted_f1")
    draws = np.random.default_rng(42).multinomial(20, [1 / 20] * 20, 60)
    groups = sorted(str(i) for i in range(20))
    differences = []
    for draw in draws:
        repeated = dict(zip(groups, draw))
        scores = []
        for _, predictions in (one, two):
            chosen = [p for p in predictions for _ in range(repeated[p["group"]])]
            scores.append(scores_of("single_label_classification", chosen, LABELS)["weighted_f1"])
        differences.append(scores[1] - scores[0])
    assert found.difference == pytest.approx(
        two[0]["metrics"]["test"]["weighted_f1"] - one[0]["metrics"]["test"]["weighted_f1"]
    )
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(differences, (0.025, 0.975))))


def test_bootstrap_of_equals_of_far_apart_and_swapped():
    weak = [single_label_run(identity(seed, model="weak"), 0.3) for seed in (42, 43)]
    strong = [single_label_run(identity(seed, model="strong"), 0.9) for seed in (42, 43, 44)]
    assert compare(weak, weak, "accuracy") == dataclasses.replace(
        compare(weak, weak, "accuracy"), difference=0.0, p=1.0
    )
    forward, back = compare(weak, strong, "macro_f1"), compare(strong, weak, "macro_f1")
    assert 0.2 < forward.low < forward.difference < forward.high and forward.p == pytest.approx(2 / 1001)
    assert (back.difference, back.low, back.high) == pytest.approx((-forward.difference, -forward.high, -forward.low))
    mean = [np.mean([r["metrics"]["test"]["macro_f1"] for r, _ in runs]) for runs in (weak, strong)]
    assert forward.difference == pytest.approx(mean[1] - mean[0])


def test_p_of_models_that_do_not_differ_is_uniform():
    ps = []
    for seed in range(60):
        pair = [single_label_run(identity(seed, model=name), 0.5, documents=40) for name in ("x", "y")]
        ps.append(compare(pair[:1], pair[1:], "accuracy").p)
    assert stats.kstest(ps, "uniform").pvalue > 0.01


def test_holm_seed_interval_and_calibration_by_hand():
    assert (
        holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
        and holm([0.9, 0.8]) == [1.0, 1.0]
        and holm([]) == []
    )
    assert seed_interval([0.5, 0.6, 0.9]) == pytest.approx(
        stats.t.interval(0.95, 2, loc=np.mean([0.5, 0.6, 0.9]), scale=stats.sem([0.5, 0.6, 0.9]))
    )
    assert np.isnan(seed_interval([0.5])).all()
    probabilities, outcomes = np.array([0.95, 0.95, 0.55, 1.0]), np.array([1.0, 0.0, 1.0, 1.0])
    assert calibration_error(probabilities, outcomes) == pytest.approx((abs(2.9 - 2) + abs(0.55 - 1)) / 4)


def test_f1_over_other_words_is_not_compared():
    one, two = token_run(20, random.Random(1)), token_run(20, random.Random(2))
    assert compare([one], [two], "f1_windowed").p > 0
    for prediction in two[1]:
        prediction["seen"] = prediction["seen"][:5]
    two[0]["metrics"]["test"] |= scores_of("token_classification", two[1], TAGS)
    with pytest.raises(UserError, match="f1 scores the words that a model saw.*f1_windowed can be compared"):
        compare([one], [two], "f1")


def test_a_document_of_both_kinds():
    counts = document_counts({"gold": [1, 0, 1], "predicted": [1, 1, 0]}, "macro_f1", LABELS)
    assert counts.tolist() == [[1, 1, 1], [0, 1, 0], [0, 0, 1]]


def store(folder, model, share, seeds=(42, 43), **changes):
    for seed in seeds:
        who = identity(seed, model=model, model_sha256=model[-1] * 64, **changes)
        write_result(who.path(folder), *single_label_run(who, share))


def run_results(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["results", *map(str, arguments)])
    try:
        run_cli(results_module.main)
        code = 0
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_reference_columns(tmp_path, monkeypatch, capsys):
    for model, share in (("base", 0.4), ("good1", 0.9), ("same2", 0.4)):
        store(tmp_path, model, share)
    code, out, err = run_results(monkeypatch, capsys, tmp_path, "--reference", "base", "--csv", tmp_path / "t.csv")
    assert code == 0 and "p_holm" in out, err
    rows = compared(table(read_results(tmp_path)[0]), read_results(tmp_path)[0], "base")[0]
    rows = rows[rows["metric"] == "weighted_f1"].set_index("model")
    assert np.isnan(rows.loc["base", "p"]) and rows.loc["good1", "p_holm"] == pytest.approx(4 / 1001)
    assert rows.loc["good1", "difference"] == pytest.approx(rows.loc["good1", "mean"] - rows.loc["base", "mean"])
    assert rows.loc["good1", "difference_low"] > 0 > rows.loc["same2", "difference_low"]
    assert "difference_low" in (tmp_path / "t.csv").read_text()


def test_lost_predictions_cost_their_own_comparison_alone(tmp_path, monkeypatch, capsys):
    for model, share in (("base", 0.4), ("good1", 0.9), ("lost", 0.4)):
        store(tmp_path, model, share)
    for path in tmp_path.rglob("*lost*/*.predictions.jsonl"):
        path.unlink()
    code, out, err = run_results(monkeypatch, capsys, tmp_path, "--reference", "base")
    assert code == 0 and "not compared" in out and "predictions.jsonl' cannot be read" in out, err
    rows = compared(table(read_results(tmp_path)[0]), read_results(tmp_path)[0], "base")[0]
    assert set(rows.loc[rows["p"].notna(), "model"]) == {"good1"}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"protocol": "strict"}, "under strict .*'base' under paper"),
        ({"raw_sha256": "c" * 64}, "different test sets or protocols say nothing"),
        ({"dataset": "Phenotype"}, "'base' under nothing of it"),
    ],
)
def test_different_test_sets_are_refused(tmp_path, changes, message):
    store(tmp_path, "base", 0.4)
    store(tmp_path, "other", 0.4, **changes)
    found = read_results(tmp_path)[0]
    with pytest.raises(UserError, match=message):
        compared(table(found), found, "base")
    with pytest.raises(UserError, match="different documents"):
        runs = [single_label_run(identity(model="a"), 0.5), single_label_run(identity(model="b", **changes), 0.5)]
        compare(runs[:1], runs[1:], "accuracy")


def test_different_documents_changed_predictions_and_unknown_reference(tmp_path, monkeypatch, capsys):
    one, two = single_label_run(identity(model="a"), 0.5), single_label_run(identity(model="b"), 0.5, documents=59)
    with pytest.raises(UserError, match="different documents"):
        compare([one], [two], "accuracy")
    one[1][0]["predicted"] = "b"
    with pytest.raises(UserError, match="do not give its accuracy"):
        compare([one], [one], "accuracy")
    store(tmp_path, "base", 0.4)
    assert run_results(monkeypatch, capsys, tmp_path, "--reference", "nope")[2] == (
        "error: --reference: no results of 'nope'; there are base\n"
    )
    code, _, err = run_results(monkeypatch, capsys, tmp_path, "--reference", "base")
    assert code == 2 and "there is no other model to compare with 'base'" in err


def test_one_seed_protocols_apart_and_unfinished_runs(tmp_path, monkeypatch, capsys):
    store(tmp_path, "base", 0.4, seeds=(42,))
    store(tmp_path, "base", 0.4, seeds=(42,), protocol="strict")
    folder = next(tmp_path.rglob("seed=42_*.json")).parent
    (folder / "seed=44_00000000.run").mkdir()
    code, out, _ = run_results(monkeypatch, capsys, tmp_path, "--markdown", tmp_path / "t.md")
    assert code == 0 and "one seed only: base" in out and "seed=44_00000000.json' is not finished" in out
    tables = (tmp_path / "t.md").read_text().split("\n\n")
    assert len(tables) == 2 and "strict" not in tables[0] and "paper" not in tables[1]
