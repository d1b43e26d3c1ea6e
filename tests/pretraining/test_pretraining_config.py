"""The recipes hold the published values; every key is known, typed, and either has an effect or is listed as without one."""

import pytest
from omegaconf import OmegaConf
from pretraining_setup import CONFIGS

from bioclinical.errors import UserError
from bioclinical.pretraining.recipe.load import load_recipe

NAMES = ("phase1/phase1_base", "phase1/phase1_large", "phase2/phase2_base", "phase2/phase2_large",
         "phase2/_phase2_bio_base", "phase2/_phase2_bio_large")  # fmt: skip
ABSENT = "absent"
BASE, LARGE = "answerdotai/ModernBERT-base", "answerdotai/ModernBERT-large"
CONTEXT = {
    "base": "modernbert-base-context-extension/context-extension/ep0-ba52988-rank0.pt",
    "large": "modernbert-large-context-extension/context-extension/ep0-ba49552-rank0.pt",
}
PHASE1 = {"base": "phase1_all_3ep_constant/latest-rank0.pt", "large": "phase1_large_all_3ep_constant/latest-rank0.pt"}
LONG, SHORT, BIO = "160_453_000_000tok", "8_247_337_000tok", "50_735_000_000tok"

# One value per file, in the order of NAMES.
DIFFERENT = {
    "data_local": [f"data/{which}_tokenized_mds" for which in ("All", "All", "Clinical", "Clinical", "Med", "Med")],
    "tokenizer_name": [BASE, LARGE] * 3,
    "mlm_probability": [0.3, 0.3, 0.15, 0.15, 0.15, 0.15],
    "run_name": [
        "phase1_all_3ep_constant", "phase1_large_all_3ep_constant", "phase2_clinical_3ep_decay_after_3ep_15mr",
        "phase2_large_clinical_2ep_constant_1ep_decay_after_3ep_15mr", "phase2_bio_1ep_decay_after_3ep_15mr",
        "phase2_large_bio_1ep_decay_after_3ep_15mr",
    ],
    "model.model_config.num_hidden_layers": [22, 28] * 3,
    "model.model_config.hidden_size": [768, 1024] * 3,
    "model.model_config.intermediate_size": [1152, 2624] * 3,
    "model.model_config.num_attention_heads": [12, 16] * 3,
    "scheduler.name": ["constant_with_warmup"] * 2 + ["one_minus_sqrt"] * 4,
    "scheduler.t_warmup": ["0tok"] * 2 + [ABSENT] * 4,
    "scheduler.alpha_f": [ABSENT] * 2 + [0.001] * 4,
    "scheduler.t_decay": [ABSENT, ABSENT, SHORT, "2_749_112_000tok", BIO, BIO],
    "scheduler.t_max": [LONG, LONG, SHORT, SHORT, BIO, BIO],
    "optimizer.lr": [3e-4, 5e-5] * 3,
    "optimizer.weight_decay": [1e-5, 1e-6] * 3,
    "max_duration": [LONG, LONG, SHORT, SHORT, BIO, BIO],
    "eval_interval": ["3000ba", "3000ba", "40ba", "150ba", "1000ba", "1000ba"],
    "global_train_batch_size": [576, 616] * 3,
    "global_eval_batch_size": [1024, 616] * 3,
    "seed": [17, 314] * 3,
    "device_eval_batch_size": [128, ABSENT] * 3,
    "device_eval_microbatch_size": [ABSENT, 14] * 3,
    "device_train_microbatch_size": [12, 7] * 3,
    "console_log_interval": ["150ba", "500ba", "40ba", "40ba", "150ba", "150ba"],
    "save_interval": ["3000ba", "3000ba", "160ba", "150ba", "1000ba", "1000ba"],
    "load_path": [f"checkpoints/{one}" for one in (
        CONTEXT["base"], CONTEXT["large"], PHASE1["base"], PHASE1["large"], PHASE1["base"], PHASE1["large"])],
}  # fmt: skip
SAME = {
    "data_remote": None, "max_seq_len": 8192, "count_padding_tokens": False, "precision": "amp_bf16", "progress_bar": False,
    "log_to_console": True, "save_num_checkpoints_to_keep": -1, "save_folder": "checkpoints/{run_name}",
    "autoresume": False, "reset_time": True, "restart_override": True,
    **{f"model.{key}": value for key, value in {
        "name": "flex_bert", "pretrained_model_name": "bert-base-uncased", "disable_train_metrics": True}.items()},
    **{f"model.model_config.{key}": value for key, value in {
        "vocab_size": 50368, "init_method": "full_megatron", "attention_layer": "rope", "attention_probs_dropout_prob": 0.0,
        "attn_out_bias": False, "attn_out_dropout_prob": 0.1, "attn_qkv_bias": False, "bert_layer": "prenorm",
        "embed_dropout_prob": 0.0, "embed_norm": True, "final_norm": True, "skip_first_prenorm": True,
        "embedding_layer": "sans_pos", "loss_function": "fa_cross_entropy", "loss_kwargs.reduction": "mean",
        "mlp_dropout_prob": 0.0, "mlp_in_bias": False, "mlp_layer": "glu", "mlp_out_bias": False,
        "normalization": "layernorm", "norm_kwargs.eps": 1e-5, "norm_kwargs.bias": False, "hidden_act": "gelu",
        "head_pred_act": "gelu", "activation_function": "gelu", "padding": "unpadded", "rotary_emb_dim": None,
        "rotary_emb_base": 160000.0, "rotary_emb_scale_base": None, "rotary_emb_interleaved": False,
        "local_attn_rotary_emb_base": 10000.0, "local_attn_rotary_emb_dim": None, "allow_embedding_resizing": True,
        "sliding_window": 128, "global_attn_every_n_layers": 3, "unpad_embeddings": True, "compile_model": True,
        "masked_prediction": True}.items()},
    **{f"{loader}.{key}": value for loader, values in {
        "train_loader": {"dataset.split": "train", "dataset.shuffle": True, "dataset.shuffle_seed": 2998, "drop_last": True,
                         "num_workers": 6, "sequence_packing": True},
        "eval_loader": {"dataset.split": "eval", "dataset.shuffle": False, "dataset.mlm_probability": 0.15,
                        "drop_last": False, "num_workers": 3, "sequence_packing": False}}.items()
       for key, value in {"name": "text", "dataset.remote": None, "dataset.max_seq_len": 8192,
                          "dataset.streaming": False, **values}.items()},
    **{f"optimizer.{key}": value for key, value in {
        "name": "decoupled_stableadamw", "betas.0": 0.9, "betas.1": 0.98, "eps": 1e-6, "filter_bias_norm_wd": True,
        "log_grad_norm": True}.items()},
    "callbacks.speed_monitor.window_size": 50, "callbacks.lr_monitor": {}, "callbacks.scheduled_gc": {},
    "callbacks.log_grad_norm.batch_log_interval": 10, "callbacks.packing_efficiency.log_interval": 10,
}  # fmt: skip
FOLLOWING = {  # keys that repeat another one of the same file
    "model.tokenizer_name": "tokenizer_name", "train_loader.dataset.local": "data_local",
    "train_loader.dataset.tokenizer_name": "tokenizer_name", "train_loader.dataset.mlm_probability": "mlm_probability",
    "eval_loader.dataset.local": "data_local", "eval_loader.dataset.tokenizer_name": "tokenizer_name",
}  # fmt: skip


