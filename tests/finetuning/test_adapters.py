"""--lora and --freeze: every family trains adapters, merged weights compute the same, adapters find their base."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from repository import ENCODERS
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoModelForTokenClassification, GPT2Config

from bioclinical import predict
from bioclinical.encoders.adapters import add_adapter, freeze, linear_modules, load_adapter, merge, save_adapter
from bioclinical.errors import UserError, run_cli
from bioclinical.finetuning.lora_spec import LoraSpec, frozen_layers
from bioclinical.modeling import use_packed_forward

QUICK = ("--limit", 16, "--batch_size", 8, "--epochs", 1, "--lr", "1e-2")
BATCH = {
    "input_ids": torch.tensor([[2, 7, 8, 9, 10, 3], [2, 11, 12, 3, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]),
}


def classifier(family, tiny_model, head=AutoModelForSequenceClassification):
    torch.manual_seed(0)
    if family == "gpt2":
        config = GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, num_labels=3, pad_token_id=0)
    else:
        config = AutoConfig.from_pretrained(tiny_model(family), num_labels=3)
    return head.from_config(config).eval()


def shaken(model):
    """As after training: adapters and head away from where they began."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
    return model


@pytest.mark.parametrize("family", [*ENCODERS, "gpt2"])
def test_merged_weights_compute_the_same_in_every_family(tiny_model, family):
    model = classifier(family, tiny_model)
    names, before = list(model.state_dict()), {k: v.clone() for k, v in model.state_dict().items()}
    plain = model(**BATCH).logits
    add_adapter(model, 4, 8, 0.0, ())
    torch.testing.assert_close(model(**BATCH).logits, plain)  # B begins at zero
    adapted = sum("lora_A" in name for name, _ in model.named_parameters())
    assert adapted == len(linear_modules(classifier(family, tiny_model))) > 0
    with torch.no_grad():
        logits = shaken(model)(**BATCH).logits
        merge(model)
        torch.testing.assert_close(model(**BATCH).logits, logits, atol=1e-5, rtol=1e-4)
    assert list(model.state_dict()) == names and (logits - plain).abs().max() > 1e-3
    frozen = [name for name in names if "embedding" in name and "weight" in name]
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in frozen)


def test_the_packed_forward_of_modernbert_computes_with_the_adapters(tiny_model):
    """Packed with adapters, padded with adapters, and merged: one and the same."""
    model = classifier("modernbert", tiny_model, AutoModelForTokenClassification)
    assert set(linear_modules(model).values()) == {"Wqkv", "Wo", "Wi"}
    add_adapter(model, 4, 8, 0.0, ())
    with torch.no_grad():
        padded = shaken(model)(**BATCH).logits
        use_packed_forward(model, "banded_sdpa")
        packed = model(**BATCH).logits
        real = BATCH["attention_mask"].bool()
        torch.testing.assert_close(packed[real], padded[real], atol=1e-5, rtol=1e-4)
        merge(model)
        torch.testing.assert_close(model(**BATCH).logits[real], packed[real], atol=1e-5, rtol=1e-4)


