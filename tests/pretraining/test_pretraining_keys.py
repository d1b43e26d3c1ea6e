"""Every key of the schema that is not listed as without effect changes what is built."""

import dataclasses
import inspect
from collections import deque
from pathlib import Path

import pytest
import torch

import bioclinical.pretraining.training.run as run_module
from bioclinical.pretraining.recipe import schema
from bioclinical.pretraining.recipe.keys import Rule, rule_of
from bioclinical.pretraining.training.run import build, build_trainer

# A second value for each key; keys whose effect needs a whole run are tested in test_pretraining_run.py.
OTHER = {
    "run_name": "other", "seed": 18, "freeze_layers": "[0, 1]", "max_duration": "9ba", "eval_interval": "7ba", "global_train_batch_size": 6,
    "global_eval_batch_size": 2, "device_train_microbatch_size": 1, "device_eval_microbatch_size": 1,
    "train_subset_num_batches": 3, "eval_subset_num_batches": 3, "count_padding_tokens": "true", "device": "cpu",
    "progress_bar": "true", "log_to_console": "false", "console_log_interval": "3ba", "python_log_level": "info",
    "eval_loader": "null", "save_folder": "elsewhere", "save_interval": "3ba", "save_num_checkpoints_to_keep": 3,
    "algorithms.gradient_clipping.clipping_type": "value", "algorithms.gradient_clipping.clipping_threshold": 0.5,
    "loggers": "{file_logger: {filename: x.txt}}",
    **{f"model.{key}": value for key, value in {
        "tokenizer_name": None, "gradient_checkpointing": "true", "attention_backend": "banded_sdpa"}.items()},
    **{f"model.model_config.{key}": value for key, value in {
        "vocab_size": 512, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 7, "num_attention_heads": 4,
        "hidden_act": "relu", "head_pred_act": "relu", "head_pred_bias": "true", "attention_probs_dropout_prob": 0.1,
        "attn_out_dropout_prob": 0.2, "decoder_bias": "false", "embed_dropout_prob": 0.1, "init_cutoff_factor": 3.0,
        "init_std": 0.03, "global_attn_every_n_layers": 1, "local_attn_rotary_emb_base": 5000.0, "mlp_dropout_prob": 0.1,
        "norm_kwargs": "{eps: 1e-6, bias: true}", "rotary_emb_base": 5000.0, "sliding_window": 64,
        "compile_model": "false"}.items()},
    **{f"train_loader.{key}": value for key, value in {
        "drop_last": "false", "num_workers": 1, "sequence_packing": "false", "packing_buffer_size": 3,
        "dataset.max_seq_len": 64, "dataset.shuffle": "false", "dataset.shuffle_seed": 1, "dataset.mlm_probability": 0.4,
        "dataset.mask_special_tokens": "true", "dataset.split": "eval"}.items()},
    **{f"optimizer.{key}": value for key, value in {
        "name": "adamw", "lr": 1e-3, "betas": "[0.8, 0.9]", "eps": 1e-5, "weight_decay": 0.1,
        "filter_bias_norm_wd": "false"}.items()},
    **{f"callbacks.{key}": value for key, value in {
        "speed_monitor.window_size": 9, "speed_monitor.gpu_flops_available": 1e12, "lr_monitor": None,
        "scheduled_gc.batch_interval": 9, "log_grad_norm.batch_log_interval": 9, "packing_efficiency.log_interval": 9,
        "dataloader_speed": "{}", "memory_monitor": "{}", "runtime_estimator": "{}", "optimizer_monitor": "{}"}.items()},
    "scheduler": "{name: cosine_with_warmup, t_warmup: 3ba}",
}  # fmt: skip
# Two keys that only differ from others together, and keys that only act on a GPU or in worker processes.
TOGETHER = {
    "attention biases": {"model.model_config.attn_qkv_bias": "true", "model.model_config.attn_out_bias": "true"},
    "MLP biases": {"model.model_config.mlp_in_bias": "true", "model.model_config.mlp_out_bias": "true"},
    "warm-up": {"train_loader.batch_size_warmup_min_size": 2, "train_loader.batch_size_warmup_tokens": "500tok"},
    "timeout": {"train_loader.num_workers": 1, "train_loader.timeout": 9},
    "prefetch": {"train_loader.num_workers": 1, "train_loader.prefetch_factor": 5},
}
# The architecture is tested in test_padded.py.
IN_RUNS = {
    "model.architecture",
    "load_path",
    "load_weights_only",
    "autoresume",
    "reset_time",
    "restart_override",
    "trust_checkpoint",
    "fsdp_config",
}
ON_GPU = {"precision", "train_loader.pin_memory"}
SECTIONS = {"model", "model.model_config", "train_loader", "train_loader.dataset", "optimizer", "callbacks", "algorithms",
            "train_loader.dataset.local", "train_loader.dataset.streams", "objective"}  # fmt: skip


def plain(value: object, depth: int = 3) -> object:
    """The settings in an object, without its identity and without the config that a checkpoint repeats (`facts`)."""
    if isinstance(value, (int, float, str, bool, type(None))):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, deque):
        return value.maxlen
    if depth and inspect.isfunction(value):
        return [plain(cell.cell_contents, depth - 1) for cell in value.__closure__ or ()]
    if isinstance(value, (list, tuple)):
        return [plain(part, depth) for part in value]
    if isinstance(value, dict):
        return {str(key): plain(part, depth) for key, part in value.items()}
    if depth and hasattr(value, "__dict__"):
        return type(value).__name__, plain({k: v for k, v in vars(value).items() if k != "facts"}, depth - 1)
    return type(value).__name__


