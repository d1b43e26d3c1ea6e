"""GPT-2, computed by Hugging Face's own forward: every token sees itself and what stands before it in its document.

The documents of a row are sorted into groups of similar length and padded behind their ends, where no token of a
document can see the padding; hidden states come back without it, in the row's order.
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
from transformers.activations import ACT2FN

from bioclinical.errors import UserError
from bioclinical.modeling.flops import forward_flops
from bioclinical.pretraining.architectures.padded import SIMILAR, padded_groups, similar_lengths
from bioclinical.pretraining.architectures.special_ids import expect_room
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.data.rows import Row
from bioclinical.pretraining.recipe import schema
from bioclinical.runtime.machine import Choice


class Gpt2:
    """GPT2LMHeadModel; its vocabulary head is the table of embeddings."""

    is_padded = True
    is_causal = has_causal_form = True
    computation = ("activation_function", "layer_norm_epsilon", "scale_attn_weights", "scale_attn_by_inverse_layer_idx")

    def __init__(self, config: GPT2Config, compute: Compute):
        self.config = config
        if compute.attention != "auto":
            raise UserError(
                f"model.attention_backend: '{compute.attention}' is for ModernBERT; gpt2 is computed by Hugging Face's "
                "own forward, use auto"
            )
        self.similar = SIMILAR  # 0: every row in one call, as processes need it that gather each block together
        self.attention = Choice("sdpa", "Hugging Face's own forward, causal")

    @property
    def longest(self) -> int:
        return self.config.n_positions

    def new_model(self, seed: int) -> GPT2LMHeadModel:
        torch.manual_seed(seed)
        return GPT2LMHeadModel._from_config(self.config, attn_implementation="sdpa", torch_dtype=torch.float32)

    def compile(self, model: GPT2LMHeadModel) -> None:
        return None

    def layers(self, model: GPT2LMHeadModel) -> nn.ModuleList:
        return model.transformer.h

    def encode(self, model: GPT2LMHeadModel, row: Row, causal: bool = True) -> Tensor:
        def compute(ids: Tensor, _: Tensor) -> Tensor:
            return model.base_model(input_ids=ids, use_cache=False).last_hidden_state

        return padded_groups(row, 0, compute, self.similar)

    def vocabulary_logits(self, model: GPT2LMHeadModel, hidden: Tensor) -> Tensor:
        return model.lm_head(hidden)

    def computed_tokens(self, lengths: list[int]) -> int:
        return sum(len(group) * lengths[group[0]] for group in similar_lengths(lengths, self.similar))

    def training_flops(self, model: GPT2LMHeadModel, row: Row, predicted: int, causal: bool = True) -> float:
        """3 forward passes' worth; the vocabulary sees the predicted tokens only."""
        config, lengths = self.config, np.array(row["lengths"], float)
        inner = config.n_inner or 4 * config.n_embd
        weights = config.n_layer * config.n_embd * (4 * config.n_embd + 2 * inner)
        head = config.n_embd * config.vocab_size
        return 3.0 * forward_flops(config, weights, lengths, head, predicted, is_causal=True)

    def finish_folder(self, folder: Path) -> None:
        """Every version of transformers reads this config alike."""


def from_recipe(model: schema.Model, positions: int, tokenizer: PreTrainedTokenizerFast, compute: Compute) -> Gpt2:
    return Gpt2(hf_config(model.model_config, positions, tokenizer), compute)


def from_config(config: GPT2Config, compute: Compute) -> Gpt2:
    return Gpt2(config, compute)


def hf_config(keys: schema.Gpt2Config, positions: int, tokenizer: PreTrainedTokenizerFast) -> GPT2Config:
    """GPT-2's config. positions: the longest document it will see.

    Raises UserError for sizes that do not fit each other, the tokenizer or the documents.
    """
    expect_room(keys.vocab_size, keys.vocab_size, tokenizer)
    if keys.activation_function not in ACT2FN:
        raise UserError(
            f"model.model_config.activation_function: '{keys.activation_function}' is unknown; as a rule it is gelu_new"
        )
    if keys.n_embd % keys.n_head:
        raise UserError(f"model.model_config.n_embd: {keys.n_embd} must be a multiple of n_head ({keys.n_head})")
    if keys.n_positions < positions:
        raise UserError(
            f"model.model_config.n_positions: {keys.n_positions:,} is less than the {positions:,} tokens that "
            "documents have; raise it, or lower max_seq_len"
        )
    roles = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos", "pad")}
    return GPT2Config(**dataclasses.asdict(keys), **roles)
