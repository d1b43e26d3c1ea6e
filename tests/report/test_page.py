"""The page, the figures and the notebook: from result files, with one task and one model too."""

import json
import re
import sys

import pytest
from invented_results import LABELS, identity, run_results, single_label_run, store, store_tokens
from repository import ROOT

from bioclinical.report.class_figures import confusions
from bioclinical.report.curve_figures import context, learning, reliability, risk_coverage
from bioclinical.report.drawing import wrapped
from bioclinical.report.page import FIGURES, as_png
from bioclinical.report.score_figures import differences, seeds
from bioclinical.results.analysis import analyse
from bioclinical.results.collection import read_results
from bioclinical.results.panel import panels
from bioclinical.results.store import write_result

NOTEBOOK = ROOT / "notebooks" / "downstream_results_exploration.ipynb"
HUB_NAME = "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    for model, share in (("base", 0.4), ("good1", 0.9)):
        store(folder, model, share, seeds=(42, 43, 44))
    for model in ("base", "good1"):
        for length in (64, 512):
            store_tokens(folder, model, length)
    return folder


def analysed(folder, *arguments):
    return analyse(panels(read_results(folder)[0]), *arguments)


def missing(measured, analysis):
    return [draw.__name__ for draw in FIGURES if draw(measured, analysis.comparisons) is None]


def test_figures_show_what_the_results_hold(outputs):
    analysis = analysed(outputs, "base")
    chemprot, deid = analysis.measured
    assert missing(deid, analysis) == ["confusions", "learning", "reliability", "risk_coverage"]
    assert missing(chemprot, analysis) == ["learning", "context"]
    ax = seeds(chemprot, []).axes[0]
    dots = [line.get_xdata() for line in ax.lines if line.get_marker() == "o"]
    runs = [single_label_run(identity(s, model="base"), 0.4)[0] for s in (42, 43, 44)]
    assert sorted(dots[0]) == pytest.approx(sorted(100 * run["metrics"]["test"]["micro_f1_2"] for run in runs))
    bands = [line.get_xdata() for line in ax.lines if line.get_linewidth() == 9]
    thin = [line.get_xdata() for line in ax.lines if line.get_linewidth() == 1.5 and line.get_marker() == "None"]
    assert len(bands) == len(thin) == 2 and bands[0][0] < thin[0][0] < thin[0][1] < bands[0][1]
    assert ax.get_xlim()[0] > 20, "the axis must not begin at 0, where 2 points would vanish"
    ax = differences(chemprot, analysis.comparisons).axes[0]
    squares = [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "s"]
    assert squares == pytest.approx([100 * analysis.comparisons[0].estimate.value])
    matrix = confusions(chemprot, []).axes[0]
    assert sum(int(text.get_text()) for text in matrix.texts) == 3 * 120
    assert [tick.get_text() for tick in matrix.get_yticklabels()] == LABELS
    lines = context(deid, []).axes[0].lines
    assert len(lines) == 6 and all(list(line.get_xdata()) == [64, 512] for line in lines)


def test_nothing_on_the_page_is_wider_than_a_phone(tmp_path, monkeypatch, capsys):
    """Models with hub names: tables and figures scroll in containers of their own, only names break."""
    for number in range(3):
        store(tmp_path, f"{HUB_NAME}-{number}", 0.5 + 0.05 * number)
    page = tmp_path / "page.html"
    run_results(monkeypatch, capsys, tmp_path, "--all_pairs", "--html", page)
    shown = re.sub(r"base64,[^\"]*", "", page.read_text())
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in shown
    assert shown.count("<table>") == shown.count('<div class="wide"><table>') > 1
    assert shown.count("<img ") == len(re.findall(r"<figure>.*?<img [^>]*>.*?</figure>", shown)) > 3
    style = re.search(r"<style>(.*?)</style>", shown, re.S)[1]
    for scrolling in (".wide", "figure"):
        assert "overflow-x: auto" in re.search(rf"{re.escape(scrolling)} {{(.*?)}}", style)[1]
    fixed = re.findall(r"(\w+) {[^}]*?(?<!-)(?:min-)?width: (\d+)px", style.replace("(max-width: 600px)", ""))
    assert fixed == [("img", "640")], "only images, which scroll in their figure"
    assert shown.count('<td class="name">microsoft/<wbr>BiomedNLP') == 3 + 2 * 3
    assert "white-space: nowrap" in style and 'class="name">0' not in shown


def test_reliability_by_hand(outputs):
    """Of the probability 0.8 about the right label, that share came true which was right."""
    line = reliability(analysed(outputs).measured[0], []).axes[0].lines[0]
    predictions = [p for s in (42, 43, 44) for p in single_label_run(identity(s, model="base"), 0.4)[1]]
    right = sum(p["gold"] == p["predicted"] for p in predictions) / len(predictions)
    assert list(line.get_xdata()) == pytest.approx([0.8]) and list(line.get_ydata()) == pytest.approx([right])