def built(config, monkeypatch) -> dict[str, object]:
    """Everything a config builds. The trainer itself is replaced by a recorder of its arguments."""
    seen = {}
    monkeypatch.setattr(run_module, "Trainer", lambda **arguments: seen.update(arguments))
    parts = build(config)
    build_trainer(parts, Path(config.save_folder), None, None)
    batch = next(iter(parts.train.loader))
    plan = plain(vars(parts.train.loader))
    parts.train.loader.restart(parts.train.loader.state, False)  # ends its workers
    model = parts.model.model
    dropouts = [module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    groups = [{k: v for k, v in group.items() if k != "params"} for group in parts.optimizer.param_groups]
    schedule = [seen["schedulers"](type("State", (), {"timestamp": Clock(now)})()) for now in range(9)]
    return {
        "config": model.config.to_dict(),
        "weights": sum(p.double().abs().sum().item() for p in model.parameters()),
        "names": [name for name, _ in model.named_parameters()],
        "model": (dropouts, model.is_gradient_checkpointing, parts.architecture.attention.reason),
        "optimizer": (type(parts.optimizer).__name__, groups),
        "schedule": schedule,
        "loaders": [plain(split and (vars(split.loader), vars(split.loader.reader.examples), split.sizes))
                    for split in (parts.train, *parts.evals.values())],
        "loader": plan,
        "plan": plain(parts.train.loader.new_packer(), 2),
        "batch": [{k: v.tolist() if isinstance(v, torch.Tensor) else v for k, v in (row | row["targets"] | {"targets": 0}).items()}
                  for row in batch["rows"]],
        "clock": parts.train.spec.get_num_tokens_in_batch(batch),
        "notes": parts.notes,
        "trainer": plain({k: v for k, v in seen.items() if "data" not in k and k not in ("model", "optimizers", "schedulers")}, 3),
    }  # fmt: skip


class Clock:
    def __init__(self, now: int):
        self.now = now

    def get(self, unit):
        return type("Time", (), {"value": self.now})()


BASIS = {"algorithms": "{gradient_clipping: {clipping_type: norm, clipping_threshold: 1.0}}",
         "model.model_config.compile_model": "true", "log_to_console": "true"}  # fmt: skip


@pytest.fixture
def basis(tiny_config, monkeypatch):
    return built(tiny_config(**BASIS), monkeypatch)


def keys_of(section: type, prefix: str = "") -> dict[str, Rule]:
    """Dotted name -> rule of every key that the miniature recipe can have."""
    found = {}
    for field in dataclasses.fields(section):
        rule, name = rule_of(field), prefix + field.name
        found[name] = rule
        inner = NESTED.get(name)
        found |= keys_of(inner, f"{name}.") if inner else {}
        for part, options in (rule.parts or {}).items():
            found |= keys_of(options, f"{name}.{part}.") if options else {}
    return found


NESTED = {"model": schema.Model, "model.model_config": schema.ModernBertConfig, "train_loader": schema.Loader,
          "train_loader.dataset": schema.Dataset, "optimizer": schema.Optimizer}  # fmt: skip


def test_every_key_is_covered():
    effective = {
        name
        for name, rule in keys_of(schema.Recipe).items()
        if not rule.no_effect and not (rule.only and len({str(one) for one in rule.only}) == 1)
    }
    effective -= {"model.model_config.loss_function", "model.model_config.loss_kwargs"}  # two spellings of one loss
    effective -= {"model.name"}  # likewise of nothing
    tested = {*OTHER, *(key for changes in TOGETHER.values() for key in changes), *IN_RUNS, *ON_GPU, *SECTIONS}
    assert effective - tested == set()
    assert {
        f"callbacks.{name}" for name, options in schema.CALLBACKS.items() if not dataclasses.fields(options)
    } <= tested


@pytest.mark.parametrize("group", range(6))
def test_each_key_changes_something(group, tiny_config, tiny_model, monkeypatch, basis, tmp_path):
    changes = [{key: value} for key, value in OTHER.items()] + list(TOGETHER.values())
    for change in changes[group::6]:
        if "model.tokenizer_name" in change:
            change = {"model.tokenizer_name": tiny_model("roberta"), "model.model_config.vocab_size": 1000}
        if "callbacks.lr_monitor" in change:
            change = {"callbacks": "{speed_monitor: {}}"}
        options = {key: value for key, value in BASIS.items() if key not in change}
        assert built(tiny_config(**options, **change), monkeypatch) != basis, change


def test_the_basis_is_repeatable(tiny_config, monkeypatch, basis):
    assert built(tiny_config(**BASIS), monkeypatch) == basis


def test_keys_without_effect_change_nothing(tiny_config, monkeypatch, basis):
    unused = {"model.pretrained_model_name": "x", "model.model_config.padding": "padded", "optimizer.log_grad_norm": "false",
              "model.model_config.use_fa2": "false", "device_eval_batch_size": 3, "model.disable_train_metrics": "false",
              "model.model_config.activation_function": "relu", "save_overwrite": "true"}  # fmt: skip
    assert built(tiny_config(**BASIS, **unused), monkeypatch) == basis
