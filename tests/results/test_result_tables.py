"""Tables: what they show, and the same in text, Markdown, LaTeX and CSV."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from invented_results import identity, result, run_results, single_label_run, store, store_tokens

from bioclinical.results.analysis import analyse
from bioclinical.results.class_table import class_frame, class_table
from bioclinical.results.collection import read_results
from bioclinical.results.panel import panels
from bioclinical.results.render import to_html, to_latex, to_markdown, to_text
from bioclinical.results.store import write_result
from bioclinical.results.table import Cell, Table, p_value


def tables_of(folder, *arguments, **options):
    return analyse(panels(read_results(folder)[0]), *arguments, **options).tables


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs")
    for model, share in (("base", 0.4), ("org/good_one", 0.9), ("same", 0.42)):
        store(folder, model, share, seeds=(42, 43, 44))
        store_tokens(folder, model, 64, seeds=(42, 43, 44))
        store(folder, model, share, seeds=(42, 43, 44), dataset="Second")
    return folder


def test_a_row_per_model_and_the_official_metric_first(outputs):
    table = tables_of(outputs)[0]
    assert table.columns == [
        "model",
        "micro_f1_2",
        "95 %",
        "seeds",
        "weighted_f1",
        "micro_f1",
        "macro_f1",
        "accuracy",
        "ece",
    ]
    assert [row[0].text for row in table.rows] == ["base", "org/good_one", "same", "(majority baseline)"]
    assert table.title.endswith("lr=2e-05 epochs=3 batch=16 length=512")
    good = table.rows[1]
    runs = [single_label_run(identity(s, model="org/good_one"), 0.9)[0] for s in (42, 43, 44)]
    scores = 100 * np.array([run["metrics"]["test"]["micro_f1_2"] for run in runs])
    assert good[1] == Cell(f"{scores.mean():.2f} ± {scores.std(ddof=1):.2f}", best=True)
    low, high = map(float, re.findall(r"[\d.]+", good[2].text))
    assert low < scores.mean() < high <= 100


def test_best_and_what_is_not_shown_to_be_worse(outputs):
    with_twin = tables_of(outputs)[0]
    assert [cell.best for cell in (row[1] for row in with_twin.rows)] == [False, True, False, False]
    tokens = next(table for table in tables_of(outputs) if table.title.startswith("DEID"))
    assert sum(row[1].best for row in tokens.rows) == 1 and sum(row[1].close for row in tokens.rows) == 2


def test_lowest_calibration_error_is_best(outputs):
    table = tables_of(outputs)[0]
    column = table.columns.index("ece")
    values = [float(row[column].text.split()[0]) for row in table.rows[:3]]
    assert table.rows[int(np.argmin(values))][column].best


def test_models_by_tasks(outputs):
    table = next(table for table in tables_of(outputs) if table.title == "Models by tasks, protocol paper")
    assert table.columns == ["model", "ChemProt micro_f1_2", "Second micro_f1_2", "average rank (2 tasks)"]
    ranks = [float(row[-1].text) for row in table.rows]
    assert sum(ranks) == pytest.approx(6) and ranks[1] == 1.0 and table.rows[1][1].best


def test_a_task_that_a_model_lacks_counts_for_no_rank(outputs, tmp_path):
    store(tmp_path, "one", 0.5)
    store(tmp_path, "two", 0.6)
    store(tmp_path, "one", 0.5, dataset="Second")
    table = tables_of(tmp_path)[-1]
    assert table.columns[-1] == "average rank (1 tasks)" and [row[2].text for row in table.rows][1] == "-"


def test_notes_say_what_a_reader_must_know(tmp_path):
    store(tmp_path, "base", 1.0, seeds=(42, 43, 44))
    store(tmp_path, "other", 0.5, seeds=(42, 43))
    who = identity(45, model="other", model_sha256=f"{sum(map(ord, 'other')):064x}")
    write_result(who.path(tmp_path), result(who, None, "failed"), [])
    (table,) = tables_of(tmp_path)
    notes = " ".join(table.notes)
    assert "all seeds of 'base' score the same; its interval is of documents alone" in notes
    assert "'other' failed with seed 45, counted as the majority baseline (--exclude_failed leaves it out)" in notes
    assert "not all rows have the same seeds: 'base' 42 43 44; 'other' 42 43" in notes
    assert table.rows[1][3].text == "2 + 1 failed"


def test_old_runs_grouped_by_length_are_warned_of(tmp_path):
    store(tmp_path, "base", 0.5, settings=identity().settings | {"group_by_length": True})
    assert "were computed in a wrong order" in " ".join(tables_of(tmp_path)[0].notes)
    for path in tmp_path.rglob("seed=*_????????.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 2}))
    assert "wrong order" not in " ".join(tables_of(tmp_path)[0].notes)


def test_formats_share_one_table():
    cells = [[Cell("a_b"), Cell("93.09 ± 0.85", best=True)], [Cell("c|d"), Cell("92.79 ± 0.42", close=True)]]
    table = Table("Title: 5 %", ["model", "f1"], cells, ["a note"])
    assert to_markdown(table).splitlines() == [
        "**Title: 5 %**",
        "",
        "| model | f1 |",
        "| --- | --- |",
        "| a_b | **93.09 ± 0.85** |",
        "| c\\|d | 92.79 ± 0.42 † |",
        "",
        "- a note",
    ]
    latex = to_latex(table)
    assert r"a\_b & \textbf{93.09 $\pm$ 0.85} \\" in latex and r"92.79 $\pm$ 0.42$^\dagger$ \\" in latex
    assert r"\toprule" in latex and latex.count(r"\\") == 3 and r"\caption{Title: 5 \%. a note}" in latex
    assert "<b>93.09 ± 0.85</b>" in to_html(table) and "a_b    93.09 ± 0.85 ^" in to_text(table)


def test_p_is_printed_as_far_as_it_is_known():
    assert [p_value(p) for p in (0.0004, 0.001, 0.0499, 1.0, float("nan"))] == [
        "<0.001",
        "0.001",
        "0.050",
        "1.000",
        "-",
    ]


def test_classes_with_precision_and_recall(outputs):
    panel = next(panel for panel in panels(read_results(outputs)[0]) if panel.dataset == "ChemProt")
    table = class_table(panel)
    assert table.columns == ["model", "class", "precision", "recall", "f1", "gold"] and len(table.rows) == 9
    frame = class_frame([panel])
    runs = [
        single_label_run(identity(s, model="base"), 0.4)[0]["metrics"]["test"]["per_class"]["a"] for s in (42, 43, 44)
    ]
    row = frame[(frame["model"] == "base") & (frame["class"] == "a")].iloc[0]
    assert row["recall"] == pytest.approx(np.mean([run["recall"] for run in runs])) and row["gold"] == 40


def test_files(outputs, tmp_path, monkeypatch, capsys):
    names = {"csv": "t.csv", "markdown": "t.md", "latex": "t.tex", "per_class": "c.csv"}
    paths = {flag: tmp_path / name for flag, name in names.items()}
    flags = [part for flag, path in paths.items() for part in (f"--{flag}", path)]
    code, out, err = run_results(monkeypatch, capsys, outputs, "--reference", "base", *flags)
    assert code == 0 and "p (Holm)" in out, err
    frame = pd.read_csv(paths["csv"])
    assert {"mean", "sd", "median", "min", "max", "n", "failed", "low", "high", "difference", "p", "p_holm"} <= set(
        frame
    )
    runs = [single_label_run(identity(s, model="same"), 0.42)[0]["metrics"]["test"]["accuracy"] for s in (42, 43, 44)]
    row = frame[(frame["model"] == "same") & (frame["metric"] == "accuracy") & (frame["dataset"] == "ChemProt")].iloc[0]
    assert row["mean"] == pytest.approx(100 * np.mean(runs)) and row["n"] == 3 and not row["official"]
    tested = frame[frame["p"].notna()]
    assert set(tested["metric"]) == {"micro_f1_2", "f1"} and tested["official"].all()
    assert "| base |" in paths["markdown"].read_text() and "classes**" in paths["markdown"].read_text()
    assert paths["latex"].read_text().count(r"\begin{tabular}") == 4
    assert set(pd.read_csv(paths["per_class"])["class"]) == {"a", "b", "false", "x", "y"}


def test_no_table_mixes_protocols(tmp_path, monkeypatch, capsys):
    for protocol in ("paper", "strict"):
        for dataset in ("ChemProt", "Second"):
            store(tmp_path, "base", 0.4, protocol=protocol, dataset=dataset)
    titles = [table.title for table in tables_of(tmp_path)]
    assert len(titles) == 6 and all(("paper" in title) != ("strict" in title) for title in titles)
