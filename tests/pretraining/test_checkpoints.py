"""Published, own and Hugging Face weights as the start of a phase; and Hugging Face folders out of all of them."""

import dataclasses
import json

import pytest
import torch
from flexbert_files import FLEX, flexbert_checkpoint, flexbert_shapes
from omegaconf import OmegaConf
from pretraining_setup import CONFIGS
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer, ModernBertForMaskedLM

from bioclinical.checkpoints.export import export
from bioclinical.checkpoints.names import flexbert_name
from bioclinical.checkpoints.read import load_checkpoint, optimizer_state
from bioclinical.checkpoints.start import load_source, start_from
from bioclinical.errors import RunFailed, UserError
from bioclinical.pretraining.architectures import modernbert as modernbert_module
from bioclinical.pretraining.architectures.modernbert import hf_config
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.training.evaluation import architecture_of, evaluate
from bioclinical.pretraining.training.optimizer import parameter_groups
from bioclinical.pretraining.training.run import build, run
from bioclinical.text.tokenization import load_tokenizer

SHAPES = flexbert_shapes(4, 32, 48, 504)
SIZES = {"base": (22, 768, 1152, 149_655_232, 47, 85_696, 90), "large": (28, 1024, 2624, 395_881_664, 59, 109_760, 114)}


@pytest.fixture
def published(tmp_path):
    return flexbert_checkpoint(tmp_path / "ep0-ba52988-rank0.pt", SHAPES)


