"""Span answers end to end: learning, windows, thresholds, transfer, bad options."""

import json
import random
import sys
from pathlib import Path

import pytest

import dataloader
from bioclinical import predict
from bioclinical.results.store import predictions_path
from bioclinical.samples.questions import write_squad
from bioclinical.tasks.readers.squad import SquadReader
from bioclinical.tasks.task import Task
from bioclinical.tiny_models import build_tiny_model

FILES = ("train.json", "dev.json", "test.json")


def squad_task(name, **more):
    return Task(name=name, problem="span_qa", reader=SquadReader(FILES), folder=name, source="Invented", **more)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    """Folder of raw files of two tasks: `easy` with, `plain` without unanswerable questions."""
    raw = tmp_path_factory.mktemp("questions") / "raw"
    for name, with_impossible in (("easy", True), ("plain", False)):
        rng = random.Random(0)
        for file, articles in zip(FILES, (150, 20, 20)):
            write_squad(raw / name / file, rng, articles, with_impossible)
    return raw


@pytest.fixture(autouse=True)
def tasks(monkeypatch):
    own = [squad_task("easy"), squad_task("plain", options={"longest_answer": 8})]
    monkeypatch.setattr(dataloader, "TASKS", [*dataloader.TASKS, *own])


@pytest.fixture(scope="module")
def models(questions, tmp_path_factory):
    """family -> folder of a tiny model whose tokenizer knows the words of the notes."""
    data = json.loads((questions / "easy" / "train.json").read_text())
    texts = [p["context"] + " " + q["question"] for a in data["data"] for p in a["paragraphs"] for q in p["qas"]]
    built = {}

    def get(family):
        if family not in built:
            folder = tmp_path_factory.mktemp(family) / family
            built[family] = build_tiny_model(family, texts, folder, vocab_size=400, hidden_size=48, layers=2)
        return built[family]

    return get


@pytest.fixture
def run(run_main, questions, models, tmp_path):
    """Runs main.py on one of the tasks; returns (exit code, result or None, stdout, stderr)."""

    def go(task, family, *arguments):
        places = ("--data_dir", questions, "--output_dir", tmp_path / "outputs")
        model = models(family) if isinstance(family, str) else family
        code, out, err = run_main("--dataset", task, "--model", model, *places, *arguments)
        result = json.loads(Path(out.splitlines()[-1]).read_text()) if code == 0 else None
        return code, result, out, err

    return go


RECIPE = ("--lr", "3e-3", "--batch_size", "16", "--max_length", "64")


def test_a_tiny_model_learns_to_answer(run, tmp_path, monkeypatch):
    code, result, out, err = run("easy", "bert", *RECIPE, "--epochs", "8", "--save_model", tmp_path / "saved")
    assert code == 0, err
    test, baseline = result["metrics"]["test"], result["metrics"]["baseline"]
    assert test["f1"] > 0.9 > baseline["f1"]
    assert test["reachable_f1"] == 1.0
    assert (result["metric"], result["problem"]) == ("f1", "span_qa")
    assert result["options"]["no_answer"] is True
    assert isinstance(result["options"]["null_threshold"], float)
    saved = json.loads((tmp_path / "saved" / "config.json").read_text())["bioclinical"]
    assert saved["options"] == result["options"]
    lines = [json.loads(line) for line in predictions_path(Path(out.splitlines()[-1])).open()]
    assert all(
        isinstance(value, (int, float, list))
        for line in lines
        for key, value in line.items()
        if key not in ("id", "group")
    )

    # Its answers index the raw texts; an empty text has none.
    notes = ["The patient took warfarin, 20 mg, because of gout.", "", "He walked with help. The patient took heparin."]
    table = tmp_path / "notes.jsonl"
    table.write_text("".join(json.dumps({"text": note}) + "\n" for note in notes))
    arguments = ("--model", tmp_path / "saved", "--input", table, "--output", tmp_path / "answers.jsonl")
    monkeypatch.setattr(sys, "argv", ["predict", *map(str, arguments), "--question", "Which drug was given?"])
    predict.main()
    answers = [json.loads(line) for line in (tmp_path / "answers.jsonl").open()]
    assert [answer["answer"] for answer in answers] == ["warfarin", None, "heparin"]
    for note, answer in zip(notes, answers):
        if answer["answer"]:
            assert note[answer["start"] : answer["end"]] == answer["answer"] and 0 < answer["probability"] <= 1

    # The next task starts from the head that has learned it, and says so.
    code, result, out, _ = run("plain", tmp_path / "saved", *RECIPE, "--epochs", "1", "--lr", "1e-6")
    assert "head: kept from" in out
    assert result["metrics"]["test"]["has_answer_f1"] > 0.8
    assert (result["options"]["no_answer"], result["options"]["longest_answer"]) == (False, 8)


@pytest.mark.parametrize("family", ["modernbert", "roberta", "albert"])
def test_other_families_train_and_answer_from_windows(run, family):
    code, result, _, err = run(
        "plain", family, "--epochs", "1", "--limit", "24", "--max_length", "28", "--option", "doc_stride=8"
    )
    assert code == 0, err
    assert result["splits"]["test"]["examples"] == 24
    assert result["metrics"]["test"]["reachable_f1"] == 1.0


def test_the_step_of_bert_gives_other_windows_and_another_run(run):
    sizes = []
    for stride in ("overlap", "step"):
        _, result, _, _ = run(
            "plain", "bert", "--epochs", "1", "--limit", "8", "--max_length", "24", "--option", "doc_stride=3", "--option", f"stride={stride}"
        )  # fmt: skip
        sizes.append(result["splits"]["train"]["tokens"])
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (("--option", "docstride=3"), "--option docstride: there is no such option; known: doc_stride, stride"),
        (("--option", "doc_stride=many"), "--option doc_stride=many: not a value of type int"),
        (("--option", "stride=half"), "allowed are overlap, step"),
        (("--option", "n_best=0"), "--option n_best=0: at least 1"),
        (("--max_length", "9"), "leaves room for"),
    ],
)
def test_bad_options_are_one_sentence(run, arguments, sentence):
    code, _, _, err = run("plain", "bert", "--epochs", "1", *arguments)
    assert code == 2
    assert sentence in err and err.count("\n") == 1, err


def test_an_option_of_another_problem_is_refused(run_main, sample, tiny_model, tmp_path):
    places = ("--data_dir", sample / "raw", "--output_dir", tmp_path)
    code, _, err = run_main("--dataset", "ChemProt", "--model", tiny_model(), *places, "--option", "doc_stride=3")
    assert code == 2 and "this kind of problem has none" in err
