"""The page and the notebook: every figure from result files, with one task and one model too."""

import json
import re
import sys

import pytest
from repository import ROOT
from test_results import identity
from test_statistics import LABELS, run_results, single_label_run, store, token_run

from bioclinical.report import figures
from bioclinical.report.page import as_png
from bioclinical.results.collection import read_results
from bioclinical.results.compare import compared
from bioclinical.results.store import write_result
from bioclinical.results.table import HEADLINE_METRICS, table

NOTEBOOK = ROOT / "notebooks" / "downstream_results_exploration.ipynb"


def store_tokens(folder, model, length, seeds=(42, 43)):
    import random

    for seed in seeds:
        settings = identity().settings | {"max_length": length, "seed": seed}
        who = identity(
            seed, dataset="DEID", model=model, model_sha256=model[-1] * 64, settings=settings, protocol="strict"
        )
        result, predictions = token_run(20, random.Random(length + seed))
        kept = {
            "dataset": "DEID",
            "protocol": "strict",
            "model": model,
            "model_name": model,
            "seed": seed,
            "config": settings,
        }
        result |= kept | {"identity": result["identity"] | {"group": who.group}}
        result |= {"times_s": {"training_steps": 3.0 * length}, "peak_memory_bytes": 2**30}
        result["metrics"]["baseline"] = {"f1": 0.0}
        write_result(who.path(folder), result, predictions)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    for model, share in (("base", 0.4), ("good1", 0.9)):
        store(folder, model, share)
    for model in ("base", "good1"):
        for length in (64, 512):
            store_tokens(folder, model, length)
    return folder


def panels_of(folder, reference=None):
    results = read_results(folder)[0]
    summary = compared(table(results), results, reference)[0] if reference else table(results)
    return figures.panels(results, summary)


def test_figures_show_what_the_results_hold(outputs):
    chemprot, deid = panels_of(outputs, "base")
    assert [draw.__name__ for draw in figures.FIGURES if draw(deid) is None] == ["confusions"]
    assert [draw.__name__ for draw in figures.FIGURES if draw(chemprot) is None] == ["score_by_length"]
    assert sorted(deid.runs) == ["base length=512", "base length=64", "good1 length=512", "good1 length=64"]
    ax = figures.seed_strips(chemprot).axes[0]
    dots = [line.get_xdata() for line in ax.lines if line.get_marker() == "o"]
    stored = [
        100 * single_label_run(identity(s, model="base"), 0.4)[0]["metrics"]["test"]["weighted_f1"] for s in (42, 43)
    ]
    assert sorted(dots[0]) == pytest.approx(sorted(stored))
    ax = figures.forest(chemprot).axes[0]
    squares = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "s"]
    shown = chemprot.rows[chemprot.rows["metric"].isin(HEADLINE_METRICS)]
    assert squares == pytest.approx(shown["difference"].dropna().tolist()) and len(squares) == 4
    matrix = figures.confusions(chemprot).axes[0]
    counts = sum(int(text.get_text()) for text in matrix.texts)
    assert counts == 2 * 120 and [tick.get_text() for tick in matrix.get_yticklabels()] == LABELS
    lines = figures.score_by_length(deid).axes[0].lines
    assert len(lines) == 6 and all(list(line.get_xdata()) == [64, 512] for line in lines)


def test_one_task_one_model_one_seed(tmp_path):
    store(tmp_path, "alone", 0.5, seeds=(42,))
    (panel,) = panels_of(tmp_path)
    assert [draw.__name__ for draw in figures.FIGURES if draw(panel) is None] == ["forest", "score_by_length"]
    for draw in figures.FIGURES:
        if figure := draw(panel):
            assert len(as_png(figure)) > 1000


def test_page_loads_nothing_and_says_what_was_left_out(outputs, tmp_path, monkeypatch, capsys):
    broken = outputs / "DEID" / "x" / "seed=1_00000000.json"
    broken.parent.mkdir()
    broken.write_text("{")
    code, _out, err = run_results(monkeypatch, capsys, outputs, "--reference", "base", "--html", tmp_path / "r.html")
    broken.unlink()
    assert code == 0, err
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image/png;base64,") == 10 and "default-src 'none'" in page
    assert not re.search(r"https?://|<script|<link|url\(", page) and "seed=1_00000000.json" in page
    assert "ChemProt, protocol paper" in page and "DEID, protocol strict" in page


def test_notebook_is_stripped_and_short():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert max(len("".join(cell["source"]).splitlines()) for cell in code) <= 12


@pytest.mark.parametrize("reference", ["base", None])
def test_notebook_runs(outputs, monkeypatch, reference):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("BIOCLINICAL_OUTPUTS", str(outputs))
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin")
    if reference:
        monkeypatch.setenv("BIOCLINICAL_REFERENCE", reference)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(NOTEBOOK.parent))
    pictures = [o for c in notebook.cells for o in c.get("outputs", []) if "image/png" in o.get("data", {})]
    assert len(pictures) == (10 if reference else 8)
