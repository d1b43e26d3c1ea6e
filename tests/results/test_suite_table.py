"""The table of a suite: its order, its overall score, folds, what is incomplete, published rows, BLURB's files."""

import json
import re
from statistics import fmean, median

import pytest
from invented_results import identity, run_results, single_label_run, store
from tqdm import tqdm  # noqa: F401  (imported before the captured command prints its bars)

from bioclinical.results.collection import read_results
from bioclinical.results.reported import FILE, reported
from bioclinical.results.store import write_result
from bioclinical.results.submission import DATASET_NAMES, best_by_validation
from bioclinical.tasks.suites import SUITES, get_suite

BLURB = get_suite("blurb")


def scores(folder, model):
    """Task -> its official score of each seed."""
    found = {}
    for result in read_results(folder)[0]:
        if result["model"] == model:
            found.setdefault(result["dataset"], []).append(result["metrics"]["test"][result["metric"]])
    return found


@pytest.fixture
def outputs(tmp_path):
    for number, task in enumerate(BLURB.tasks):
        store(tmp_path, "base", 0.5 + number / 50, dataset=task)
        store(tmp_path, "good", 0.7 + number / 50, dataset=task)
    return tmp_path


def row_of(out, model):
    """The cells of a model's row, as text; two blanks or more part them."""
    (line,) = (line for line in out.splitlines() if line.startswith(f"{model}  "))
    return [cell.strip(" ^†") for cell in line.split("  ") if cell.strip(" ^†")]


def test_overall_is_the_mean_over_kinds(outputs, monkeypatch, capsys):
    code, out, err = run_results(monkeypatch, capsys, outputs, "--suite", "blurb", "--latex", outputs / "t.tex")
    assert code == 0, err
    for model in ("base", "good"):
        means = {task: fmean(values) for task, values in scores(outputs, model).items()}
        cells = row_of(out, model)
        assert cells[1:14] == [f"{100 * means[task]:.2f}" for task in BLURB.tasks]
        kinds = {}
        for member in BLURB.members:
            kinds.setdefault(member.kind, []).append(means[member.task])
        assert cells[14] == f"{100 * fmean(map(fmean, kinds.values())):.2f}"
        low, high = map(float, cells[15].strip("[]").split(", "))
        assert low < float(cells[14]) < high
    assert "overall: mean over the kinds of tasks" in out
    latex = (outputs / "t.tex").read_text()
    assert latex.count(r"\toprule") == 1 and latex.count(r"\textbf{") == 14  # every column and the overall score


def test_the_order_of_models_and_the_overall_difference(outputs, monkeypatch, capsys):
    code, out, err = run_results(monkeypatch, capsys, outputs, "--suite", "blurb", "--reference", "base")
    assert code == 0, err
    totals = {model: float(row_of(out, model)[14]) for model in ("base", "good")}
    (line,) = (line for line in out.splitlines() if "overall, 'good' - 'base':" in line)
    value, low, high = map(float, re.search(r": ([+-][\d.]+) \[([+-][\d.]+), ([+-][\d.]+)\]", line).groups())
    assert value == pytest.approx(totals["good"] - totals["base"], abs=0.011) and low < value < high
    first = {m: int(re.search(rf"'{m}' is first in (\d+) %", out)[1]) for m in totals}
    assert sum(first.values()) in (99, 100, 101) and first["good"] > 80  # the interval holds a little of the other side


def test_an_incomplete_suite_is_marked_and_never_averaged(outputs, monkeypatch, capsys):
    for path in (outputs / "PICO").glob("base-*/*"):
        path.unlink()
    code, out, err = run_results(monkeypatch, capsys, outputs, "--suite", "blurb")
    assert code == 0, err
    assert "12 of 13 tasks" in row_of(out, "base") and row_of(out, "base")[6] == "-"
    assert "tasks" not in " ".join(row_of(out, "good"))


def test_several_settings_are_not_mixed(outputs, monkeypatch, capsys):
    settings = identity().settings | {"lr": 1e-3}
    store(outputs, "base", 0.9, dataset="GAD", settings=settings)
    _, out, _ = run_results(monkeypatch, capsys, outputs, "--suite", "blurb")
    assert "GAD: 'base' has several settings" in out and "12 of 13 tasks" in out


