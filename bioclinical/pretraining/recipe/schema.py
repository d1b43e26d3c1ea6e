"""Every key of a pre-training YAML: its type and default, the values that can be expressed, or why it has no effect.

The schema is ModernBERT's. Three kinds of keys: those that change what is built; those that Hugging Face's ModernBERT
or this trainer can express in certain values only (`only`); and those that are accepted, because published recipes
carry them, but change nothing (`no_effect`, a closed list).
"""

from dataclasses import dataclass
from typing import Any

REQUIRED = object()
TIME = "a duration such as 1_000_000tok, 500ba or 20_000sp"


@dataclass(frozen=True)
class Key:
    """One key. kind: bool, int, float, str, list, dict or TIME; a default of None also allows an empty value."""

    kind: Any
    default: Any = REQUIRED
    only: tuple[Any, ...] = ()
    no_effect: str = ""


def anchor(kind: Any) -> Key:
    return Key(kind, None, no_effect="only a name for ${...} elsewhere in the file")


def fixed(kind: Any, *values: Any) -> Key:
    """A key with one or more expressible values, the first being the default."""
    return Key(kind, values[0], only=values)


def unused(kind: Any, why: str) -> Key:
    return Key(kind, None, no_effect=why)


TOP = {
    "data_local": anchor(str),
    "data_remote": anchor(str),
    "max_seq_len": anchor(int),
    "tokenizer_name": anchor(str),
    "mlm_probability": anchor(float),
    "run_name": Key(str),
    "seed": Key(int),
    "model": Key(dict),
    "train_loader": Key(dict),
    "eval_loader": Key(dict, None),
    "scheduler": Key(dict),
    "optimizer": Key(dict),
    "max_duration": Key(TIME),
    "eval_interval": Key(TIME),
    "global_train_batch_size": Key(int),
    "global_eval_batch_size": Key(int, None),
    "device_train_microbatch_size": Key(int),
    "device_eval_batch_size": unused(int, "follows from global_eval_batch_size"),
    "device_eval_microbatch_size": Key(int, None),
    "train_subset_num_batches": Key(int, -1),
    "eval_subset_num_batches": Key(int, -1),
    "count_padding_tokens": Key(bool, True),
    "precision": fixed(str, "amp_bf16", "amp_fp16", "fp32"),
    "device": Key(str, None, only=(None, "cpu", "gpu")),
    "progress_bar": Key(bool, False),
    "log_to_console": Key(bool, True),
    "console_log_interval": Key(TIME, "1ba"),
    "python_log_level": Key(str, None),
    "callbacks": Key(dict, {}),
    "loggers": Key(dict, {}),
    "algorithms": Key(dict, {}),
    "save_folder": Key(str),
    "save_interval": Key(TIME, "1000ba"),
    "save_num_checkpoints_to_keep": Key(int, -1),
    "save_overwrite": unused(bool, "a run folder is continued with autoresume or refused, never overwritten"),
    "load_path": Key(str, None),
    "load_weights_only": Key(bool, False),
    "autoresume": Key(bool, False),
    "auto_resume": unused(bool, "ModernBERT's recipes mention it in a comment; the key is autoresume"),
    "reset_time": Key(bool, False),
    "restart_override": Key(bool, False),
    "trust_checkpoint": Key(bool, False),
    "fsdp_config": fixed(dict, None),
    "compile_config": fixed(dict, None),
    "init_from_checkpoint": fixed(dict, None),
    "n_gpus": unused(int, "counted at run time"),
    "device_train_batch_size": unused(int, "follows from global_train_batch_size"),
}

MODEL = {
    "name": fixed(str, "flex_bert"),
    "pretrained_model_name": unused(str, "ModernBERT read defaults of another model from it; the config is complete"),
    "pretrained_checkpoint": fixed(str, None),
    "tokenizer_name": Key(str),
    "gradient_checkpointing": Key(bool, False),
    "recompute_metric_loss": unused(bool, "train metrics are never computed twice here"),
    "disable_train_metrics": unused(bool, "no metric but the loss is computed while training"),
    "attention_backend": Key(str, "auto"),
    "model_config": Key(dict),
}

