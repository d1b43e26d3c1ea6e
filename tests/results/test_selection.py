"""Trials chosen on validation: the record, what tables show of it, and the launcher's command line."""

import json
import subprocess
import sys

import pytest
from invented_results import identity, run_results, single_label_run
from repository import ROOT

from bioclinical.errors import UserError
from bioclinical.results.selection import select, write_selection
from bioclinical.results.store import read_result, write_result


@pytest.fixture
def trials(tmp_path):
    """Three learning rates over two seeds: the one that is best on validation is the worst on test."""
    paths = {}
    for lr, validation, share in (
        ("1e-5", (0.70, 0.72), 0.9),
        ("2e-5", (0.80, 0.84), 0.5),
        ("5e-5", (0.75, 0.85), 0.8),
    ):
        for seed, score in zip((42, 43), validation):
            settings = identity(seed).settings | {"lr": float(lr)}
            who = identity(seed, settings=settings)
            result, predictions = single_label_run(who, share)
            result["metrics"]["validation"] = [{"epoch": 1, "weighted_f1": 0.1}, {"epoch": 2, "weighted_f1": score}]
            write_result(who.path(tmp_path), result, predictions)
            paths.setdefault(lr, []).append(who.path(tmp_path))
    return paths


def test_the_best_mean_on_validation_is_chosen_and_on_record(trials):
    path, record = write_selection("lr", trials)
    assert json.loads(path.read_text()) == record
    assert [trial["validation"] for trial in record["trials"]] == pytest.approx([0.71, 0.82, 0.80])
    assert record["chosen"] == read_result(trials["2e-5"][0])["identity"]["group"]
    assert write_selection("lr", trials)[0] == path


def test_a_trial_with_a_failed_run_is_not_chosen(trials):
    record = select("lr", trials | {"2e-5": [trials["2e-5"][0], None]})
    assert record["chosen"] == record["trials"][2]["group"] and record["trials"][1]["failed"] == 1
    with pytest.raises(UserError, match="every one of 1e-5 has a failed run"):
        select("lr", {"1e-5": [None]})


def test_tables_show_the_chosen_row_and_how_many_it_was_chosen_from(trials, tmp_path, monkeypatch, capsys):
    write_selection("lr", trials)
    code, out, err = run_results(monkeypatch, capsys, tmp_path, "--html", tmp_path / "page.html")
    assert code == 0, err
    assert "lr=2e-05" in out and "lr=1e-05" not in out
    header = next(line for line in out.splitlines() if line.startswith("model"))
    assert "trials" in header
    assert "was chosen from 3 trials by validation weighted_f1: lr 1e-5 (71.00), 2e-5 (82.00), 5e-5 (80.00)" in out
    assert "Risk and coverage" in (tmp_path / "page.html").read_text()
    code, out, _ = run_results(monkeypatch, capsys, tmp_path, "--all_trials")
    assert all(f"lr={lr}" in out for lr in ("1e-05", "2e-05", "5e-05"))
    (record,) = tmp_path.rglob("selection-*.json")
    record.write_text("{}")
    code, _, err = run_results(monkeypatch, capsys, tmp_path)
    assert code == 2 and "is no record of a choice" in err


def launch(*arguments):
    command = [sys.executable, "scripts/run_parallel.py", "--dataset", "chemprot", "--model", "m", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_the_plan_of_trials():
    code, out, err = launch("--lr", "1e-5,2e-5", "--select_on", "validation", "--seeds", "42,43", "--dry_run")
    assert code == 0 and "4 runs" in err
    assert [line.split()[line.split().index("--lr") + 1] for line in out.splitlines()] == ["1e-5", "2e-5"] * 2


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--lr", "1e-5,2e-5"), "several learning rates need --select_on validation"),
        (("--lr", "1e-5,2e-5", "--select_on", "test"), "chosen on validation only"),
        (("--lr", "1e-5,high", "--select_on", "validation"), "--lr 'high' is not a number"),
        (("--select_on", "validation"), "--select_on chooses among learning rates"),
    ],
)
def test_trials_that_are_none(arguments, message):
    code, _, err = launch(*arguments)
    assert code == 2 and message in err
