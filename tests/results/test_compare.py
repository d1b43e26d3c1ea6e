"""Differences to a reference: what is measured, what is refused, and families of tests."""

import json
import math

import numpy as np
import pytest
from invented_results import LABELS, identity, result, run_results, single_label_run, store, store_tokens, token_run

from bioclinical import problems
from bioclinical.errors import UserError
from bioclinical.metrics.metric import score_all
from bioclinical.metrics.regression import Spearman
from bioclinical.results.analysis import analyse
from bioclinical.results.collection import read_results
from bioclinical.results.panel import panels
from bioclinical.results.samples import jackknife
from bioclinical.results.significance import holm
from bioclinical.results.store import predictions_path, write_result


def analysed(folder, *arguments, **options):
    return analyse(panels(read_results(folder)[0]), *arguments, **options)


def notes(analysis):
    return " ".join(note for measured in analysis.measured for note in measured.notes)


@pytest.mark.parametrize(
    "problem, labels, run",
    [
        ("single_label_classification", LABELS, lambda: single_label_run(identity(), 0.6, documents=12)[1]),
        ("token_classification", ["B-x"], lambda: token_run(identity(), documents=8)[1]),
    ],
)
def test_scores_without_each_document_are_those_of_the_others(problem, labels, run):
    """Against the metrics computed anew on the predictions that are left."""
    predictions = run()
    for metric in problems.get(problem).metrics(labels, "false" if "false" in labels else None):
        units, whole, left_out = jackknife(metric, predictions)
        assert whole == pytest.approx(score_all([metric], predictions)[metric.name])
        for unit, score in zip(units, left_out):
            others = [p for p in predictions if p.get("group", p["id"]) != unit]
            assert score == pytest.approx(score_all([metric], others)[metric.name])


def test_a_metric_that_is_no_sum_is_computed_anew_without_parts():
    rng = np.random.default_rng(0)
    gold = rng.normal(size=250)
    predictions = [
        {"id": f"{i:03d}", "gold": float(x), "predicted": float(x + rng.normal())} for i, x in enumerate(gold)
    ]
    spearman = Spearman()
    units, whole, left_out = jackknife(spearman, predictions)
    assert len(units) == 250 and len(left_out) == 100 and whole == spearman.score(predictions)
    assert left_out[0] == spearman.score(predictions[3:]) and abs(left_out - whole).max() < 0.05


def test_a_failed_seed_counts_in_the_difference_and_its_test(tmp_path):
    """As the baseline, which makes the model worse and unsure; left out on request."""
    store(tmp_path, "base", 0.5, seeds=(42, 43, 44))
    store(tmp_path, "good", 0.9, seeds=(42, 43, 44))
    (without,) = analysed(tmp_path, "base").comparisons
    failing = identity(45, model="good", model_sha256=f"{sum(map(ord, 'good')):064x}")
    write_result(failing.path(tmp_path), result(failing, None, "failed"), [])
    (found,) = analysed(tmp_path, "base").comparisons
    scores = found.other.scores(found.metric)
    assert len(scores) == 4 and scores[-1] == 0.0 and found.estimate.seeds == 3
    assert found.estimate.value == pytest.approx(scores.mean() - found.reference.scores(found.metric).mean())
    assert found.estimate.p > 0.05 > without.estimate.p and found.estimate.variance > 10 * without.estimate.variance
    (excluded,) = analyse(panels(read_results(tmp_path)[0], exclude_failed=True), "base").comparisons
    assert excluded.estimate == without.estimate


def test_the_official_metric_is_tested_and_corrected_over_all_tasks(tmp_path):
    for model, share in (("base", 0.4), ("good", 0.9), ("same", 0.42)):
        store(tmp_path, model, share, seeds=(42, 43, 44))
        store_tokens(tmp_path, model, 64, seeds=(42, 43, 44))
    done = analysed(tmp_path, "base")
    assert [(c.other.model, c.metric.name) for c in done.comparisons] == [
        ("good", "micro_f1_2"),
        ("same", "micro_f1_2"),
        ("good", "f1"),
        ("same", "f1"),
    ]
    ps = [c.estimate.p for c in done.comparisons]
    assert [c.p_holm for c in done.comparisons] == pytest.approx(holm(ps)) and ps[0] < 0.05 < ps[1]
    assert not done.exploratory and not done.pairs
    good = done.comparisons[0]
    means = [row.scores(good.metric).mean() for row in (good.other, good.reference)]
    assert good.estimate.value == pytest.approx(means[0] - means[1])


