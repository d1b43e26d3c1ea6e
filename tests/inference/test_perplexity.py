"""Bits per byte and perplexity: equal to a direct computation, whatever the batch; windows of long texts; errors."""

import json
import math
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM

from bioclinical import perplexity
from bioclinical.errors import run_cli
from bioclinical.text.tokenization import load_plain_tokenizer
from bioclinical.tiny_models import build_tiny_model

TEXTS = ["Blutdruck 120/80 µg.", "", "He took aspirin. " * 30]


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return build_tiny_model(
        "gpt2", TEXTS, tmp_path_factory.mktemp("gpt2") / "gpt2", vocab_size=300, hidden_size=32, layers=1
    )


@pytest.fixture
def run(gpt2, tmp_path, monkeypatch, capsys):
    table, output = tmp_path / "notes.jsonl", tmp_path / "scores.json"
    table.write_text("".join(json.dumps({"notes": text}) + "\n" for text in TEXTS))

    def go(*arguments, model=gpt2):
        words = [
            "--model",
            model,
            "--input",
            table,
            "--text_column",
            "notes",
            "--output",
            output,
            "--overwrite",
            *arguments,
        ]
        monkeypatch.setattr(sys, "argv", ["perplexity", *map(str, words)])
        try:
            run_cli(perplexity.main)
        except SystemExit as stop:
            return stop.code, None, capsys.readouterr().err
        return 0, json.loads(output.read_text()), capsys.readouterr().out

    return go


@torch.inference_mode()
def direct(folder, max_length, stride):
    """Every token behind the window that the rule gives it, one forward a token."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), load_plain_tokenizer(folder)
    nats = tokens = 0
    for text in TEXTS:
        ids = [tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]
        for i in range(1, len(ids)):
            end = max_length if i <= max_length else max_length + math.ceil((i - max_length) / stride) * stride
            before = ids[max(0, min(end, len(ids) - 1) - max_length) : i]
            nats -= model(input_ids=torch.tensor([before])).logits[0, -1].log_softmax(-1)[ids[i]].item()
            tokens += 1
    return nats, tokens


@pytest.mark.parametrize("max_length, stride", [(24, 12), (24, 24), (512, None)])
def test_equal_to_a_direct_computation(run, gpt2, max_length, stride):
    stated = ("--stride", stride) if stride else ()
    code, scores, output = run("--max_length", max_length, *stated, "--batch_size", 3)
    assert code == 0, output
    nats, tokens = direct(gpt2, max_length, stride or max_length // 2)
    size = sum(len(text.encode()) for text in TEXTS)
    assert (scores["documents"], scores["empty_documents"], scores["tokens"], scores["bytes"]) == (2, 1, tokens, size)
    assert scores["nats"] == pytest.approx(nats, rel=1e-5)
    assert scores["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    assert scores["perplexity_per_token"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert "bits per byte" in output and "aspirin" not in output + json.dumps(scores)


def test_what_cannot_be_done_is_one_sentence(run, tiny_model):
    assert "--stride 30 is more than a window of 24 tokens" in run("--max_length", 24, "--stride", 30)[2]
    assert "which writes no text" in run(model=tiny_model("bert"))[2]
    code, _, error = run("--text_column", "text")
    assert code == 2 and "has no column 'text'" in error