def test_another_test_set_is_left_out(outputs, monkeypatch, capsys):
    store(outputs, "base", 0.99, dataset="GAD", raw_sha256="c" * 64)
    _, out, _ = run_results(monkeypatch, capsys, outputs, "--suite", "blurb")
    assert "GAD: test set" in out and "left out" in out


def test_folds_give_their_median_and_the_first_is_for_choices(tmp_path, monkeypatch, capsys):
    by_fold = {}
    for fold in range(1, 11):
        seeds = []
        for seed in (42, 43, 44):
            who = identity(seed, dataset="EU-ADR", protocol=f"paper-fold{fold}", raw_sha256="e" * 64)
            run, predictions = single_label_run(who, 0.2 if fold == 1 else 0.4 + fold / 25)
            write_result(who.path(tmp_path), run, predictions)
            seeds.append(run["metrics"]["test"][run["metric"]])
        by_fold[fold] = median(seeds)
    code, out, err = run_results(monkeypatch, capsys, tmp_path, "--suite", "biolm18")
    assert code == 0, err
    reported_folds = [score for fold, score in by_fold.items() if fold > 1]
    assert f"{100 * median(reported_folds):.2f}" in row_of(out, "org/model")
    assert f"median over 9 folds, their mean {100 * fmean(reported_folds):.2f}" in out and "1 of 18 tasks" in out
    for path in tmp_path.glob("*/*/*"):
        if (
            json.loads(path.read_text().splitlines()[0] if path.suffix == ".jsonl" else path.read_text()).get(
                "protocol"
            )
            == "paper-fold7"
        ):
            path.unlink()
    _, out, _ = run_results(monkeypatch, capsys, tmp_path, "--suite", "biolm18")
    assert "EU-ADR: 'org/model' has 8 of 9 folds" in out


def test_published_rows_are_shown_as_printed(outputs, monkeypatch, capsys):
    code, out, err = run_results(monkeypatch, capsys, outputs, "--suite", "blurb", "--reported")
    assert code == 0, err
    assert "83.39" in row_of(out, "BioLinkBERT-base (reported)")
    assert "BioLinkBERT-base (reported): reported, README of michiyasunaga/LinkBERT" in out
    code, _, err = run_results(monkeypatch, capsys, outputs, "--reported")
    assert code == 2 and "add --suite" in err


def test_published_figures_are_of_tasks_and_have_a_source():
    for entry in json.loads(FILE.read_text()):
        assert entry["source"] and set(entry["scores"]) <= set(SUITES[entry["suite"]].tasks)
    for entry in reported("biolm18"):  # the printed overall score is the mean of the printed ones, up to rounding
        assert fmean(map(float, entry.scores.values())) == pytest.approx(float(entry.overall), abs=0.1)


def test_unknown_suite_and_no_member(outputs, tmp_path, monkeypatch, capsys):
    code, _, err = run_results(monkeypatch, capsys, outputs, "--suite", "glue")
    assert code == 2 and "unknown suite 'glue'; known: bioclinical5" in err
    code, _, err = run_results(monkeypatch, capsys, outputs, "--suite", "bioclinical5")
    assert code == 2 and "no results under" in err


def test_submission_takes_the_seed_that_validation_chose(tmp_path, monkeypatch, capsys):
    for seed, validation in ((42, 0.6), (43, 0.8), (44, 0.7)):
        who = identity(seed, dataset="BC5CDR-disease")
        run, predictions = single_label_run(who, 0.5)
        run["metrics"]["validation"] = [{"epoch": 1, "weighted_f1": 0.1}, {"epoch": 2, "weighted_f1": validation}]
        write_result(who.path(tmp_path), run, predictions)
    chosen = best_by_validation(read_results(tmp_path)[0])
    assert chosen["seed"] == 43
    code, out, err = run_results(monkeypatch, capsys, tmp_path, "--submission", tmp_path / "s")
    assert code == 0 and "1 prediction files" in out, err
    written = json.loads((tmp_path / "s" / "org--model" / "BC5-disease.json").read_text())
    assert written["dataset_name"] == "BC5-disease" and written["model_name"] == "org/model"
    assert len(written["predictions"]) == 120 and set(DATASET_NAMES) == set(BLURB.tasks)