def test_other_metrics_and_pairs_are_families_of_their_own(tmp_path, monkeypatch, capsys):
    for model, share in (("base", 0.4), ("good", 0.9), ("same", 0.42)):
        store(tmp_path, model, share, seeds=(42, 43, 44))
    plain = analysed(tmp_path, "base")
    done = analysed(tmp_path, "base", metrics="accuracy,macro_f1", pairs=True)
    assert [c.p_holm for c in done.comparisons] == [c.p_holm for c in plain.comparisons]
    assert {c.metric.name for c in done.exploratory} == {"accuracy", "macro_f1"} and len(done.exploratory) == 4
    assert [c.p_holm for c in done.exploratory] == pytest.approx(holm([c.estimate.p for c in done.exploratory]))
    assert [(c.reference.model, c.other.model) for c in done.pairs] == [
        ("base", "good"),
        ("base", "same"),
        ("good", "same"),
    ]
    _, out, _ = run_results(monkeypatch, capsys, tmp_path, "--reference", "base", "--metrics", "all", "--all_pairs")
    assert "Exploratory: other metrics" in out and "All pairs of models" in out
    _, _, err = run_results(monkeypatch, capsys, tmp_path, "--metrics", "elegance")
    assert err.startswith("error: --metrics: no task has 'elegance'; there are accuracy, ")


def test_swapped_models_give_the_opposite(tmp_path):
    store(tmp_path, "one", 0.4, seeds=(42, 43, 44))
    store(tmp_path, "two", 0.6, seeds=(42, 43, 44, 45))
    forth, back = (analysed(tmp_path, name).comparisons[0].estimate for name in ("one", "two"))
    assert forth.p == pytest.approx(back.p) and forth.value == pytest.approx(-back.value)
    assert forth.interval == pytest.approx((-back.interval[1], -back.interval[0]))


def test_few_seeds_get_no_p_but_the_number_that_is_needed(tmp_path, monkeypatch, capsys):
    store(tmp_path, "base", 0.4)
    store(tmp_path, "good", 0.9)
    comparison = analysed(tmp_path, "base").comparisons[0]
    assert math.isnan(comparison.estimate.p) and math.isnan(comparison.p_holm)
    assert comparison.needs == "about 4 seeds"
    code, out, err = run_results(monkeypatch, capsys, tmp_path, "--reference", "base")
    assert code == 0 and "about 4 seeds" in out, err


def test_one_seed_gets_the_interval_of_these_runs(tmp_path, monkeypatch, capsys):
    store(tmp_path, "base", 0.4, seeds=(42,))
    store(tmp_path, "good", 0.9, seeds=(42,))
    code, out, err = run_results(monkeypatch, capsys, tmp_path, "--reference", "base")
    assert code == 0 and "* these runs, over documents" in out and "3 seeds or more" in out, err
    assert out.count("] *") == 3


def test_lost_predictions_cost_their_own_comparison_alone(tmp_path, monkeypatch, capsys):
    for model, share in (("base", 0.4), ("good", 0.9), ("lost", 0.4)):
        store(tmp_path, model, share)
    for path in tmp_path.rglob("*lost*/*.predictions.jsonl"):
        path.unlink()
    code, out, err = run_results(monkeypatch, capsys, tmp_path, "--reference", "base")
    assert code == 0 and "not compared" in out and "predictions.jsonl' cannot be read" in out, err
    assert [c.other.model for c in analysed(tmp_path, "base").comparisons] == ["good"]


def change_predictions(folder, model, change):
    """Rewrites a model's predictions; change: predictions -> predictions."""
    for run in read_results(folder)[0]:
        if run["model"] == model:
            path = predictions_path(type(folder)(run["path"]))
            kept = change([json.loads(line) for line in path.read_text().splitlines()])
            kind = problems.get(run["problem"])
            metrics = kind.metrics(run["labels"], run["negative_label"])
            run["metrics"]["test"] |= score_all(metrics, kept)
            write_result(type(folder)(run.pop("path")), run, kept)


def test_different_documents_are_refused(tmp_path):
    store(tmp_path, "base", 0.4)
    store(tmp_path, "other", 0.4)
    change_predictions(tmp_path, "other", lambda predictions: predictions[2:])
    with pytest.raises(UserError, match=r"'other' and 'base' were tested on different documents \(59 and 60\)"):
        analysed(tmp_path, "base")


def test_other_gold_of_the_same_size_is_refused(tmp_path):
    """Equal totals, other places."""
    store(tmp_path, "base", 0.4)
    store(tmp_path, "other", 0.4)

    def swapped(predictions):
        predictions[0]["gold"], predictions[1]["gold"] = predictions[1]["gold"], predictions[0]["gold"]
        return predictions

    change_predictions(tmp_path, "other", swapped)
    with pytest.raises(UserError, match="different gold answers"):
        analysed(tmp_path, "base")