def test_gradients_reach_adapters_and_head_alone(tiny_model):
    model = classifier("modernbert", tiny_model)
    use_packed_forward(model, "banded_sdpa")
    add_adapter(model, 2, 4, 0.0, ("Wqkv",))
    shaken(model)(**BATCH).logits.sum().backward()
    moved = {name for name, weight in model.named_parameters() if weight.grad is not None and weight.grad.any()}
    assert any("Wqkv.lora_A" in name for name in moved) and "classifier.weight" in moved
    assert all("lora_" in name or name.startswith(("head", "classifier", "model.final_norm")) for name in moved)
    assert not any("Wo.lora" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("family", ["modernbert", "bert", "albert"])
def test_a_saved_adapter_is_small_read_back_and_read_by_peft(tiny_model, tmp_path, family):
    from peft import PeftModel

    model = classifier(family, tiny_model)
    model.save_pretrained(tmp_path / "base")
    add_adapter(model, 2, 4, 0.0, ())
    logits = shaken(model)(**BATCH).logits
    save_adapter(model, tmp_path / "adapter", str(tmp_path / "base"))
    own = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base").eval()
    load_adapter(own, tmp_path / "adapter")
    torch.testing.assert_close(own(**BATCH).logits, logits, atol=1e-5, rtol=1e-4)
    base = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    theirs = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    torch.testing.assert_close(theirs(**BATCH).logits, logits, atol=1e-5, rtol=1e-4)
    with pytest.raises(UserError, match="does not fit its base"):
        load_adapter(classifier("electra", tiny_model), tmp_path / "adapter")


def test_frozen_parts_stay(tiny_model):
    model = classifier("bert", tiny_model)
    assert freeze(model, *frozen_layers("embeddings,0")) == "frozen: embeddings and 1 of 2 layers"
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert all(name.startswith(("bert.encoder.layer.1.", "bert.pooler", "classifier")) for name in trained)
    with pytest.raises(UserError, match="there is no layer 7; this network has 2"):
        freeze(model, *frozen_layers("7"))


@pytest.fixture
def common(sample, tmp_path):
    return (*QUICK, "--data_dir", sample / "raw", "--output_dir", tmp_path / "outputs")


def predicted(monkeypatch, capsys, model, output, *arguments):
    source = output.with_suffix(".csv")
    source.write_text("text\nHe smokes two packs a day.\n")
    command = ["predict", "--model", model, "--input", source, "--output", output, *arguments]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    try:
        run_cli(predict.main)
        code = 0
    except SystemExit as stop:
        code = stop.code
    return code, output.read_text() if code == 0 else None, capsys.readouterr().err


def test_from_training_to_prediction(run_main, common, tiny_model, tmp_path, monkeypatch, capsys):
    """Saved merged and as an adapter, from the same run: the same answers; another base is refused."""
    base = tmp_path / "base"
    shutil.copytree(tiny_model(), base)
    arguments = ("--dataset", "socialhistory", "--model", base, "--lora", "r=4,dropout=0.1", *common)
    code, out, err = run_main(*arguments, "--save_model", tmp_path / "merged")
    assert code == 0 and "adapters: r=4,alpha=8,dropout=0.1" in out, err
    result = json.loads(Path(out.splitlines()[-1]).read_text())
    assert result["config"]["lora"] == "r=4,alpha=8,dropout=0.1"
    assert 0 < result["trained_parameters"] < result["parameters"]
    assert "lora" not in "".join(json.loads((tmp_path / "merged" / "config.json").read_text()))
    code, out, err = run_main(*arguments, "--save_model", tmp_path / "a", "--save_as", "adapter", "--overwrite")
    assert code == 0, err
    again = json.loads(Path(out.splitlines()[-1]).read_text())
    assert again["metrics"]["test"] == result["metrics"]["test"]
    assert sorted(p.name for p in (tmp_path / "a").glob("*.safetensors")) == ["adapter_model.safetensors"]

    code, merged, err = predicted(monkeypatch, capsys, tmp_path / "merged", tmp_path / "merged.jsonl")
    assert code == 0, err
    code, adapted, err = predicted(monkeypatch, capsys, tmp_path / "a", tmp_path / "a.jsonl")
    assert code == 0 and [e["start"] for e in json.loads(adapted)["entities"]] == [
        e["start"] for e in json.loads(merged)["entities"]
    ], err
    base.rename(tmp_path / "moved")
    code, moved, err = predicted(
        monkeypatch, capsys, tmp_path / "a", tmp_path / "m.jsonl", "--base", tmp_path / "moved"
    )
    assert code == 0 and moved == adapted, err
    other = tiny_model("bert")
    code, _, err = predicted(monkeypatch, capsys, tmp_path / "a", tmp_path / "o.jsonl", "--base", other)
    assert code == 2 and "was trained on another model" in err and "hashes differ" in err
    code, _, err = predicted(monkeypatch, capsys, tmp_path / "merged", tmp_path / "p.jsonl", "--base", other)
    assert code == 2 and "is a whole model" in err


def test_the_same_adapters_are_the_same_run():
    assert str(LoraSpec.parse("alpha=16,r=8")) == str(LoraSpec.parse("r=8")) == "r=8,alpha=16,dropout=0"
    assert LoraSpec.parse(str(LoraSpec.parse("r=8,targets=value+query"))).targets == ("query", "value")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--lora", "8"), "--lora: '8' is not understood"),
        (("--lora", "r=0"), "--lora needs a rank"),
        (("--lora", "r=8,dropout=1"), "dropout from 0 to below 1"),
        (
            ("--lora", "r=8,targets=Wqkv+keys"),
            "--lora targets=keys: this network has no such modules; known: Wi, Wo, Wqkv",
        ),
        (("--freeze", "first"), "--freeze: 'first' is not understood"),
        (("--freeze", "0-7"), "--freeze: there is no layer 2; this network has 2"),
        (("--lora", "r=8", "--freeze", "0"), "leave out --freeze"),
        (("--save_as", "adapter"), "give both"),
    ],
)
def test_what_cannot_be(run_main, common, tiny_model, arguments, message):
    code, _, err = run_main("--dataset", "cos", "--model", tiny_model(), *common, *arguments)
    assert code == 2 and message in err and err.count("\n") == 1
