"""Choices by a causal model's likelihoods, without training: exact values, rules, prompts, cuts, results, errors."""

import json
import math
import random
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

import dataloader
from bioclinical.errors import UserError, run_cli
from bioclinical.inference.likelihood import Request, log_likelihoods, split_text, windows_of
from bioclinical.problems.multiple_choice import MultipleChoice
from bioclinical.problems.prompts import prompts_of
from bioclinical.samples.questions import write_medqa
from bioclinical.tasks.readers.choices import ChoiceReader
from bioclinical.tasks.task import Task
from bioclinical.text.tokenization import load_plain_tokenizer
from bioclinical.tiny_models import build_tiny_model

FILES = ("train.jsonl", "dev.jsonl", "test.jsonl")
OWN = Task("Drugs", "multiple_choice", ChoiceReader("medqa", tuple((name,) for name in FILES)), "drugs", "Invented")
EXAMPLES = [
    {"id": "1", "question": "Which drug?", "options": ["aspirin", "unfractionated heparin"], "answer": 1},
    {"id": "2", "question": "What grew?", "options": ["gout", "a clot", "fever"], "answer": 0},
]


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("choices") / "raw", random.Random(0)
    for name, questions in zip(FILES, (8, 4, 12)):
        write_medqa(folder / "drugs" / name, rng, questions)
    return folder


@pytest.fixture(scope="module")
def gpt2(raw, tmp_path_factory):
    texts = (raw / "drugs" / "train.jsonl").read_text().splitlines()
    folder = tmp_path_factory.mktemp("gpt2") / "gpt2"
    return build_tiny_model("gpt2", texts, folder, vocab_size=400, hidden_size=32, layers=2)


@pytest.fixture(scope="module")
def loaded(gpt2):
    return AutoModelForCausalLM.from_pretrained(gpt2).eval(), load_plain_tokenizer(gpt2)


@pytest.fixture
def run(run_main, raw, gpt2, tmp_path, monkeypatch):
    monkeypatch.setattr(dataloader, "TASKS", [*dataloader.TASKS, OWN])

    def go(*arguments, model=gpt2, dataset="Drugs"):
        places = ("--data_dir", raw, "--output_dir", tmp_path / "outputs")
        code, out, err = run_main("--dataset", dataset, "--model", model, *places, *arguments)
        return code, Path(out.splitlines()[-1]) if code == 0 else None, out + err

    return go


