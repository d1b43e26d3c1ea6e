"""Runs and predictions of questions that were stopped and go on: span answers, BioASQ's factoids, and choices."""

import json
import random
import sys
from pathlib import Path

import pytest

import dataloader
import main
from bioclinical import predict
from bioclinical.errors import run_cli
from bioclinical.finetuning.callbacks import CompleteMark
from bioclinical.inference import resumable
from bioclinical.inference.predictor import Predictor
from bioclinical.samples.questions import write_squad
from bioclinical.tasks.readers.squad import SquadReader
from bioclinical.tasks.task import Task

FILES = ("train.json", "dev.json", "test.json")
OWN = Task("own", "span_qa", SquadReader(FILES), folder="own", source="")
QUICK = ("--epochs", 2, "--lr", 3e-3, "--max_length", 200, "--limit", 12, "--batch_size", 6)


@pytest.fixture(scope="module")
def raw(sample, tmp_path_factory):
    """The sample's raw files, and a task of span answers beside them."""
    folder = tmp_path_factory.mktemp("resuming") / "raw"
    folder.mkdir()
    for name in ("BioASQ7b", "MedQA"):
        (folder / name).symlink_to(sample / "raw" / name)
    for name, articles in zip(FILES, (6, 4, 4)):
        write_squad(folder / "own" / name, random.Random(name), articles)
    return folder


def call(entry, *arguments):
    """The exit code of a command."""
    sys.argv = ["command", *map(str, arguments)]
    with pytest.raises(SystemExit) as stop:
        run_cli(lambda: (entry(), sys.exit(0)))
    return stop.value.code


def only_result(folder):
    (path,) = folder.glob("*/*/seed=*_????????.json")
    return json.loads(path.read_text()), path.with_suffix(".predictions.jsonl").read_text()


@pytest.mark.parametrize("dataset", ["own", "BioASQ7b-factoid", "MedQA"])
def test_a_stopped_run_and_prediction_go_on_to_the_same_end(raw, tiny_model, tmp_path, monkeypatch, dataset):
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(dataloader, "TASKS", [*dataloader.TASKS, OWN])
    run = ("--dataset", dataset, "--model", tiny_model("bert"), "--data_dir", raw, *QUICK, "--output_dir")
    assert call(main.main, *run, tmp_path / "whole", "--save_model", tmp_path / "model") == 0
    saved = CompleteMark.on_save

    def stop_after_the_first(self, *arguments, **more):
        saved(self, *arguments, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as stopping:
        stopping.setattr(CompleteMark, "on_save", stop_after_the_first)
        assert call(main.main, *run, tmp_path / "cut") == 130
    assert call(main.main, *run, tmp_path / "cut", "--resume") == 0
    (whole, predictions), (resumed, again) = only_result(tmp_path / "whole"), only_result(tmp_path / "cut")
    for result in (whole, resumed):
        for entry in result["metrics"]["validation"]:
            entry.pop("runtime", None)
    assert resumed["metrics"]["test"] == whole["metrics"]["test"] and again == predictions
    assert resumed["options"] == whole["options"]
    check_predictions(tmp_path, monkeypatch, dataset)


def check_predictions(tmp_path, monkeypatch, dataset):
    """Predictions of the saved model, stopped in their second part, end as those of one go."""
    texts = [f"The patient took aspirin because of gout on day {i}." for i in range(6)]
    second = "aspirin\nheparin\ngout" if dataset == "MedQA" else "Which drug was given?"
    rows = [json.dumps({"text": text, "second": second}) + "\n" for text in texts]
    (tmp_path / "n.jsonl").write_text("".join(rows))
    ask = ("--model", tmp_path / "model", "--input", tmp_path / "n.jsonl", "--text_b_column", "second", "--output")
    assert call(predict.main, *ask, tmp_path / "whole.jsonl") == 0
    original, parts = Predictor.predict, []

    def stop_at_the_second(self, documents, on_progress):
        parts.append(len(documents))
        if len(parts) == 2:
            raise KeyboardInterrupt
        return original(self, documents, on_progress)

    monkeypatch.setattr(resumable, "DOCUMENTS_PER_CHUNK", 4)
    monkeypatch.setattr(Predictor, "predict", stop_at_the_second)
    assert call(predict.main, *ask, tmp_path / "cut.jsonl") == 130 and not Path(tmp_path / "cut.jsonl").exists()
    assert call(predict.main, *ask, tmp_path / "cut.jsonl") == 0 and parts == [4, 2, 2]
    assert (tmp_path / "cut.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text()