PACKED = "documents are always packed, never padded"
MODEL_CONFIG = {
    "vocab_size": Key(int),
    "hidden_size": Key(int),
    "intermediate_size": Key(int),
    "num_hidden_layers": Key(int),
    "num_attention_heads": Key(int),
    "hidden_act": Key(str, "gelu"),
    "head_pred_act": Key(str, "gelu"),
    "head_pred_bias": Key(bool, False),
    "head_pred_dropout": fixed(float, 0.0),
    "head_pred_norm": fixed(bool, True),
    "attention_layer": fixed(str, "rope"),
    "attention_probs_dropout_prob": Key(float, 0.0),
    "attn_out_bias": Key(bool, False),
    "attn_out_dropout_prob": Key(float, 0.0),
    "attn_qkv_bias": Key(bool, False),
    "bert_layer": fixed(str, "prenorm"),
    "decoder_bias": Key(bool, True),
    "embed_dropout_prob": Key(float, 0.0),
    "embed_norm": fixed(bool, True),
    "embedding_layer": fixed(str, "sans_pos"),
    "encoder_layer": fixed(str, "base"),
    "final_norm": fixed(bool, True),
    "global_attn_every_n_layers": Key(int),
    "init_cutoff_factor": Key(float, 2.0),
    "init_method": fixed(str, "full_megatron"),
    "init_small_embedding": fixed(bool, False),
    "init_std": Key(float, 0.02),
    "initial_attention_layer": fixed(str, None),
    "initial_bert_layer": fixed(str, None),
    "initial_mlp_layer": fixed(str, None),
    "num_initial_layers": unused(int, "there are no other initial layers"),
    "local_attn_rotary_emb_base": Key(float, -1.0),
    "local_attn_rotary_emb_dim": fixed(int, None),
    "loss_function": fixed(str, "cross_entropy", "fa_cross_entropy"),
    "loss_kwargs": fixed(dict, {}, {"reduction": "mean"}),
    "masked_prediction": unused(bool, "only masked positions ever reach the vocabulary"),
    "mlp_dropout_prob": Key(float, 0.0),
    "mlp_in_bias": Key(bool, False),
    "mlp_layer": fixed(str, "glu"),
    "mlp_out_bias": Key(bool, False),
    "normalization": fixed(str, "layernorm"),
    "norm_kwargs": Key(dict, {}),
    "compile_model": Key(bool, False),
    "rotary_emb_base": Key(float, 10_000.0),
    "rotary_emb_dim": fixed(int, None),
    "rotary_emb_interleaved": fixed(bool, False),
    "rotary_emb_scale_base": fixed(float, None),
    "skip_first_prenorm": fixed(bool, True),
    "sliding_window": Key(int),
    "activation_function": unused(str, "hidden_act and head_pred_act decide"),
    "allow_embedding_resizing": unused(bool, "vocab_size is taken as written"),
    "deterministic_fa2": unused(bool, "seeds make a run repeatable as far as the kernels do"),
    "pad_logits": unused(bool, PACKED),
    "padding": unused(str, PACKED),
    "unpad_embeddings": unused(bool, PACKED),
    "use_fa2": unused(bool, "the kernel is chosen at run time, or by model.attention_backend"),
    "use_sdpa_attn_mask": unused(bool, "the kernel is chosen at run time, or by model.attention_backend"),
}

LOADER = {
    "name": fixed(str, "text"),
    "dataset": Key(dict),
    "drop_last": Key(bool),
    "num_workers": Key(int),
    "pin_memory": Key(bool, True),
    "prefetch_factor": Key(int, 2),
    "persistent_workers": unused(bool, "workers live as long as the loader"),
    "timeout": Key(float, 0),
    "sequence_packing": Key(bool, False),
    "packing_buffer_size": Key(int, None),
    "packing_prefetch_factor": unused(int, "prefetch_factor counts whole packed batches"),
    "batch_size_warmup_min_size": Key(int, None),
    "batch_size_warmup_tokens": Key(TIME, None),
}

DATASET = {
    "local": Key(str),
    "remote": fixed(str, None),
    "split": Key(str),
    "tokenizer_name": unused(str, "model.tokenizer_name is the tokenizer"),
    "max_seq_len": Key(int),
    "shuffle": Key(bool, False),
    "shuffle_seed": Key(int, 42),
    "mlm_probability": Key(float),
    "mask_special_tokens": Key(bool, False),
    "streaming": fixed(bool, False),
}

OPTIMIZER = {
    "name": fixed(str, "decoupled_stableadamw", "stableadamw", "decoupled_adamw", "adamw"),
    "lr": Key(float),
    "betas": Key(list),
    "eps": Key(float),
    "weight_decay": Key(float),
    "filter_bias_norm_wd": Key(bool, False),
    "log_grad_norm": unused(bool, "the gradient norm is always computed; the log_grad_norm callback logs it"),
}

FRACTION = "a duration such as 1_000_000tok or 0.1dur"
SCHEDULERS = {
    "constant_with_warmup": {"t_warmup": Key(FRACTION), "t_max": unused(FRACTION, "the schedule has no end")},
    "linear_decay_with_warmup": {"t_warmup": Key(FRACTION), "alpha_f": Key(float, 0.0)},
    "cosine_with_warmup": {"t_warmup": Key(FRACTION), "alpha_f": Key(float, 0.0)},
    "warmup_stable_decay": {
        "t_warmup": Key(FRACTION),
        "alpha_f": Key(float, 0.0),
        "t_decay": Key(FRACTION, "0.1dur"),
        "t_max": unused(FRACTION, "always max_duration"),
    },
    "one_minus_sqrt": {
        "t_decay": Key(FRACTION, "0.1dur"),
        "t_max": Key(FRACTION, "1dur"),
        "alpha_f": Key(float, 0.1),
    },
}

CALLBACKS = {
    "speed_monitor": {"window_size": Key(int, 1), "gpu_flops_available": Key(float, None)},
    "lr_monitor": {},
    "scheduled_gc": {"batch_interval": Key(int, 100_000)},
    "log_grad_norm": {
        "batch_log_interval": Key(int, 10),
        "log_optimizer_metrics": unused(bool, "the gradient norm is all that is logged"),
    },
    "packing_efficiency": {"log_interval": Key(int, 10)},
    "dataloader_speed": {},
    "memory_monitor": {},
    "runtime_estimator": {},
    "optimizer_monitor": {},
}

LOGGERS = {"wandb": None, "tensorboard": None, "file_logger": None}  # their own keyword arguments pass through
ALGORITHMS = {"gradient_clipping": {"clipping_type": fixed(str, "norm", "value"), "clipping_threshold": Key(float)}}
