"""Result files: their path, what is written and read, and what is wrong with those that are none."""

import json

import pytest
from invented_results import identity, result, run_results, store

from bioclinical.errors import UserError
from bioclinical.results.collection import read_results
from bioclinical.results.store import is_finished, predictions_path, read_predictions, write_result


def test_path_and_what_changes_it(tmp_path):
    base = identity().path(tmp_path)
    assert base.parent.name == "org--model-aaaaaaaa" and base.parent.parent.name == "ChemProt"
    assert base.name == "seed=42_6ddd0d70.json", "paths of earlier results must stay"
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


def test_results_are_json_that_others_can_read(tmp_path):
    path = identity().path(tmp_path)
    with pytest.raises(ValueError):
        write_result(path, result(identity(), float("nan")), [])
    assert not list(tmp_path.rglob("seed=*.json"))
    write_result(path, result(identity(), 0.25), [])
    assert json.loads(path.read_text())["metrics"]["test"]["weighted_f1"] == 0.25 and is_finished(path)


def test_ids_may_hold_any_line_separator(tmp_path):
    """str.splitlines() would cut these lines."""
    predictions = [{"id": f"note{mark}1", "gold": "a"} for mark in ("\u2028", "\u2029", "\x85", "\x0b", "\r")]
    path = identity().path(tmp_path)
    write_result(path, result(identity(), 0.5), predictions)
    assert read_predictions({"path": str(path)}) == predictions


@pytest.mark.parametrize("text", ["{", "[1]\n", '{"id": 1}\n\n{', "[" * 100_000])
def test_predictions_that_are_none(tmp_path, text):
    path = identity().path(tmp_path)
    write_result(path, result(identity(), 0.5), [{"id": "1"}])
    predictions_path(path).write_text(text)
    with pytest.raises(UserError, match=r"predictions\.jsonl' (cannot be read|does not hold predictions)"):
        read_predictions({"path": str(path)})


def test_a_failed_run_keeps_no_predictions_of_an_earlier_one(tmp_path):
    write_result(identity().path(tmp_path), result(identity(), 0.5), [{"id": "1"}])
    write_result(identity().path(tmp_path), result(identity(), None, "failed"), [])
    assert not list(tmp_path.rglob("*.predictions.jsonl"))


@pytest.mark.parametrize(
    "changes",
    [
        {"config": {}},
        {"config": {"lr": "fast", "epochs": 3, "batch_size": 16, "max_length": 512}},
        {"identity": {}},
        {"identity": None},
        {"metrics": []},
        {"metrics": {"test": 3}},
        {"metrics": {"test": {"weighted_f1": float("inf")}}},
        {"model_name": None},
        {"model_name": ""},
        {"model": None},
        {"seed": "42"},
        {"labels": None},
        {"labels": [1, None]},
        {"problem": "juggling"},
        {"metric": "elegance"},
        {"status": "running"},
        {"status": None},
    ],
)
def test_foreign_results_are_skipped_and_named(tmp_path, monkeypatch, capsys, changes):
    store(tmp_path, "good", 0.5)
    path = tmp_path / "ChemProt" / "x" / "seed=1_00000000.json"
    path.parent.mkdir()
    path.write_text(json.dumps(result(identity(), 0.5) | changes))
    results, problems = read_results(tmp_path)
    assert len(results) == 2 and len(problems) == 1 and str(path) in problems[0]
    code, out, err = run_results(monkeypatch, capsys, tmp_path)
    assert code == 0 and f"'{path}'" in out and "good" in out, err


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '"text"', "{}", "[" * 100_000, "\x00"])
def test_files_that_are_no_results(tmp_path, text):
    path = tmp_path / "a" / "b" / "seed=1.json"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    results, problems = read_results(tmp_path)
    assert results == [] and len(problems) == 1 and str(path) in problems[0]


def test_unfinished_runs_are_named(tmp_path, monkeypatch, capsys):
    store(tmp_path, "base", 0.4, seeds=(42,))
    (next(tmp_path.rglob("seed=42_*.json")).parent / "seed=44_00000000.run").mkdir()
    code, out, _ = run_results(monkeypatch, capsys, tmp_path)
    assert code == 0 and "seed=44_00000000.json' is not finished" in out


def test_nothing_there(tmp_path, monkeypatch, capsys):
    assert run_results(monkeypatch, capsys, tmp_path)[::2] == (2, f"error: no results under '{tmp_path}'\n")
