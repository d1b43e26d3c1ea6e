"""The architecture as Hugging Face's config, from a FlexBERT model_config or a checkpoint, and a fresh model of it."""

from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedTokenizerFast
from transformers.activations import ACT2FN

from bioclinical.checkpoints.read import Checkpoint
from bioclinical.errors import UserError
from bioclinical.modeling.modernbert import set_output_dropout
from bioclinical.pretraining.recipe import schema
from bioclinical.pretraining.recipe.load import check_section

SPECIAL_IDS = {
    "pad_token_id": "pad_token_id",
    "cls_token_id": "cls_token_id",
    "sep_token_id": "sep_token_id",
    "bos_token_id": "cls_token_id",
    "eos_token_id": "sep_token_id",
}


def hf_config(model_config: DictConfig, positions: int, tokenizer: PreTrainedTokenizerFast) -> ModernBertConfig:
    """ModernBertConfig with the same computation. positions: the longest document it will see.

    Raises UserError naming a value that Hugging Face's ModernBERT cannot express.
    """
    flex = model_config
    vocabulary = -(-flex.vocab_size // 8) * 8  # as FlexBERT rounds it
    if len(tokenizer) > vocabulary:
        raise UserError(
            f"model.model_config.vocab_size: {flex.vocab_size:,} is less than the {len(tokenizer):,} tokens of "
            f"'{tokenizer.name_or_path}'"
        )
    for name in ("hidden_act", "head_pred_act"):
        if flex[name] not in ACT2FN:
            raise UserError(f"model.model_config.{name}: '{flex[name]}' is unknown; as a rule it is gelu")
    if flex.hidden_size % flex.num_attention_heads:
        raise UserError(
            f"model.model_config.hidden_size: {flex.hidden_size} must be a multiple of num_attention_heads "
            f"({flex.num_attention_heads})"
        )
    norm = {"eps": 1e-5, "bias": False, **flex.norm_kwargs}
    if unknown := set(norm) - {"eps", "bias"}:
        raise UserError(f"model.model_config.norm_kwargs: unknown '{unknown.pop()}'; known: eps, bias")
    return ModernBertConfig(
        vocab_size=vocabulary,
        hidden_size=flex.hidden_size,
        intermediate_size=flex.intermediate_size,
        num_hidden_layers=flex.num_hidden_layers,
        num_attention_heads=flex.num_attention_heads,
        hidden_activation=flex.hidden_act,
        classifier_activation=flex.head_pred_act,
        classifier_bias=flex.head_pred_bias,
        classifier_pooling="mean",  # of fine-tuned classifiers, as in ModernBERT's published configs
        decoder_bias=flex.decoder_bias,
        attention_bias=both(flex, "attn_qkv_bias", "attn_out_bias"),
        mlp_bias=both(flex, "mlp_in_bias", "mlp_out_bias"),
        norm_eps=norm["eps"],
        norm_bias=norm["bias"],
        attention_dropout=flex.attention_probs_dropout_prob,
        embedding_dropout=flex.embed_dropout_prob,
        mlp_dropout=flex.mlp_dropout_prob,
        initializer_range=flex.init_std,
        initializer_cutoff_factor=flex.init_cutoff_factor,
        max_position_embeddings=positions,
        **{name: getattr(tokenizer, source) for name, source in SPECIAL_IDS.items()},
        **attention_pattern(flex),
    )


def stored_config(source: Checkpoint, tokenizer: PreTrainedTokenizerFast) -> ModernBertConfig | None:
    """The architecture that a checkpoint states; None where it states none.

    Raises UserError where the tokenizer is not the one of a config that names its special tokens.
    """
    if source.hf_config:
        stored = {key: value for key, value in source.hf_config.items() if key != "transformers_version"}
        config = ModernBertConfig(**stored)
        names = ("pad_token_id", "cls_token_id", "sep_token_id")
        differing = [name for name in names if getattr(config, name) not in (None, getattr(tokenizer, name))]
        if len(tokenizer) > config.vocab_size or differing:
            why = f"{', '.join(differing)} differ" if differing else f"it has {len(tokenizer):,} tokens"
            raise UserError(
                f"'{tokenizer.name_or_path}' is not the tokenizer of this model of {config.vocab_size:,} tokens ({why})"
            )
        return config
    return flex_config(source.model_config, tokenizer) if source.model_config else None


def flex_config(values: dict[str, Any], tokenizer: PreTrainedTokenizerFast) -> ModernBertConfig:
    """A FlexBERT model_config as stored in a checkpoint or a YAML.

    FlexBERT does not store its context: 8,192 positions where the rotary base was raised for them, else 1,024.
    """
    known = {key: value for key, value in values.items() if key in schema.MODEL_CONFIG}
    flex = OmegaConf.create(check_section("model.model_config.", known, schema.MODEL_CONFIG))
    return hf_config(flex, 8192 if flex.rotary_emb_base >= 160_000 else 1024, tokenizer)


def both(flex: DictConfig, one: str, other: str) -> bool:
    """The common value of two keys that Hugging Face's config has as one."""
    if flex[one] != flex[other]:
        raise UserError(f"model.model_config.{one} and {other} must be equal: Hugging Face's ModernBERT has one switch")
    return flex[one]


def attention_pattern(flex: DictConfig) -> dict[str, Any]:
    """Which layers see how far, and their rotary bases; -1 means 'no window' and 'the same base', as in FlexBERT."""
    every, window = flex.global_attn_every_n_layers, flex.sliding_window
    if window == -1:
        every, window = 1, 128  # every layer is global, so that no layer has the window
    if every < 1 or window < 2 or window % 2:
        raise UserError(
            f"model.model_config.sliding_window {flex.sliding_window} with global_attn_every_n_layers "
            f"{flex.global_attn_every_n_layers} cannot be expressed; use an even window and 1 or more, or a window "
            "of -1"
        )
    if (flex.num_hidden_layers - 1) % every:
        raise UserError(
            f"model.model_config.num_hidden_layers: {flex.num_hidden_layers} - 1 must be a multiple of "
            f"global_attn_every_n_layers ({every}), so that the last layer is global, as FlexBERT demands"
        )
    same_base = flex.local_attn_rotary_emb_base == -1
    return {
        "global_attn_every_n_layers": every,
        "local_attention": window,
        "global_rope_theta": flex.rotary_emb_base,
        "local_rope_theta": flex.rotary_emb_base if same_base else flex.local_attn_rotary_emb_base,
    }


def new_model(config: ModernBertConfig, model_config: DictConfig, seed: int) -> ModernBertForMaskedLM:
    """A model with random weights in fp32, and FlexBERT's dropout behind the attention's output projection."""
    torch.manual_seed(seed)
    model = ModernBertForMaskedLM._from_config(config, attn_implementation="sdpa", torch_dtype=torch.float32)
    if model_config.attn_out_dropout_prob:
        set_output_dropout(model.base_model, model_config.attn_out_dropout_prob)
    return model
