"""ModernBERT over packed documents: config from FlexBERT's keys, Hugging Face's model, no padding anywhere."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import ModernBertConfig, ModernBertForMaskedLM, PreTrainedTokenizerFast
from transformers.activations import ACT2FN

from bioclinical.errors import UserError
from bioclinical.modeling.backend_choice import choose_packed_backend
from bioclinical.modeling.flops import forward_flops, matrix_weights
from bioclinical.modeling.modernbert import (
    LayerSteps,
    compiled_steps,
    encode,
    layer_kinds,
    rope_theta,
    set_output_dropout,
)
from bioclinical.modeling.window import WHOLE_DOCUMENT
from bioclinical.pretraining.architectures.special_ids import expect_room, special_ids
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.data.rows import Row
from bioclinical.pretraining.recipe import schema
from bioclinical.pretraining.recipe.sections import read_section


class PackedModernBert:
    """ModernBertForMaskedLM; documents lie behind each other in a row and attention stays within each.

    output_dropout: behind the attention's output projection, which FlexBERT has and Hugging Face's config has not.
    """

    is_padded = False
    is_causal = False
    has_causal_form = True
    computation = (
        "global_rope_theta", "local_rope_theta", "local_attention", "global_attn_every_n_layers", "hidden_activation",
        "classifier_activation", "norm_eps",
    )  # fmt: skip

    def __init__(
        self, config: ModernBertConfig, compute: Compute, output_dropout: float = 0.0, compile_model: bool = False
    ):
        self.config = config
        self.compute = compute
        head_dim = config.hidden_size // config.num_attention_heads
        self.attention = choose_packed_backend(compute.attention, compute.device, compute.precision, head_dim)
        self.output_dropout = output_dropout
        self.compile_model = compile_model
        self.steps: LayerSteps | None = None

    @property
    def longest(self) -> int:
        return self.config.max_position_embeddings

    def new_model(self, seed: int) -> ModernBertForMaskedLM:
        torch.manual_seed(seed)
        model = ModernBertForMaskedLM._from_config(self.config, attn_implementation="sdpa", torch_dtype=torch.float32)
        if self.output_dropout:
            set_output_dropout(model.base_model, self.output_dropout)
        return model

    def compile(self, model: ModernBertForMaskedLM) -> str | None:
        """Compiles everything but attention, for any number of tokens: embeddings, layers, head.

        What the compiler cannot do runs as it stands, and it says so: a run must not end for that.
        """
        if not self.compile_model:
            return None
        if self.compute.device == "cpu":
            return "compile_model: not on a CPU (it gains nothing there)"
        torch._dynamo.config.suppress_errors = True
        for region in (model.model.embeddings, model.head):
            region.compile(dynamic=True)
        self.steps = compiled_steps()
        return "compile_model: embeddings, layers around their attention, and head"

    def layers(self, model: ModernBertForMaskedLM) -> nn.ModuleList:
        return model.model.layers

    def encode(self, model: ModernBertForMaskedLM, row: Row, causal: bool = False) -> Tensor:
        return encode(
            model.base_model, row["input_ids"], row["cu_seqlens"], row["max_seqlen"], self.attention.value, causal,
            self.steps,
        )  # fmt: skip

    def vocabulary_logits(self, model: ModernBertForMaskedLM, hidden: Tensor) -> Tensor:
        return model.decoder(model.head(hidden))

    def computed_tokens(self, lengths: list[int]) -> int:
        return sum(lengths)

    def training_flops(self, model: ModernBertForMaskedLM, row: Row, predicted: int, causal: bool = False) -> float:
        """3 forward passes' worth; head and vocabulary see the predicted tokens only."""
        hidden, lengths = self.config.hidden_size, np.array(row["lengths"], float)
        head = hidden * hidden + hidden * self.config.vocab_size
        return 3.0 * forward_flops(self.config, matrix_weights(model.model.layers), lengths, head, predicted, causal)

    def finish_folder(self, folder: Path) -> None:
        write_both_rope_layouts(folder / "config.json", self.config)


def from_recipe(
    model: schema.Model, positions: int, tokenizer: PreTrainedTokenizerFast, compute: Compute
) -> PackedModernBert:
    keys = model.model_config
    return PackedModernBert(
        hf_config(keys, positions, tokenizer), compute, keys.attn_out_dropout_prob, keys.compile_model
    )


def from_config(config: ModernBertConfig, compute: Compute) -> PackedModernBert:
    return PackedModernBert(config, compute)


def from_flexbert(values: dict[str, Any], tokenizer: PreTrainedTokenizerFast, compute: Compute) -> PackedModernBert:
    """From a FlexBERT model_config as stored in a checkpoint or a YAML; keys unknown here are left alone.

    FlexBERT does not store its context: 8,192 positions where the rotary base was raised for them, else 1,024.
    """
    names = {field.name for field in dataclasses.fields(schema.ModernBertConfig)}
    known = {key: value for key, value in values.items() if key in names}
    keys = read_section("model.model_config.", known, schema.ModernBertConfig)
    return PackedModernBert(hf_config(keys, 8192 if keys.rotary_emb_base >= 160_000 else 1024, tokenizer), compute)


def hf_config(flex: schema.ModernBertConfig, positions: int, tokenizer: PreTrainedTokenizerFast) -> ModernBertConfig:
    """ModernBertConfig with the same computation. positions: the longest document it will see.

    Raises UserError naming a value that Hugging Face's ModernBERT cannot express.
    """
    vocabulary = -(-flex.vocab_size // 8) * 8  # as FlexBERT rounds it
    expect_room(vocabulary, flex.vocab_size, tokenizer)
    for name in ("hidden_act", "head_pred_act"):
        if getattr(flex, name) not in ACT2FN:
            raise UserError(f"model.model_config.{name}: '{getattr(flex, name)}' is unknown; as a rule it is gelu")
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
        **special_ids(tokenizer),
        **attention_pattern(flex),
    )


def both(flex: schema.ModernBertConfig, one: str, other: str) -> bool:
    """The common value of two keys that Hugging Face's config has as one."""
    if getattr(flex, one) != getattr(flex, other):
        raise UserError(f"model.model_config.{one} and {other} must be equal: Hugging Face's ModernBERT has one switch")
    return getattr(flex, one)


def attention_pattern(flex: schema.ModernBertConfig) -> dict[str, Any]:
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


def write_both_rope_layouts(path: Path, config: ModernBertConfig) -> None:
    """Adds what transformers 5 reads to what 4.x reads, so that both rotate every layer alike."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["layer_types"] = [
        "full_attention" if kind.window == WHOLE_DOCUMENT else "sliding_attention" for kind in layer_kinds(config)
    ]
    bases = {name: rope_theta(config, name) for name in ("full_attention", "sliding_attention")}
    content["local_rope_theta"] = bases["sliding_attention"]  # never null, which the two would read differently
    content["rope_parameters"] = {name: {"rope_type": "default", "rope_theta": theta} for name, theta in bases.items()}
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