def flat(value: object, prefix: str = "") -> dict[str, object]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not items:
        return {prefix[:-1]: value}
    return {name: leaf for key, part in items for name, leaf in flat(part, f"{prefix}{key}.").items()}


@pytest.mark.parametrize("number", range(6), ids=NAMES)
def test_published_values(number):
    found = flat(OmegaConf.to_container(OmegaConf.load(CONFIGS / f"{NAMES[number]}.yaml"), resolve=True))
    expected = SAME | {key: values[number] for key, values in DIFFERENT.items() if values[number] != ABSENT}
    expected |= {key: expected[source] for key, source in FOLLOWING.items()}
    assert found == expected


@pytest.mark.parametrize("name", [*NAMES, "smoke/phase1", "smoke/phase2"])
def test_every_recipe_loads(name):
    config = load_recipe(CONFIGS / f"{name}.yaml")
    assert config.run_name in config.save_folder


PRETRAIN = ["max_seq_len=1024", "count_padding_tokens=false", "model.model_config.rotary_emb_base=10000.0",
            "scheduler={name: warmup_stable_decay, t_warmup: 3_000_000_000tok, alpha_f: 0.0, t_decay: 0tok}",
            "train_loader.batch_size_warmup_tokens=50_000_000_000tok", "callbacks.dataloader_speed={}",
            "callbacks.runtime_estimator={}", "load_path=null", "eval_loader.dataset.split=validation"]  # fmt: skip
EXTEND = ["max_duration=250_000_000_000tok", "scheduler={name: constant_with_warmup, t_warmup: 0tok}"]
DECAY = ["max_duration=50_000_000_000tok", "mlm_probability=0.3",
         "scheduler={name: one_minus_sqrt, t_decay: 50_000_000_000tok, t_max: 50_000_000_000tok, alpha_f: 0.001}"]  # fmt: skip


