"""What stands beside what, and what rows are called."""

import numpy as np
import pytest
from invented_results import identity, result, single_label_run, store

from bioclinical.results.collection import read_results
from bioclinical.results.names import model_names, row_names
from bioclinical.results.panel import panels
from bioclinical.results.store import write_result


def panels_of(folder, **options):
    return panels(read_results(folder)[0], **options)


def test_scores_over_seeds(tmp_path):
    for seed, score in {43: 0.6, 42: 0.5, 44: 0.9}.items():
        write_result(identity(seed).path(tmp_path), result(identity(seed), score), [])
    (panel,) = panels_of(tmp_path)
    (row,) = panel.rows
    assert row.seeds == [42, 43, 44] and row.scores(panel.official).tolist() == [0.5, 0.6, 0.9]
    assert panel.baseline == {"weighted_f1": 0.1} and panel.official.name == "weighted_f1"


def test_failed_seeds_count_as_the_baseline_unless_they_are_excluded(tmp_path):
    for seed, score in {42: 0.5, 43: 0.6}.items():
        write_result(identity(seed).path(tmp_path), result(identity(seed), score), [])
    write_result(identity(44).path(tmp_path), result(identity(44), None, "failed"), [])
    for exclude, expected in ((False, [0.5, 0.6, 0.1]), (True, [0.5, 0.6])):
        (panel,) = panels_of(tmp_path, exclude_failed=exclude)
        (row,) = panel.rows
        assert row.scores(panel.official).tolist() == expected and [run["seed"] for run in row.failed] == [44]


def test_a_model_whose_seeds_all_failed_stays(tmp_path):
    write_result(identity().path(tmp_path), result(identity(), None, "failed"), [])
    write_result(
        identity(model="b", model_sha256="c" * 64).path(tmp_path),
        result(identity(model="b"), 0.5)
        | {"identity": result(identity(model="b", model_sha256="c" * 64), 0.5)["identity"]},
        [],
    )
    (panel,) = panels_of(tmp_path)
    assert [(row.name, len(row.runs), len(row.failed)) for row in panel.rows] == [("b", 1, 0), ("org/model", 0, 1)]
    assert len(panel.rows[1].scores(panel.official)) == 0


def test_protocols_and_test_sets_are_never_mixed(tmp_path):
    changes = ({}, {"protocol": "strict"}, {"raw_sha256": "c" * 64}, {"settings": identity().settings | {"limit": 9}})
    for change in changes:
        store(tmp_path, "m", 0.5, **change)
    found = panels_of(tmp_path)
    assert len(found) == 4 and all(len(panel.rows) == 1 for panel in found)


def test_settings_that_differ_are_told_apart(tmp_path):
    for changes in ({}, {"wd": 0.1}, {"max_length": 64}, {"attn": "eager"}, {"accumulation_steps": 2}):
        store(tmp_path, "m", 0.5, settings=identity().settings | changes)
    (panel,) = panels_of(tmp_path)
    names = {row.name for row in panel.rows}
    assert len(names) == 5 and "m length=64" in names and "m length=512 wd=0.1" in names


def test_a_task_of_ones_own_shows_its_official_metric_first(tmp_path):
    for seed in (42, 43):
        who = identity(seed, dataset="Mine")
        write_result(who.path(tmp_path), *single_label_run(who, 0.5, negative="a"))
    (panel,) = panels_of(tmp_path)
    assert panel.official.name == "micro_f1_2" and panel.metrics[0] is panel.headline[0]
    for seed in (42, 43):
        who = identity(seed, dataset="Mine")
        run, predictions = single_label_run(who, 0.5, negative="a")
        write_result(who.path(tmp_path), run | {"metric": "macro_f1"}, predictions)
    assert panels_of(tmp_path)[0].official.name == "macro_f1"


def test_results_without_schema_stay_readable(tmp_path):
    """As written before results named their official metric."""
    run, predictions = single_label_run(identity(), 0.5)
    del run["metric"]
    run["config"] = {key: value for key, value in run["config"].items() if key != "pooling"}
    write_result(identity().path(tmp_path), run, predictions)
    (panel,) = panels_of(tmp_path)
    assert panel.official.name == "micro_f1_2" and len(panel.rows) == 1


def named(model, sha, label=None):
    changed = result(identity(model=model, model_sha256=sha * 64), 0.5) | {"model_name": model.rsplit("/", 1)[-1]}
    return changed | ({"model_label": label} if label else {})


@pytest.mark.parametrize(
    "results, expected",
    [
        ([named("runA/hf", "a"), named("runB/hf", "b")], ["runA/hf", "runB/hf"]),
        ([named("x/runA/hf", "a"), named("y/runA/hf", "b")], ["x/runA/hf", "y/runA/hf"]),
        ([named("run/hf", "a"), named("run/hf", "b")], ["hf@aaaaaaaa", "hf@bbbbbbbb"]),
        ([named("runA/hf", "a"), named("runB/hf", "b", "best one")], ["hf", "best one"]),
        ([named("runA/hf", "a"), named("runA/hf", "a", "late label")], ["late label"]),
        ([named("a", "a", "same"), named("b", "b", "same")], ["same@aaaaaaaa", "same@bbbbbbbb"]),
        ([named("org/base", "a"), named("large", "b")], ["base", "large"]),
    ],
)
def test_encoders_whose_folders_share_a_name(results, expected):
    assert list(model_names(results).values()) == expected


def test_row_names_are_distinct():
    assert row_names(["m", "m", "n"], ["lr=1 wd=0", "lr=2 wd=0", "lr=1 wd=0"]) == ["m lr=1", "m lr=2", "n lr=1"]
    assert row_names(["m", "m", "m"], ["lr=1"] * 3) == ["m", "m #2", "m #3"]
    assert row_names(["m"], ["lr=1"]) == ["m"] and row_names([], []) == []


def test_rows_of_models_that_share_a_folders_name(tmp_path):
    for run, sha in (("runA", "a"), ("runB", "b")):
        for seed in (42, 43):
            who = identity(seed, model=f"{run}/hf", model_sha256=sha * 64)
            stored, predictions = single_label_run(who, 0.5)
            write_result(who.path(tmp_path), stored | {"model_name": "hf"}, predictions)
    (panel,) = panels_of(tmp_path)
    assert [row.name for row in panel.rows] == ["runA/hf", "runB/hf"]
    assert all(np.isfinite(row.scores(panel.official)).all() for row in panel.rows)
