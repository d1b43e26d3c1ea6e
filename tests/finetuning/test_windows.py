"""Windows over long documents: every word once, where it has most context; scores over whole documents."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from bioclinical.text.tokenization import load_tokenizer
from bioclinical.text.windows import owners, window_starts, windows_of

STEP = ("--limit", 12, "--batch_size", 8, "--epochs", 1)


@pytest.mark.parametrize("tokens, size", [(0, 10), (1, 10), (10, 10), (11, 10), (57, 10), (9, 1), (100, 7), (23, 3)])
def test_each_token_is_owned_by_the_window_with_most_context(tokens, size):
    starts = window_starts(tokens, size)
    owner = owners(tokens, starts, size)
    assert starts[0] == 0 and starts == sorted(set(starts)) and (tokens <= size) == (len(starts) == 1)
    for token in range(tokens):
        context = [min(token - s, s + min(size, tokens) - 1 - token) for s in starts]
        assert context[owner[token]] == max(context) >= 0


@pytest.mark.parametrize("family", ["modernbert", "bert"])
def test_windows_hold_every_word_once(tiny_model, family):
    tokenizer = load_tokenizer(tiny_model(family))
    words = [f"w{i}rd," for i in range(40)] + ["x" * 90] + ["pain"] * 5
    whole = tokenizer(words, is_split_into_words=True)
    first_ids = {}
    for token, word in zip(whole["input_ids"], whole.word_ids()):
        first_ids.setdefault(word, token)
    for length in (16, 40, 10_000):
        windows = list(windows_of(tokenizer, words, length))
        assert sorted(word for window in windows for word in window.words) == list(range(46))
        assert all(len(window.input_ids) <= length for window in windows)
        assert all(w.input_ids[p] == first_ids[word] for w in windows for p, word in zip(w.places, w.words))
        assert all(
            w.input_ids[0] == whole["input_ids"][0] and w.input_ids[-1] == whole["input_ids"][-1] for w in windows
        )
    assert windows[0].input_ids == whole["input_ids"] and len(windows) == 1
    assert [w.words for w in windows_of(tokenizer, "", 16)] == [[]]


def run(run_main, sample, output, *arguments):
    code, out, err = run_main(*arguments, "--data_dir", sample / "raw", "--output_dir", output)
    assert code == 0, err
    path = Path(out.splitlines()[-1])
    lines = path.with_suffix(".predictions.jsonl").read_text().splitlines()
    return json.loads(path.read_text()), [json.loads(line) for line in lines]


def without_attention(folder: Path, copy: Path) -> Path:
    """A ModernBERT whose words do not see each other: then no window can change a prediction."""
    shutil.copytree(folder, copy)
    weights = load_file(copy / "model.safetensors")
    for name in weights:
        if name.endswith("attn.Wo.weight"):
            weights[name].zero_()
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def test_words_without_context_get_the_same_tags_from_windows(run_main, sample, tiny_model, tmp_path):
    model = without_attention(tiny_model(), tmp_path / "blind")
    common = ("--dataset", "cos", "--model", model, *STEP, "--lr", "1e-9", "--wd", "0")
    result, whole = run(run_main, sample, tmp_path / "whole", *common)
    assert result["metrics"]["test"]["f1_windowed"] == result["metrics"]["test"]["f1"]
    assert not any("windowed" in p for p in whole)
    result, cut = run(run_main, sample, tmp_path / "cut", *common, "--max_length", 9)
    assert result["splits"]["test"]["examples_cut"] == 12 == sum("windowed" in p for p in cut)
    same = [p == q for a, b in zip(whole, cut) for p, q in zip(a["predicted"], b["windowed"])]
    assert np.mean(same) > 0.99 and len({tag for p in whole for tag in p["predicted"]}) > 1
    assert all(len(p["windowed"]) == len(p["gold"]) > len(p["seen"]) for p in cut)


def test_pooling_is_the_mean_of_the_windows_logits(run_main, sample, tiny_model, tmp_path):
    common = ("--dataset", "chemprot", "--model", tiny_model("bert"), *STEP, "--max_length", 12)
    head, of_head = run(run_main, sample, tmp_path / "out", *common)
    saved = ("--save_model", tmp_path / "saved")
    result, predictions = run(run_main, sample, tmp_path / "out", *common, "--pooling", "windows", *saved)
    assert (
        result["identity"]["group"] != head["identity"]["group"]
        and result["metrics"]["validation"] == head["metrics"]["validation"]
    )
    assert [p["id"] for p in predictions] == [p["id"] for p in of_head] and predictions != of_head
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").eval()
    tokenizer = load_tokenizer(tmp_path / "saved")
    text = (sample / "raw" / "ChemProt" / "test.tsv").read_text().splitlines()[1].split("\t")[1]
    with torch.no_grad():
        logits = [model(torch.tensor([w.input_ids])).logits[0] for w in windows_of(tokenizer, text, 12)]
    assert len(logits) > 1
    expected = torch.stack(logits).mean(0).softmax(-1)
    assert predictions[0]["probabilities"] == pytest.approx(expected.tolist(), abs=2e-6)


def test_pooling_is_refused_for_token_tasks(run_main, sample, tiny_model, tmp_path):
    common = ("--data_dir", sample / "raw", "--output_dir", tmp_path)
    code, _, err = run_main("--dataset", "cos", "--model", tiny_model(), "--pooling", "windows", *common)
    assert code == 2 and "COS always reports f1_windowed" in err