def test_f1_over_other_words_of_the_same_number_is_not_compared(tmp_path):
    """The same number of words and entities was seen, at other positions."""
    for model in ("base", "other"):
        store_tokens(tmp_path, model, 64, seeds=(42, 43, 44))

    def moved(predictions):
        gold = [[*["O"] * 6, *p["gold"][6:]] for p in predictions]
        return [p | {"gold": own, "seen": [0, 1, 2, 3, 4, 6]} for p, own in zip(predictions, gold)]

    change_predictions(tmp_path, "base", lambda predictions: moved(predictions))
    change_predictions(
        tmp_path, "other", lambda predictions: [p | {"seen": [0, 1, 2, 3, 4, 7]} for p in moved(predictions)]
    )
    expected = "f1 scores what a model saw, .* saw different words; these can be compared: f1_all_gold, f1_windowed"
    with pytest.raises(UserError, match=expected):
        analysed(tmp_path, "base")
    done = analysed(tmp_path, "base", metrics="f1_windowed")
    assert [c.metric.name for c in done.exploratory] == ["f1_windowed"]


@pytest.mark.parametrize("changes", [{"protocol": "strict"}, {"raw_sha256": "c" * 64}, {"dataset": "Phenotype"}])
def test_different_test_sets_are_refused(tmp_path, changes):
    store(tmp_path, "base", 0.4)
    store(tmp_path, "other", 0.4, **changes)
    with pytest.raises(UserError, match="'base' was not tested on .* as 'other' was"):
        analysed(tmp_path, "base")


def test_a_single_document(tmp_path, monkeypatch, capsys):
    for model, share in (("base", 0.4), ("good", 0.9)):
        for seed in (42, 43, 44):
            who = identity(seed, model=model, model_sha256=model[0] * 64)
            write_result(who.path(tmp_path), *single_label_run(who, share, documents=1))
    with pytest.raises(UserError, match=r"was tested on a single document \(or patient\)"):
        analysed(tmp_path, "base")
    code, out, err = run_results(monkeypatch, capsys, tmp_path)
    assert code == 0 and out.count("single document") == 2, err


def test_runs_that_are_all_equal(tmp_path):
    for model in ("base", "copy"):
        store(tmp_path, model, 1.0, seeds=(42, 43, 44))
    with pytest.raises(UserError, match="differ equally in all runs and documents; nothing can be tested"):
        analysed(tmp_path, "base")


def test_changed_predictions_and_unknown_references(tmp_path, monkeypatch, capsys):
    store(tmp_path, "base", 0.4)
    assert run_results(monkeypatch, capsys, tmp_path, "--reference", "nope")[2] == (
        "error: --reference: no results of 'nope'; there are base\n"
    )
    code, _, err = run_results(monkeypatch, capsys, tmp_path, "--reference", "base")
    assert code == 2 and "there is no other model to compare with 'base'" in err
    store(tmp_path, "other", 0.4)
    path = next(tmp_path.rglob("other*/*.predictions.jsonl"))
    lines = [json.loads(line) | {"predicted": "b"} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UserError, match=r"do not give its micro_f1_2; they were changed"):
        analysed(tmp_path, "base")


@pytest.mark.parametrize("junk", [{"gold": "zebra"}, {"gold": 3}, {"predicted": None}, {"gold": ["a"]}, {"id": None}])
def test_junk_in_predictions_is_named(tmp_path, junk):
    store(tmp_path, "base", 0.4)
    store(tmp_path, "other", 0.4)
    path = next(tmp_path.rglob("other*/*.predictions.jsonl"))
    first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([json.dumps(json.loads(first) | junk), *rest]) + "\n")
    expected = "different gold answers" if "id" in junk else "micro_f1_2; they were changed"
    with pytest.raises(UserError, match=expected):
        analysed(tmp_path, "base")


def test_a_reference_with_several_settings(tmp_path):
    for length in (64, 512):
        store_tokens(tmp_path, "base", length, seeds=(42, 43, 44))
        store_tokens(tmp_path, "other", length, seeds=(42, 43, 44))
    by_settings = analysed(tmp_path, "base")
    assert [(c.reference.name, c.other.name) for c in by_settings.comparisons] == [
        ("base length=512", "other length=512"),
        ("base length=64", "other length=64"),
    ]
    by_name = analysed(tmp_path, "base length=64")
    assert {c.reference.name for c in by_name.comparisons} == {"base length=64"} and len(by_name.comparisons) == 3