def direct(model, tokenizer, before, wanted):
    """The definition in a few lines: one text, one forward, no padding."""
    whole = tokenizer(before + wanted, add_special_tokens=False)["input_ids"]
    first = len(tokenizer(before, add_special_tokens=False)["input_ids"])
    log_probs = model(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
    return sum(log_probs[i - 1, whole[i]].item() for i in range(first, len(whole)))


@pytest.mark.parametrize("batch_size", [1, 3])
@torch.inference_mode()
def test_likelihoods_are_those_of_each_text_alone(loaded, batch_size):
    model, tokenizer = loaded
    pairs = [
        ("Question: He took", " aspirin for gout"),
        ("Question:", " A"),
        ("Question:", " B"),
        ("He had a very", " clot"),
    ]
    requests = [split_text(tokenizer, *pair) for pair in pairs]
    expected = [direct(model, tokenizer, *pair) for pair in pairs]
    assert log_likelihoods(model, requests, 512, batch_size) == pytest.approx(expected, abs=1e-4)


def test_a_context_that_is_too_long_loses_its_beginning(loaded):
    model, _ = loaded
    long, short = Request(tuple(range(5, 105)), (7, 8)), Request(tuple(range(90, 105)), (7, 8))
    assert long.row(16) == (*range(90, 105), 7) == short.row(16)
    assert long.is_cut(16) and not short.is_cut(16)
    assert len(set(log_likelihoods(model, [long, short], 16, 4))) == 1
    with pytest.raises(UserError, match="17 tokens cannot be scored"):
        log_likelihoods(model, [Request((1,), tuple(range(17)))], 16, 4)


def test_prompts_show_the_options_or_not():
    shown = [{"id": "s", "question": "Where? ", "options": ["here", "there"], "answer": 1}]
    letters, texts = (prompts_of(EXAMPLES[:1], shown, form)[0] for form in ("letters", "texts"))
    assert letters.text == (
        "Question: Where?\nA. here\nB. there\nAnswer: B\n\n"
        "Question: Which drug?\nA. aspirin\nB. unfractionated heparin\nAnswer:"
    )
    assert letters.continuations == (" A", " B")
    assert texts.text == "Question: Where?\nAnswer: there\n\nQuestion: Which drug?\nAnswer:"
    assert texts.continuations == (" aspirin", " unfractionated heparin")


def test_the_three_rules_choose_as_lm_evaluation_harness_does():
    example = {"id": "1", "question": "?", "options": ["flu", "influenza A", "a common cold virus"], "answer": 2}
    problem = MultipleChoice()
    (found,) = problem.chosen_answers([example], problem.prompts([], [example], "texts"), [[-4.0, -6.0, -9.0]])
    assert (found["predicted"], found["predicted_norm"], found["predicted_bytes"], found["gold"]) == (
        "A",
        "C",
        "C",
        "C",
    )
    scores = {m.name: m.score([found]) for m in problem.metrics(()) if m.is_computable([found])}
    assert (scores["accuracy"], scores["acc_norm"], scores["acc_bytes"]) == (0, 1, 1)
    (letters,) = problem.chosen_answers([example], problem.prompts([], [example], "letters"), [[-4.0, -6.0, -9.0]])
    assert letters["predicted"] == letters["predicted_norm"] == letters["predicted_bytes"] == "A"
    greek = {"id": "2", "question": "?", "options": ["ab", "ββ"], "answer": 1}
    (found,) = problem.chosen_answers([greek], problem.prompts([], [greek], "texts"), [[-2.0, -3.0]])
    assert (found["predicted_norm"], found["predicted_bytes"]) == ("A", "B")


@pytest.mark.parametrize("arguments", [(), ("--zero_shot", "texts", "--shots", 2, "--max_length", 64)])
def test_a_result_like_any_other(run, loaded, raw, tmp_path, monkeypatch, capsys, arguments):
    from bioclinical.results.__main__ import main

    arguments = arguments or ("--zero_shot",)
    code, path, output = run(*arguments)
    assert code == 0, output
    result = json.loads(path.read_text())
    test, form = result["metrics"]["test"], result["config"]["zero_shot"]
    predictions = [json.loads(line) for line in path.with_suffix(".predictions.jsonl").read_text().splitlines()]
    assert test["accuracy"] == sum(p["gold"] == p["predicted"] for p in predictions) / 12
    assert form == ("texts" if "texts" in arguments else "letters") and (
        form == "texts" or test["acc_norm"] == test["accuracy"]
    )
    rows = {name: [json.loads(line) for line in (raw / "drugs" / f"{name}.jsonl").open()] for name in ("train", "test")}
    if form == "letters":  # the first prediction by the definition
        first = rows["test"][0]
        lines = [f"{letter}. {text}" for letter, text in first["options"].items()]
        prompt = "\n".join([f"Question: {first['question']}", *lines, "Answer:"])
        likelihoods = {letter: direct(*loaded, prompt, f" {letter}") for letter in first["options"]}
        assert predictions[0]["predicted"] == max(likelihoods, key=likelihoods.get)
    else:
        assert result["splits"]["test"]["examples_cut"] == 12
    assert result["config"]["shots"] == (2 if form == "texts" else 0)
    assert not any(text in json.dumps(result) for text in rows["test"][0]["options"].values())

    assert "finished already" in run(*arguments)[2]
    monkeypatch.setattr(sys, "argv", ["results", str(tmp_path / "outputs")])
    run_cli(main)
    table = capsys.readouterr().out
    assert f"zero_shot={form}" in table and "acc_norm" in table and "(longest option)" in table


@pytest.mark.parametrize(
    "arguments, others, sentence",
    [
        (("--zero_shot", "--lr", "1e-3"), {}, "--zero_shot trains nothing; leave out --lr"),
        (("--zero_shot", "--save_model", "m"), {}, "leave out --save_model"),
        (("--shots", 2), {}, "add --zero_shot"),
        (("--zero_shot", "--shots", 99), {}, "the training split has 8 examples"),
        (("--zero_shot",), {"model": "bert"}, "which writes no text"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, tiny_model, tmp_path, arguments, others, sentence):
    if others:
        others = {"model": tiny_model(others["model"])}
    code, _, output = run(*arguments, **others)
    assert code == 2 and sentence in output and not list((tmp_path / "outputs").rglob("*.json"))


def test_other_problems_need_a_training(run_main, sample, tiny_model, tmp_path):
    places = ("--data_dir", sample / "raw", "--output_dir", tmp_path)
    code, _, err = run_main("--dataset", "ChemProt", "--model", tiny_model("bert"), "--zero_shot", *places)
    assert code == 2 and "--zero_shot is for multiple_choice" in err


@pytest.mark.parametrize("tokens, stride", [(1, 4), (8, 4), (9, 4), (30, 4), (30, 8), (30, 1)])
def test_windows_want_every_token_once(tokens, stride):
    ids = list(range(100, 100 + tokens))
    windows = list(windows_of(ids, 0, 8, stride))
    assert [i for window in windows for i in window.wanted] == ids
    for window in windows[1:]:
        assert len(window.row(8)) == 8 and len(window.wanted) <= stride and not window.is_cut(8)
    assert math.ceil(max(0, tokens - 8) / stride) + 1 == len(windows)
