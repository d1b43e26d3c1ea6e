"""A whole suite on invented files: every task of BLURB, two models, two seeds, then the table, the page, the submission.

The runs are those that run_parallel.sh plans, in this process: fifty starts of Python would take minutes.
"""

import json
import re

import pytest
from invented_results import run_results

from bioclinical.launch.plan import planned
from bioclinical.tasks.suites import get_suite
from bioclinical.tiny_models import build_tiny_model
from dataloader import get_task

BLURB = get_suite("blurb")
QUICK = ("--epochs", "1", "--lr", "2e-3", "--max_length", "32", "--batch_size", "64")


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return tmp_path_factory.mktemp("suite")


@pytest.fixture(scope="module")
def models(notes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    size = {"vocab_size": 300, "hidden_size": 16, "layers": 1}
    return [str(build_tiny_model(name, notes[:50], folder / f"tiny-{name}", **size)) for name in ("bert", "electra")]


def test_every_task_of_a_suite_runs_and_the_suite_is_scored(sample, models, run_main, outputs, monkeypatch, capsys):
    for job in planned(BLURB.tasks, models, [42, 43], {}).jobs:
        arguments = (*job.arguments(), *QUICK, "--data_dir", sample / "raw", "--output_dir", outputs)
        code, _, err = run_main(*arguments)
        assert code == 0, f"{job}: {err[-500:]}"
    code, out, err = run_results(
        monkeypatch, capsys, outputs, "--suite", "blurb", "--reference", "tiny-bert", "--submission", outputs / "send"
    )
    assert code == 0, err
    overall = re.findall(r"^(tiny-\w+) .* (\d+\.\d\d)[ ^†]* +\[", out, re.MULTILINE)
    assert {model for model, _ in overall} == {"tiny-bert", "tiny-electra"} and "of 13 tasks" not in out
    assert len(list((outputs / "send").glob("*/*.json"))) == 26
    results = [json.loads(path.read_text()) for path in outputs.glob("*/*/seed=*_????????.json")]
    assert len(results) == 52
    assert {r["dataset"]: r["metric"] for r in results} == {t: get_task(t).official_metric for t in BLURB.tasks}


def test_page_of_a_suite(outputs, monkeypatch, capsys):
    """Of two tasks only, as each has figures of its own."""
    for folder in outputs.iterdir():
        if folder.is_dir() and folder.name in BLURB.tasks[2:]:
            folder.rename(outputs.parent / f"aside-{folder.name}")
    page = outputs / "report.html"
    code, out, err = run_results(monkeypatch, capsys, outputs, "--suite", "blurb", "--html", page)
    assert code == 0 and "2 of 13 tasks" in out, err
    html = page.read_text(encoding="utf-8")
    assert "BLURB&#x27;s 13 tasks" in html and "2 of 13 tasks" in html