@pytest.mark.parametrize("size", SIZES)
def test_names_and_shapes_of_both_published_sizes(size, tiny_model):
    """Counts measured on FlexBERT itself: tensors, parameters, and parameters without weight decay."""
    layers, hidden, inner, parameters, plain, plain_parameters, decayed = SIZES[size]
    flex = load_recipe(CONFIGS / f"phase1/phase1_{size}.yaml").model.model_config
    config = hf_config(flex, 8192, load_tokenizer(tiny_model()))
    with torch.device("meta"):
        model = ModernBertForMaskedLM(config)
    mapped = {flexbert_name(name)[1]: shape for name, shape in flexbert_shapes(layers, hidden, inner, 50368).items()}
    assert mapped == {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert list(mapped)[:-1] == [name for name, _ in model.named_parameters()][: len(mapped) - 1]
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    groups = [group["params"] for group in parameter_groups(model, 1e-5, True)]
    assert (len(groups[0]), sum(p.numel() for p in groups[0]), len(groups[1])) == (plain, plain_parameters, decayed)


def test_a_phase_starts_from_a_published_checkpoint(tiny_config, published, capsys):
    config = tiny_config(load_path=published, restart_override="true", **{"optimizer.lr": 5e-4})
    parts = build(config)
    notes, clock = start_from(config, parts.architecture, parts.model, parts.optimizer)
    stored = torch.load(published, weights_only=True)["state"]["model"]
    for name, parameter in parts.model.named_parameters():
        source = {".".join(flexbert_name(key)): tensor for key, tensor in stored.items()}[name]
        assert torch.equal(parameter, source)
        assert torch.equal(parts.optimizer.state[parameter]["exp_avg"], torch.full_like(parameter, 1e-3))
    embedding = parts.model.model.get_input_embeddings().weight
    assert embedding is parts.model.model.decoder.weight
    assert clock is None
    assert [(group["lr"], group["max_lr"], group["step"]) for group in parts.optimizer.param_groups] == [
        (5e-4, 5e-4, 52988)
    ] * 2
    told = "\n".join(notes)
    for line in ("group 0, lr: checkpoint 0.0003 -> used 0.0005", "group 1, max_lr: checkpoint 0.0008 -> used 0.0005"):
        assert line in told
    run(config)
    assert f"phase start from '{published}': token 0, batch 0" in capsys.readouterr().out


def test_another_rotary_base_is_told_and_evaluated_as_its_own(tiny_config, tmp_path, tiny_model, capsys):
    path = flexbert_checkpoint(tmp_path / "short.pt", SHAPES, flex={**FLEX, "rotary_emb_base": 10_000.0})
    config = tiny_config(load_path=path)
    parts = build(config)
    notes, _ = start_from(config, parts.architecture, parts.model, parts.optimizer)
    assert "  architecture, global_rope_theta: checkpoint 10000.0 -> used 160000.0" in notes
    tokenizer = load_tokenizer(tiny_model())
    stored = load_source(str(path), trust=False)
    assert architecture_of(stored, config, str(path), tokenizer, Compute()).config.global_rope_theta == 10_000
    export(path, tmp_path / "hf", str(tiny_model()), None, False)
    assert evaluate(config, str(path)) == pytest.approx(evaluate(config, str(tmp_path / "hf")), rel=1e-6)
    short = tiny_config(load_path="null", **{"eval_loader.dataset.max_seq_len": 2048})
    with pytest.raises(UserError, match="takes 1,024 tokens; add eval_loader.dataset.max_seq_len=1024"):
        architecture_of(stored, short, str(path), tokenizer, Compute())


def test_adamw_counts_its_steps_per_parameter():
    value = {"exp_avg": torch.zeros(2), "exp_avg_sq": torch.zeros(2), "step": torch.tensor(7.0)}
    groups = [{"params": ["model.bert.final_norm.weight"], "lr": 1.0}]
    _, values = optimizer_state(
        {"AdamW": {"state": {"model.bert.final_norm.weight": value}, "param_groups": groups}}, flexbert_name
    )
    assert values["model.model.final_norm.weight"] == {"lr": 1.0, "step": torch.tensor(7.0)}


@pytest.mark.parametrize("decayed", [1.0, 0.37, 0.0])
def test_without_override_the_checkpoints_values_rule_from_anywhere_in_a_decay(tiny_config, tmp_path, decayed):
    path = flexbert_checkpoint(tmp_path / "mid.pt", SHAPES, decayed=decayed)
    config = tiny_config(load_path=path, restart_override="false", reset_time="false")
    parts = build(config)
    _, clock = start_from(config, parts.architecture, parts.model, parts.optimizer)
    assert [(group["lr"], group["max_lr"]) for group in parts.optimizer.param_groups] == [(3e-4, 8e-4)] * 2
    assert clock.token.value == 250_000_000_000
    config = dataclasses.replace(config, restart_override=True)
    parts = build(config)
    start_from(config, parts.architecture, parts.model, parts.optimizer)
    assert {group["lr"] for group in parts.optimizer.param_groups} == {config.optimizer.lr}


def test_phases_chain_and_act_once(train, tiny_config, capsys, tmp_path):
    """Phase 2 takes phase 1's moments; when it is itself resumed, load_path and its companions are left alone."""
    first = train("first", max_duration="4ba")
    options = {
        "recipe": "smoke/phase2",
        "load_path": first / "latest-rank0.pt",
        "save_interval": "2ba",
        "max_duration": "6ba",
    }
    second = train("second", **options)
    assert "phase start from" in capsys.readouterr().out
    for name in ("ep0-ba6-rank0.pt", "ep0-ba4-rank0.pt"):
        (second / name).unlink()
    (second / "latest-rank0.pt").unlink()
    train("second", autoresume="true", **options)
    out = capsys.readouterr().out
    assert "resumed from" in out and "batch 2 of 6ba" in out
    again = train("again", **options)
    one, other = (load_checkpoint(folder / "latest-rank0.pt") for folder in (second, again))
    assert all(torch.equal(one.weights[name], other.weights[name]) for name in one.weights)
    assert {int(group["step"]) for group in one.groups.values()} == {10}


def test_weights_without_moments_advise_a_warm_up(tiny_config, published, tiny_model, capsys):
    config = tiny_config(load_path=published, load_weights_only="true")
    parts = build(config)
    notes, _ = start_from(config, parts.architecture, parts.model, parts.optimizer)
    assert "scheduler.t_warmup is advised" in notes[1] and not parts.optimizer.state


@pytest.mark.parametrize(("change", "message"), [
    ({"model.model_config.num_hidden_layers": 7}, "model.layers.4.attn_norm.weight is missing; .* and 13 more"),
    ({"model.model_config.intermediate_size": 64}, r"mlp.Wi.weight has \(96, 32\) instead of \(128, 32\)"),
    ({"model.model_config.decoder_bias": "false"}, "decoder.bias is not in this architecture"),
])  # fmt: skip
def test_another_architecture_is_told_tensor_by_tensor(tiny_config, published, change, message):
    config = tiny_config(load_path=published, **change)
    parts = build(config)
    with pytest.raises(UserError, match=message):
        start_from(config, parts.architecture, parts.model, parts.optimizer)


class Surprise:
    """A class that the list of safe ones does not hold."""


def test_files_that_run_code_need_trust(tmp_path, published):
    content = torch.load(published, weights_only=True)
    content["state"]["metrics"] = Surprise()
    torch.save(content, tmp_path / "surprise.pt")
    with pytest.raises(UserError, match="Surprise. Reading such a file can run code .* trust_checkpoint=true"):
        load_checkpoint(tmp_path / "surprise.pt")
    assert (
        load_checkpoint(tmp_path / "surprise.pt", trust=True).weights.keys()
        == load_checkpoint(published).weights.keys()
    )


def test_files_that_are_no_checkpoints(tmp_path, published):
    (tmp_path / "cut.pt").write_bytes(published.read_bytes()[:20_000])
    torch.save({"weights": torch.ones(2)}, tmp_path / "other.pt")
    for name, message in (("cut", "is cut off or no torch checkpoint"), ("other", "is no Composer checkpoint"),
                          ("none", "there is no checkpoint")):  # fmt: skip
        with pytest.raises(UserError, match=message):
            load_checkpoint(tmp_path / f"{name}.pt")


def test_exported_flexbert(tmp_path, published, tiny_model):
    out = tmp_path / "hf"
    assert export(published, out, str(tiny_model()), None, False) < 1e-4
    config = json.loads((out / "config.json").read_text())
    assert config["classifier_activation"] == "gelu"  # head_pred_act, not head_class_act
    assert (config["global_rope_theta"], config["local_rope_theta"]) == (160000.0, 10000.0)
    assert config["rope_parameters"]["sliding_attention"]["rope_theta"] == 10000.0
    assert config["layer_types"] == ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]
    assert config["max_position_embeddings"] == 8192
    tokenizer, model = AutoTokenizer.from_pretrained(out), AutoModelForMaskedLM.from_pretrained(out)
    assert (config["pad_token_id"], config["cls_token_id"]) == (tokenizer.pad_token_id, tokenizer.cls_token_id)
    assert tokenizer.model_max_length == 8192
    stored = torch.load(published, weights_only=True)["state"]["model"]
    torch.testing.assert_close(model.decoder.bias, stored["model.decoder.bias"])
    assert model.decoder.weight is model.get_input_embeddings().weight
    AutoModelForSequenceClassification.from_pretrained(out, num_labels=3)
    assert "hidden_size: 32" in (out / "README.md").read_text()
    assert not (out / "pytorch_model.bin").exists() and (out / "model.safetensors").exists()


