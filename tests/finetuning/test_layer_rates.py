"""--layer_decay: every weight of every family gets ELECTRA's rate, and training uses it."""

import json
from pathlib import Path

import pytest
import torch
from repository import ENCODERS
from transformers import AutoConfig, AutoModelForSequenceClassification, GPT2Config

from bioclinical.finetuning.layer_rates import layer_rates, parameter_groups

TABLES = ("word_embeddings", "tok_embeddings", "wte", "position_embeddings", "embeddings_project", "rel_embeddings")


def network(family, tiny_model):
    if family == "gpt2":
        return AutoModelForSequenceClassification.from_config(
            GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, num_labels=3)
        )
    return AutoModelForSequenceClassification.from_config(AutoConfig.from_pretrained(tiny_model(family)))


@pytest.mark.parametrize("family", [*ENCODERS, "gpt2"])
def test_rates_of_each_weight(tiny_model, family):
    """ELECTRA's rule (optimization.py of google-research/electra): embeddings depth 0, layer i depth i + 1, head n + 2."""
    model = network(family, tiny_model)
    rates = layer_rates([name for name, _ in model.named_parameters()], 1.0, 0.5)
    layers = 1 if family == "albert" else 2  # one group whose weights all layers share
    seen = set()
    for name, rate in rates.items():
        if any(f".{word}." in name for word in TABLES):
            expected, kind = 0.5 ** (layers + 2), "embeddings"
        elif ".0." in name:
            expected, kind = 0.5 ** (layers + 1), "first layer"
        elif ".1." in name:
            expected, kind = 0.5**2, "last layer"
        elif name.startswith(("classifier", "score", "head")):
            expected, kind = 1.0, "head"
        else:
            continue
        assert rate == expected, name
        seen.add(kind)
    assert seen >= {"embeddings", "first layer", "head"} and (family == "albert" or "last layer" in seen)
    assert set(rates.values()) <= {1.0, *(0.5**k for k in range(2, layers + 3))}


def test_groups_hold_every_trained_weight_once(tiny_model):
    model = network("electra", tiny_model)
    frozen = model.electra.embeddings.word_embeddings.weight.requires_grad_(False)
    biases = {name for name, _ in model.named_parameters() if name.endswith("bias")}
    decayed = {name for name, _ in model.named_parameters()} - biases
    groups = parameter_groups(model, 1e-4, 0.8, 0.01, decayed)
    held = [id(weight) for group in groups for weight in group["params"]]
    assert len(held) == len(set(held)) == len(list(model.parameters())) - 1 and id(frozen) not in held
    by_id = {id(weight): group for group in groups for weight in group["params"]}
    assert by_id[id(model.classifier.out_proj.bias)] | {"params": None} == {
        "params": None,
        "lr": 1e-4,
        "weight_decay": 0.0,
    }
    assert len(groups) == 8  # embeddings, two layers, head; each with and without weight decay


def test_a_first_step_moves_each_layer_by_its_rate(run_main, sample, tiny_model, tmp_path):
    """AdamW's first step moves a weight by its rate whatever its gradient (eps aside)."""
    common = ("--dataset", "chemprot", "--model", tiny_model("bert"), "--limit", 8, "--batch_size", 8, "--epochs", 1)
    files = ("--data_dir", sample / "raw", "--output_dir", tmp_path / "outputs", "--save_model", tmp_path / "saved")
    code, out, err = run_main(*common, *files, "--wd", 0, "--lr", 1e-3, "--layer_decay", 0.5)
    assert code == 0, err
    result = json.loads(Path(out.splitlines()[-1]).read_text())
    assert result["config"]["layer_decay"] == 0.5
    before = AutoModelForSequenceClassification.from_pretrained(tiny_model("bert")).state_dict()
    after = AutoModelForSequenceClassification.from_pretrained(tmp_path / "saved").state_dict()
    for layer, share in ((0, 0.125), (1, 0.25)):
        name = f"bert.encoder.layer.{layer}.output.dense.weight"
        assert torch.quantile((after[name] - before[name]).abs(), 0.5).item() == pytest.approx(1e-3 * share, rel=0.01)


@pytest.mark.parametrize("value", ["0", "1.5", "nan"])
def test_a_decay_outside_its_range(run_main, value):
    code, _, err = run_main("--dataset", "cos", "--model", "m", "--layer_decay", value)
    assert code == 2 and "argument --layer_decay" in err