@pytest.mark.parametrize(("size", "changes"), [
    ("base", [*PRETRAIN, "global_train_batch_size=4608", "device_train_microbatch_size=96", "optimizer.lr=8e-4",
              "train_loader.batch_size_warmup_min_size=96", "max_duration=1_719_000_000_000tok"]),
    ("large", [*PRETRAIN, "global_train_batch_size=4928", "device_train_microbatch_size=56", "optimizer.lr=5e-4",
               "train_loader.batch_size_warmup_min_size=56", "max_duration=1_719_000_000_000tok"]),
    ("base", EXTEND), ("large", EXTEND), ("base", DECAY), ("large", DECAY),
])  # fmt: skip
def test_modernberts_own_recipes_load(size, changes):
    assert load_recipe(CONFIGS / f"phase1/phase1_{size}.yaml", changes).max_duration.unit == "tok"


@pytest.mark.parametrize(("override", "message"), [
    ("optimizer.learning_rate=1", r"unknown key 'optimizer.learning_rate'; known here: name, lr"),
    ("train_loader.sequence_packng=true", "did you mean 'train_loader.sequence_packing'"),
    ("globl_train_batch_size=8", "did you mean 'global_train_batch_size'"),
    ("model.model_config.mlp_layer=mlp", "mlp_layer: 'mlp' cannot be expressed here; allowed: glu"),
    ("model.model_config.normalization=rmsnorm", "allowed: layernorm"),
    ("model.name=hf_bert", "allowed: null, flex_bert"),
    ("train_loader.dataset.streaming=true", "streaming: 'True' cannot be expressed"),
    ("train_loader.dataset.remote=s3://x", "remote: 's3://x' cannot be expressed"),
    ("device_train_microbatch_size=auto", "'auto' must be a whole number"),
    ("max_duration=3ep", "one pass over your data is the token count"),
    ("max_duration=3days", "write a number and one of tok, ba, sp"),
    ("max_duration=0tok", "must be above 0"),
    ("scheduler.name=exponential", "allowed: constant_with_warmup"),
    ("optimizer.betas=[0.9]", "must be two numbers"),
    ("train_loader.dataset.mlm_probability=1.5", "must be below 1"),
    ("callbacks.speed_monitr={}", "did you mean 'callbacks.speed_monitor'"),
    ("loggers.wandbb={}", "did you mean 'loggers.wandb'"),
    ("precision=fp8", "allowed: amp_bf16, amp_fp16, fp32"),
    ("optimizer.lr=${no_such_key}", "cannot be resolved"),
    ("nonsense", "write key=value"),
    ("optimizer.betas=[0.9,", "cannot be read .* write key=value in quotes"),
    ("optimizer.betas[0]=0.9", "cannot be read"),
    ("data_local=${x", "cannot be read"),
    ("train_subset_num_batches=0", "train_subset_num_batches: '0' must be 1 or more, or -1 .-1: all.$"),
    ("eval_subset_num_batches=0", "must be 1 or more, or -1"),
    ("model.model_config.num_attention_heads=0", "num_attention_heads: '0' must be 1 or more$"),
    ("model.model_config.hidden_size=-8", "hidden_size: '-8' must be 1 or more$"),
    ("model.model_config.hidden_size=10000000", "hidden_size: '10000000' must be 32,768 or less$"),
    ("train_loader.num_workers=-1", "train_loader.num_workers: '-1' must be 0 or more$"),
    ("seed=-1", "seed: '-1' must be 0 or more$"),
    ("seed=5_000_000_000", "seed: '5000000000' must be 4,294,901,760 or less$"),
    ("optimizer.lr=.nan", "optimizer.lr: 'nan' must be above 0$"),
    ("optimizer.weight_decay=.inf", "optimizer.weight_decay: 'inf' must be a finite number$"),
    ("optimizer.betas=[0.9, .nan]", "must be two numbers"),
    ("save_folder=${missing}", "cannot be resolved .*missing"),
    ("data_local=???", "cannot be resolved .*data_local"),
    ("objective=next_sentence", "objective.name: 'next_sentence' is unknown; allowed: masked_tokens"),
    ("model.architecture=gpt", "architecture: 'gpt' cannot be expressed here; allowed: modernbert, bert, roberta"),
    ("console_log_interval=0ba", "console_log_interval: '0ba' must be above 0"),
    ("callbacks.scheduled_gc.batch_interval=0", "callbacks.scheduled_gc.batch_interval: '0' must be 1 or more"),
])  # fmt: skip
def test_wrong_values_are_named(override, message):
    with pytest.raises(UserError, match=message):
        load_recipe(CONFIGS / "phase1/phase1_base.yaml", [override])


def test_missing_file_and_key(tmp_path):
    with pytest.raises(UserError, match="cannot read the config"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "some.yaml").write_text("seed: 1\n")
    with pytest.raises(UserError, match="the config lacks run_name"):
        load_recipe(tmp_path / "some.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1\n")
    with pytest.raises(UserError, match="is not YAML"):
        load_recipe(tmp_path / "broken.yaml")