def test_exported_run(train, tmp_path):
    folder = train(max_duration="3ba")
    export(folder / "latest-rank0.pt", tmp_path / "hf", None, None, False)
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "hf")
    assert model.config.max_position_embeddings == 128
    weights = load_checkpoint(folder / "latest-rank0.pt").weights
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "| train | " in card and "max_duration: 3ba" in card
    tensors = sum(tensor.numel() for name, tensor in weights.items() if name != "decoder.weight")
    assert f"{tensors:,} parameters" in card


def test_export_needs_an_architecture_and_an_empty_folder(tmp_path, tiny_model):
    silent = flexbert_checkpoint(tmp_path / "silent.pt", SHAPES, flex=None)
    with pytest.raises(UserError, match="does not say its architecture; give the YAML"):
        export(silent, tmp_path / "hf", str(tiny_model()), None, False)
    keys = {key: value for key, value in FLEX.items() if key not in ("head_class_act", "model_type", "hidden_dropout_prob",
                                                                     "max_position_embeddings")}  # fmt: skip
    OmegaConf.save({"model": {"model_config": keys}}, tmp_path / "recipe.yaml")
    export(silent, tmp_path / "hf", str(tiny_model()), tmp_path / "recipe.yaml", False)
    (tmp_path / "other.yaml").write_text("seed: 1\n")
    with pytest.raises(UserError, match="has no model.model_config"):
        export(silent, tmp_path / "hf2", str(tiny_model()), tmp_path / "other.yaml", False)
    with pytest.raises(UserError, match="is not empty"):
        export(silent, tmp_path / "hf", str(tiny_model()), tmp_path / "recipe.yaml", False)


def test_export_that_computes_something_else_is_not_kept(tmp_path, published, tiny_model, monkeypatch):
    real = modernbert_module.write_both_rope_layouts

    def wrong(path, config):
        real(path, config)
        path.write_text(path.read_text().replace('"global_rope_theta": 160000.0', '"global_rope_theta": 100.0'))

    monkeypatch.setattr(modernbert_module, "write_both_rope_layouts", wrong)
    with pytest.raises(RunFailed, match="logits differ by"):
        export(published, tmp_path / "hf", str(tiny_model()), None, False)
    assert not (tmp_path / "hf").exists()
