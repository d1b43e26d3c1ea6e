"""Causal models as classifiers: the last real token is read, whatever stands beside it in the batch, pairs included."""

import csv
import json
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

import dataloader
from bioclinical import problems
from bioclinical.problems.encoding import Coder, arguments_of
from bioclinical.tasks.readers.delimited import DelimitedReader
from bioclinical.tasks.task import Task
from bioclinical.text.tokenization import load_tokenizer, require_padding
from bioclinical.tiny_models import build_tiny_model

FILES = ("train.csv", "dev.csv", "test.csv")
SINGLE = Task(
    "Course", "single_label_classification", DelimitedReader(FILES, text_column="one", label_column="y"), "own", "own"
)
PAIRS = Task(
    "Change",
    "single_label_classification",
    DelimitedReader(FILES, text_column="one", text_b_column="two", label_column="y"),
    "own",
    "own",
)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("causal") / "raw", random.Random(0)
    (folder / "own").mkdir(parents=True)
    for name, count in zip(FILES, (64, 16, 16)):
        with open(folder / "own" / name, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["one", "two", "y"])
            for label in rng.choices(["worse", "stable"], k=count):
                rows.writerow([f"patient seen {'again ' * rng.randint(0, 5)}{label}", f"{label} today", label])
    return folder


@pytest.fixture(scope="module")
def gpt2(raw, tmp_path_factory):
    texts = (raw / "own" / "train.csv").read_text().splitlines()
    return build_tiny_model(
        "gpt2", texts, tmp_path_factory.mktemp("gpt2") / "gpt2", vocab_size=300, hidden_size=32, layers=1
    )


@pytest.mark.parametrize("task", [SINGLE, PAIRS])
def test_it_learns(run_main, raw, gpt2, tmp_path, monkeypatch, task):
    monkeypatch.setattr(dataloader, "TASKS", [task])
    places = ("--data_dir", raw, "--output_dir", tmp_path)
    code, out, err = run_main("--dataset", task.name, "--model", gpt2, "--lr", "1e-2", "--batch_size", 8, *places)
    assert code == 0, err
    result = json.loads(Path(out.splitlines()[-1]).read_text())
    assert result["metrics"]["test"]["accuracy"] > 0.9
    assert "'<|endoftext|>'" not in out and "none is added" in out


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("texts", [("text",), ("text", "text_b")])
def test_logits_do_not_depend_on_the_batch(gpt2, side, texts):
    tokenizer = load_tokenizer(gpt2)
    size, tokenizer.padding_side = len(tokenizer), side  # some were saved for writing, with padding on the left
    require_padding(tokenizer, gpt2)
    assert len(tokenizer) == size and tokenizer.pad_token == tokenizer.eos_token and tokenizer.padding_side == "right"
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        gpt2, num_labels=2, pad_token_id=tokenizer.pad_token_id
    ).eval()
    coder, problem = (
        Coder(tokenizer, 16, arguments_of(model), ("no", "yes")),
        problems.get("single_label_classification"),
    )
    words = ["worse", "patient seen again", "stable today " * 12]
    split = problem.encode(coder, [{"id": w, "labels": "no"} | dict.fromkeys(texts, w) for w in words])
    assert split.cut == [2] and len(split.features[2]["input_ids"]) == 16
    batch = problem.collator(coder)([{k: v for k, v in row.items() if k != "example_index"} for row in split.features])
    alone = [
        model.transformer(input_ids=torch.tensor([row["input_ids"]])).last_hidden_state[0, -1] for row in split.features
    ]
    assert torch.allclose(model(**batch).logits, model.score(torch.stack(alone)), atol=1e-5)


def test_a_left_padding_tokenizer_with_a_padding_token_pads_on_the_right_too(gpt2):
    tokenizer = load_tokenizer(gpt2)
    tokenizer.pad_token, tokenizer.padding_side = "<|endoftext|>", "left"
    require_padding(tokenizer, gpt2)
    assert tokenizer.padding_side == "right"
