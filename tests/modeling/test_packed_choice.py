"""Which attention a run takes and why, and that main.py's scores do not depend on it."""

import json
import sys
import types
from pathlib import Path

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ModernBertConfig,
    ModernBertForSequenceClassification,
)

from bioclinical.encoders.attention_choice import choose_attention
from bioclinical.errors import UserError
from bioclinical.modeling import backend_choice
from bioclinical.modeling.backend_choice import choose_packed_backend

MODERNBERT = (ModernBertForSequenceClassification, ModernBertConfig())
BERT = (BertForSequenceClassification, BertConfig())


def test_auto_is_packed_for_modernbert_and_sdpa_for_others():
    choice = choose_attention("auto", *MODERNBERT, "cpu", "fp32")
    assert choice.value == "packed:banded_sdpa" and "CUDA device" in choice.reason
    assert choose_attention("auto", *BERT, "cpu", "fp32").value == "sdpa"
    assert choose_attention("auto", *MODERNBERT, "mps", "fp32").value == "sdpa"


def test_a_kernel_can_be_forced_and_says_why_it_cannot_run():
    assert choose_attention("packed:banded_sdpa", *MODERNBERT, "cuda", "fp32").reason == "asked for"
    assert "experimental" in choose_attention("packed:flex_attention", *MODERNBERT, "cuda", "fp32").reason
    with pytest.raises(UserError, match="flex_attention cannot run here: flex_attention needs a CUDA device"):
        choose_attention("packed:flex_attention", *MODERNBERT, "cpu", "fp32")
    with pytest.raises(UserError, match="half precision only"):
        choose_packed_backend("flash_attn_2", "cuda", "fp32")
    with pytest.raises(UserError, match="unknown attention backend 'fast'; known: auto, flash_attn_3, torch_flash"):
        choose_packed_backend("fast", "cpu", "fp32")
    with pytest.raises(UserError, match="BertForSequenceClassification has no packed forward"):
        choose_attention("packed", *BERT, "cpu", "fp32")


@pytest.mark.parametrize(
    "capability, installed, expected",
    [
        ((9, 0), {"flash_attn_2", "flash_attn_3"}, "flash_attn_3"),
        ((8, 0), {"flash_attn_2", "flash_attn_3"}, "torch_flash"),
        ((9, 0), {"flash_attn_2", "flash_attn_4"}, "torch_flash"),
        ((10, 0), set(), "torch_flash"),
        ((7, 5), set(), "banded_sdpa"),
    ],
)
def test_on_a_gpu_the_best_installed_kernel_is_taken(monkeypatch, capability, installed, expected):
    # Stands in for a GPU and for flash-attn, which cannot exist where the tests run.
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(
        backend_choice,
        "why_no_package",
        lambda package: None if package in installed else "not installed",
    )
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: True)
    assert choose_packed_backend("auto", "cuda", "bf16").value == expected
    assert choose_packed_backend("auto", "cuda", "fp32").value == "banded_sdpa"
    assert choose_packed_backend("auto", "cuda", "bf16", head_dim=20).value == "banded_sdpa"
    with pytest.raises(UserError, match="this model's are 20; auto would take banded_sdpa"):
        choose_packed_backend("torch_flash", "cuda", "bf16", head_dim=20)


def test_a_flash_attn_that_claims_to_be_installed_is_not_used_on_a_cpu(monkeypatch):
    monkeypatch.setattr(backend_choice, "find_function", lambda package: print)
    assert choose_attention("auto", *MODERNBERT, "cpu", "bf16").value == "packed:banded_sdpa"


def test_a_package_without_the_function_is_not_installed(monkeypatch):
    """flash-attn 4 alone leaves a namespace package `flash_attn`, whose import succeeds."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "flash_attn", types.ModuleType("flash_attn"))
    assert "has no flash_attn_varlen_qkvpacked_func" in backend_choice.why_no_package("flash_attn_2")
    assert backend_choice.why_no_package("flash_attn_3") == "flash_attn_interface is not installed"


@pytest.mark.parametrize("dataset, metric", [("ChemProt", "micro_f1_5"), ("COS", "f1")])
def test_main_scores_the_same_packed_and_padded(run_main, sample, tiny_model, tmp_path, dataset, metric):
    results = {}
    for attention in ("packed", "sdpa"):
        arguments = ["--dataset", dataset, "--model", tiny_model(), "--attn", attention, "--data_dir", sample / "raw"]
        code, out, err = run_main(
            *arguments, "--output_dir", tmp_path / attention, "--limit", 32, "--epochs", 2, "--lr", "1e-3"
        )
        assert code == 0, err
        path = Path(out.splitlines()[-1])
        results[attention] = json.loads(path.read_text())
        lines = map(json.loads, path.with_suffix(".predictions.jsonl").read_text().splitlines())
        results[attention]["predictions"] = [(line["id"], line["predicted"]) for line in lines]
    packed, padded = results["packed"], results["sdpa"]
    assert packed["attention"] == "packed:banded_sdpa" and padded["attention"] == "sdpa"
    assert packed["predictions"] == padded["predictions"]
    assert packed["metrics"]["test"] == padded["metrics"]["test"]
    for ours, theirs in zip(packed["metrics"]["validation"], padded["metrics"]["validation"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
