"""--patience and --loss through main.py."""

import json
import shutil
from pathlib import Path

import pytest

from bioclinical.errors import RunFailed
from bioclinical.finetuning import run as running
from bioclinical.finetuning.callbacks import Patience
from bioclinical.metrics.classification import Accuracy
from bioclinical.metrics.regression import RootMeanSquaredError


@pytest.fixture
def common(sample, tiny_model, tmp_path):
    files = ("--data_dir", sample / "raw", "--output_dir", tmp_path / "outputs")
    return ("--model", tiny_model("bert"), "--limit", 16, "--batch_size", 8, *files)


def read(stdout: str) -> dict:
    return json.loads(Path(stdout.splitlines()[-1]).read_text())


def test_evaluations_without_a_better_one_are_counted():
    lost = Patience(Accuracy(), 2).is_exhausted
    log = [{"eval_accuracy": a} for a in (0.1, 0.5, 0.4, 0.5, 0.6, 0.6, 0.2)]
    assert [lost(log[:n]) for n in range(8)] == [False, False, False, False, True, False, False, True]
    lower_is_better = Patience(RootMeanSquaredError(), 1).is_exhausted
    assert not lower_is_better([{"eval_rmse": 2.0}, {"loss": 1.0}, {"eval_rmse": 1.0}])
    assert lower_is_better([{"eval_rmse": 1.0}, {"eval_rmse": 1.5}])


def test_training_that_gets_no_better_ends_and_resumes_to_the_same_end(run_main, common, tmp_path, monkeypatch):
    arguments = ("--dataset", "chemprot", "--epochs", 6, "--lr", "1e-9", "--wd", 0, "--patience", 1, *common)

    def stop(*args, **kwargs):
        raise RunFailed("stopped before the test")

    with monkeypatch.context() as patch:
        patch.setattr(running, "predict", stop)
        code, _, err = run_main(*arguments)
        assert code == 1 and "stopped before the test" in err
    shutil.copytree(tmp_path / "outputs", tmp_path / "kept")
    code, out, err = run_main(*arguments, "--resume")
    assert code == 0 and "resuming from" in out, err
    result = read(out)
    assert [entry["epoch"] for entry in result["metrics"]["validation"]] == [1, 2] and result["best_epoch"] == 1
    assert result["config"]["patience"] == 1


@pytest.mark.parametrize("dataset", ["ChemProt", "COS", "Phenotype"])
@pytest.mark.parametrize("loss", ["weighted", "focal"])
def test_losses_train(run_main, common, dataset, loss):
    code, out, err = run_main("--dataset", dataset, "--epochs", 1, "--loss", loss, *common)
    assert code == 0, err
    assert read(out)["config"]["loss"] == loss


def test_a_loss_that_the_problem_does_not_have(run_main, common, tmp_path, monkeypatch):
    import dataloader
    from bioclinical.tasks.readers.delimited import DelimitedReader
    from bioclinical.tasks.task import Task

    (folder := tmp_path / "raw" / "N").mkdir(parents=True)
    for name in ("a.csv", "b.csv", "c.csv"):
        (folder / name).write_text("t,y\nmild,1\nsevere,3\n")
    reader = DelimitedReader(("a.csv", "b.csv", "c.csv"), text_column="t", label_column="y")
    monkeypatch.setattr(dataloader, "TASKS", [Task("Numbers", "regression", reader, "N", "own")])
    code, _, err = run_main("--dataset", "Numbers", "--loss", "focal", *common, "--data_dir", folder.parent)
    assert code == 2 and "--loss focal: Numbers is trained by plain (regression)" in err
