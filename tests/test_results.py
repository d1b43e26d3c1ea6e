import dataclasses
import json
import statistics
import subprocess
import sys

import pytest

from bioclinical.finetuning.settings import Settings
from bioclinical.results.collection import read_results
from bioclinical.results.identity import Identity
from bioclinical.results.store import write_result
from bioclinical.results.table import table, to_markdown


def identity(seed=42, **changes):
    values = {
        "dataset": "ChemProt",
        "model": "org/model",
        "model_sha256": "a" * 64,
        "raw_sha256": "b" * 64,
        "protocol": "paper",
        "settings": dataclasses.asdict(Settings(seed=seed)) | {"max_length": 512},
        "seed": seed,
    }
    return Identity(**(values | changes))


def result(who, score, status="finished"):
    metrics = {"test": {"weighted_f1": score, "words": 7, "per_class": {}}, "baseline": {"weighted_f1": 0.1}}
    return {
        "dataset": who.dataset,
        "model": who.model,
        "model_name": who.model_name,
        "protocol": who.protocol,
        "seed": who.seed,
        "status": status,
        "selection_metric": "weighted_f1",
        "config": who.settings,
        "metrics": metrics if status == "finished" else {},
        "identity": {"model_sha256": who.model_sha256, "raw_sha256": who.raw_sha256, "group": who.group},
    }


def store(folder, who, score, status="finished"):
    write_result(who.path(folder), result(who, score, status), [{"id": "1"}])


def test_path_and_what_changes_it(tmp_path):
    base = identity().path(tmp_path)
    assert (
        base.parent.name == "org--model-aaaaaaaa"
        and base.name.startswith("seed=42_")
        and base.parent.parent.name == "ChemProt"
    )
    others = [
        identity(seed=43),
        identity(raw_sha256="c" * 64),
        identity(protocol="strict"),
        identity(model_sha256="c" * 64),
        identity(settings=identity().settings | {"lr": 1e-5}),
        identity(dataset="DEID"),
    ]
    assert len({other.path(tmp_path) for other in others} | {base}) == len(others) + 1
    assert identity(seed=43).group == identity().group != others[1].group
    (tmp_path / "my-encoder").mkdir()
    assert identity(model=str(tmp_path / "my-encoder")).path(tmp_path).parent.name == "my-encoder-aaaaaaaa"


def test_table_over_seeds(tmp_path):
    scores = {42: 0.5, 43: 0.6, 44: 0.9}
    for seed, score in scores.items():
        store(tmp_path, identity(seed), score)
    store(tmp_path, identity(45), None, status="failed")
    summary = table(read_results(tmp_path)[0]).set_index("model")
    row = summary.loc["org/model"]
    values = [100 * score for score in scores.values()]
    assert row["mean"] == pytest.approx(statistics.mean(values)) and row["sd"] == pytest.approx(
        statistics.stdev(values)
    )
    assert (row["median"], row["min"], row["max"]) == pytest.approx((60, 50, 90)) and (row["n"], row["failed"]) == (
        3,
        1,
    )
    assert summary.loc["(majority baseline)", "n"] == 1 and set(summary["metric"]) == {"weighted_f1"}


def test_a_group_whose_seeds_all_failed_stays_in_the_table(tmp_path):
    store(tmp_path, identity(), None, status="failed")
    store(tmp_path, identity(model_sha256="c" * 64), 0.5)
    rows = table(read_results(tmp_path)[0])
    failed = rows[rows["failed"] == 1]
    assert len(failed) == 1 and failed["n"].item() == 0 and failed["mean"].isna().item()


def test_settings_that_differ_are_told_apart(tmp_path):
    for changes in ({}, {"wd": 0.1}, {"max_length": 64}, {"attn": "eager"}, {"accumulation_steps": 2}):
        store(tmp_path, identity(settings=identity().settings | changes), 0.5)
    rows = table(read_results(tmp_path)[0])
    assert rows.loc[rows["model"] == "org/model", "settings"].nunique() == 5


@pytest.mark.parametrize("key, junk", [("config", {}), ("identity", {}), ("metrics", [])])
def test_junk_in_a_result_is_skipped_and_named(tmp_path, key, junk):
    path = identity().path(tmp_path)
    write_result(path, result(identity(), 0.5) | {key: junk}, [])
    results, problems = read_results(tmp_path)
    assert results == [] and str(path) in problems[0]


def test_a_failed_run_keeps_no_predictions_of_an_earlier_one(tmp_path):
    store(tmp_path, identity(), 0.5)
    write_result(identity().path(tmp_path), result(identity(), None, "failed"), [])
    assert not list(tmp_path.rglob("*.predictions.jsonl"))


def test_protocols_and_test_sets_are_never_mixed(tmp_path):
    store(tmp_path, identity(), 0.5)
    store(tmp_path, identity(protocol="strict"), 0.7)
    store(tmp_path, identity(raw_sha256="c" * 64), 0.9)
    assert (table(read_results(tmp_path)[0]).groupby(["protocol", "test_set", "model"]).size() == 1).all()


def test_command_line(tmp_path):
    store(tmp_path / "out", identity(), 0.5)
    broken = tmp_path / "out" / "ChemProt" / "org--model-aaaaaaaa" / "seed=1_00000000.json"
    broken.write_text('{"dataset": ')
    command = [
        sys.executable,
        "-m",
        "bioclinical.results",
        tmp_path / "out",
        "--csv",
        tmp_path / "a.csv",
        "--markdown",
        tmp_path / "a.md",
    ]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0 and "50.00" in run.stdout and f"skipped: '{broken}'" in run.stdout
    assert (
        "| ChemProt | paper | org/model |" in (tmp_path / "a.md").read_text()
        and "weighted_f1" in (tmp_path / "a.csv").read_text()
    )
    run = subprocess.run([sys.executable, "-m", "bioclinical.results", tmp_path], capture_output=True, text=True)
    assert run.returncode == 2 and run.stderr == f"error: no results under '{tmp_path}'\n"


def test_results_are_json_that_others_can_read(tmp_path):
    with pytest.raises(ValueError):
        store(tmp_path, identity(), float("nan"))
    assert not list(tmp_path.rglob("seed=*.json"))
    store(tmp_path, identity(), 0.25)
    (path,) = tmp_path.rglob("seed=42_*.json")
    assert json.loads(path.read_text())["metrics"]["test"]["weighted_f1"] == 0.25
    path.write_text("[]")
    results, problems = read_results(tmp_path)
    assert results == [] and "lacks dataset" in problems[0]


def test_markdown():
    assert to_markdown(table([result(identity(), 0.5)])[["metric", "n"]]).splitlines()[2] == "| weighted_f1 | 1 |"
