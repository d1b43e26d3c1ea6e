"""Over tasks and over splits; examples on which models differ."""

import math

import numpy as np
import pandas as pd
import pytest
from invented_results import identity, run_results, single_label_run, store
from scipy import stats

from bioclinical.results.overall import draw, overall, overall_difference
from bioclinical.results.significance import Sample, score
from bioclinical.results.store import write_result


def sample(mean, seeds=3, documents=80, seed_sd=0.01, salt=0):
    rng = np.random.default_rng(salt)
    right = (rng.random((documents, seeds)) < mean + seed_sd * rng.normal(size=seeds)).astype(float)
    return Sample(right.mean(axis=0), (right.sum(axis=0) - right) / (documents - 1))


def test_overall_mean_and_order():
    tasks = [[sample(0.7, salt=10 * t), sample(0.9, salt=10 * t + 1), sample(0.89, salt=10 * t + 2)] for t in range(4)]
    found = overall(tasks)
    for i, model in enumerate(found):
        assert model.estimate.value == pytest.approx(np.mean([task[i].mean for task in tasks]))
    assert sum(model.first for model in found) == pytest.approx(1) and found[0].first < 0.01
    assert 0.05 < found[2].first < 0.95 and 2.9 < found[0].average_rank <= 3
    assert sum(model.average_rank for model in found) == pytest.approx(6)
    difference = overall_difference([(task[0], task[1]) for task in tasks])
    assert difference.p < 0.01 and difference.value == pytest.approx(found[1].estimate.value - found[0].estimate.value)


def test_draws_have_the_variance_of_the_estimate():
    """Documents and seeds, none counted twice; t with 9 degrees of freedom has 9/7 of the normal variance."""
    one = sample(0.8, seeds=10, documents=400, seed_sd=0.05)
    drawn = draw([one, one], np.random.default_rng(0))
    (seeds, _), (documents, _) = score(one).variances
    assert drawn[:, 0].var() == pytest.approx(documents + 9 / 7 * seeds, rel=0.15)
    assert drawn.mean(axis=0) == pytest.approx([one.mean] * 2, abs=0.002)


def store_splits(folder, model, share, splits=(42, 43, 44)):
    sizes = {"train": {"examples": 480}, "test": {"examples": 120}}
    for split in splits:
        for seed in (1, 2):
            protocol = "strict" if split == 42 else f"strict-split{split}"
            changes = {"model": model, "model_sha256": model[0] * 64, "raw_sha256": f"{split:064x}"}
            who = identity(100 * split + seed, protocol=protocol, **changes)
            run, predictions = single_label_run(who, share)
            write_result(who.path(folder), run | {"splits": sizes}, predictions)


def test_over_splits(tmp_path, monkeypatch, capsys):
    store_splits(tmp_path, "base", 0.5)
    store_splits(tmp_path, "good", 0.9)
    code, out, err = run_results(monkeypatch, capsys, tmp_path, "--over_splits", "--reference", "base")
    assert code == 0 and "ChemProt, protocol strict, 3 splits" in out, err
    scores = {}
    for model, share in (("base", 0.5), ("good", 0.9)):
        scores[model] = [
            np.mean(
                [
                    single_label_run(identity(100 * split + seed, model=model), share)[0]["metrics"]["test"][
                        "micro_f1_2"
                    ]
                    for seed in (1, 2)
                ]
            )
            for split in (42, 43, 44)
        ]
    gaps = 100 * (np.array(scores["good"]) - np.array(scores["base"]))
    line = next(line for line in out[out.index("3 splits") :].splitlines() if line.startswith("good"))
    assert f"{100 * np.mean(scores['good']):.2f}" in line and f"{gaps.mean():+.2f}" in line
    error = math.sqrt((1 / 3 + 120 / 480) * gaps.var(ddof=1))
    low, high = stats.t.interval(0.95, 2, gaps.mean(), error)
    assert f"[{low:.2f}, {high:.2f}]" in line


def test_over_splits_without_any(tmp_path, monkeypatch, capsys):
    store(tmp_path, "base", 0.4)
    code, _, err = run_results(monkeypatch, capsys, tmp_path, "--over_splits")
    assert code == 2 and err == "error: --over_splits: no dataset was run with several split seeds or folds\n"


def test_disagreements_are_ids_and_shares(tmp_path, monkeypatch, capsys):
    store(tmp_path, "base", 0.4)
    store(tmp_path, "good", 0.9)
    path = tmp_path / "d.csv"
    code, _, err = run_results(monkeypatch, capsys, tmp_path, "--disagreements", "base", "good", path)
    assert code == 0, err
    frame = pd.read_csv(path, dtype={"id": str})
    assert list(frame) == ["dataset", "protocol", "test_set", "id", "right base", "right good", "gap"]
    runs = {
        m: [single_label_run(identity(s, model=m), share)[1] for s in (42, 43)]
        for m, share in (("base", 0.4), ("good", 0.9))
    }
    for row in frame.itertuples():
        for model, share in (("base", row[5]), ("good", row[6])):
            assert share == np.mean([run[int(row.id)]["gold"] == run[int(row.id)]["predicted"] for run in runs[model]])
    assert (frame["gap"] > 0).all() and frame["gap"].is_monotonic_decreasing
    code, _, err = run_results(monkeypatch, capsys, tmp_path, "--disagreements", "base", "nope", path)
    assert code == 2 and "no task has predictions of both 'base' and 'nope'" in err