def test_risk_and_coverage_by_hand(outputs):
    """All are equally certain: however many are given, the share of wrong ones ends at that of all."""
    line = risk_coverage(analysed(outputs).measured[0], []).axes[0].lines[0]
    predictions = [p for s in (42, 43, 44) for p in single_label_run(identity(s, model="base"), 0.4)[1]]
    wrong = [p["gold"] != p["predicted"] for p in predictions]
    assert list(line.get_ydata()) == pytest.approx([100 * sum(wrong[:n]) / n for n in range(1, len(wrong) + 1)])
    assert line.get_xdata()[-1] == 100


def test_learning_curves(tmp_path):
    for seed in (42, 43):
        who = identity(seed)
        run, predictions = single_label_run(who, 0.5)
        history = [{"epoch": e, "loss": 1 / e, "weighted_f1": 0.1 * e + 0.01 * (seed - 42)} for e in (1, 2, 3)]
        run["metrics"]["validation"] = history
        write_result(who.path(tmp_path), run, predictions)
    left, right = learning(analysed(tmp_path).measured[0], []).axes
    mean = next(line for line in left.lines if line.get_linewidth() == 2)
    assert list(mean.get_ydata()) == pytest.approx([10.5, 20.5, 30.5])
    assert list(right.lines[0].get_ydata()) == pytest.approx([1, 1 / 2, 1 / 3])


def test_one_task_one_model_one_seed(tmp_path):
    store(tmp_path, "alone", 0.5, seeds=(42,))
    analysis = analysed(tmp_path)
    assert missing(analysis.measured[0], analysis) == ["differences", "learning", "context"]
    for draw in FIGURES:
        if figure := draw(analysis.measured[0], []):
            assert len(as_png(figure)) > 1000


def test_long_names_are_wrapped_and_nothing_of_them_is_cut():
    assert wrapped(HUB_NAME).splitlines()[0] == "microsoft/" or "microsoft/" in wrapped(HUB_NAME).splitlines()[0]
    for name in (HUB_NAME, "a" * 100, "short", "lindvalllab/BioClinical-ModernBERT-base length=512"):
        assert wrapped(name).replace("\n", "").replace(" ", "") == name.replace(" ", "")
        assert max(map(len, wrapped(name).splitlines())) <= 34


def test_page_loads_nothing_and_says_what_was_left_out(outputs, tmp_path, monkeypatch, capsys):
    broken = outputs / "DEID" / "x" / "seed=1_00000000.json"
    broken.parent.mkdir()
    broken.write_text("{")
    code, _out, err = run_results(monkeypatch, capsys, outputs, "--reference", "base", "--html", tmp_path / "r.html")
    broken.unlink()
    assert code == 0, err
    page = (tmp_path / "r.html").read_text()
    assert page.count("data:image/png;base64,") == 12 and "default-src 'none'" in page
    assert not re.search(r"https?://|<script|<link|url\(", page) and "seed=1_00000000.json" in page
    assert page.count("ChemProt, protocol paper") == 1 and "DEID, protocol strict" in page


def test_figures_as_files(outputs, tmp_path, monkeypatch, capsys):
    code, _out, err = run_results(monkeypatch, capsys, outputs, "--figures", tmp_path / "figures")
    assert code == 0, err
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert len(names) == 20 and {name.rsplit(".", 1)[1] for name in names} == {"pdf", "svg"}
    (picture,) = (path for path in (tmp_path / "figures").glob("ChemProt_paper_*_seeds.svg"))
    assert "good1" in picture.read_text(), "text stays text"


def test_notebook_is_stripped_and_short():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert max(len("".join(cell["source"]).splitlines()) for cell in code) <= 14


def test_notebook_runs_with_and_without_a_reference(outputs, monkeypatch):
    """Twice in one kernel, as starting one takes longer than the cells."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("BIOCLINICAL_OUTPUTS", str(outputs))
    monkeypatch.setenv("BIOCLINICAL_REFERENCE", "base")
    monkeypatch.setenv("PATH", f"{sys.prefix}/bin")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell('os.environ.pop("BIOCLINICAL_REFERENCE", None)'))
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    )
    with client.setup_kernel():
        for reference, pictures in (("base", 11), (None, 9)):
            for number, cell in enumerate(notebook.cells):
                client.execute_cell(cell, number)
            outputs_of_cells = [o for c in notebook.cells for o in c.get("outputs", [])]
            assert len([o for o in outputs_of_cells if "image/png" in o.get("data", {})]) == pictures, reference
