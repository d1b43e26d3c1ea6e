"""ELECTRA's two networks: a discriminator with a head of one number per token, and a smaller generator.

They share the embeddings of words (electra: also of positions and segments) and the norm behind them.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import (
    ElectraForPreTraining,
    ModernBertConfig,
    ModernBertModel,
    ModernBertPreTrainedModel,
    PreTrainedModel,
)
from transformers.activations import ACT2FN

from bioclinical.errors import UserError
from bioclinical.modeling.modernbert import set_output_dropout
from bioclinical.pretraining.architectures import Architecture
from bioclinical.pretraining.architectures.modernbert import PackedModernBert
from bioclinical.pretraining.architectures.padded import PaddedEncoder

HEAD_WIDTH = 64  # of the generator's attention heads


class ReplacedTokenHead(nn.Module):
    """Dense layer, activation, one number per token: above 0 where the token seems replaced."""

    def __init__(self, config: ModernBertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.classifier_activation]
        self.out = nn.Linear(config.hidden_size, 1)
        for layer in (self.dense, self.out):
            nn.init.trunc_normal_(layer.weight, std=config.initializer_range)
            nn.init.zeros_(layer.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """(n, hidden) -> (n,)"""
        return self.out(self.activation(self.dense(hidden))).squeeze(-1)


class ModernBertForReplacedTokens(ModernBertPreTrainedModel):
    """ModernBERT's encoder and a head of one number per token. AutoModel loads the encoder of its folder."""

    def __init__(self, config: ModernBertConfig):
        super().__init__(config)
        self.model = ModernBertModel(config)
        self.head = ReplacedTokenHead(config)


@dataclass(frozen=True)
class Pair:
    """How the two networks of an architecture are made, joined and asked."""

    discriminator: Callable[[Architecture, int], PreTrainedModel]
    generator: Callable[[Architecture, float], Architecture]
    share: Callable[[PreTrainedModel, PreTrainedModel], None]
    judge: Callable[[PreTrainedModel, Tensor], Tensor]


def pair_of(architecture: Architecture) -> Pair:
    """Raises UserError for architectures without such a pair."""
    model_type = architecture.config.model_type
    if model_type not in PAIRS:
        raise UserError(
            f"objective.name: replaced_tokens needs model.architecture {' or '.join(PAIRS)}, not {model_type}"
        )
    return PAIRS[model_type]


def electra_discriminator(architecture: PaddedEncoder, seed: int) -> ElectraForPreTraining:
    torch.manual_seed(seed)
    return ElectraForPreTraining._from_config(
        architecture.config, attn_implementation=architecture.attention.value, torch_dtype=torch.float32
    )


def electra_generator(architecture: PaddedEncoder, size: float) -> PaddedEncoder:
    """The same depth and embeddings, `size` of the width, in heads of 64."""
    config = copy.deepcopy(architecture.config)
    config.hidden_size = round(config.hidden_size * size)
    config.num_attention_heads = max(1, config.hidden_size // HEAD_WIDTH)
    config.intermediate_size = 4 * config.hidden_size
    if config.hidden_size % config.num_attention_heads:
        raise UserError(
            f"objective.generator_size: {size} makes a generator of width {config.hidden_size}, which its "
            f"{config.num_attention_heads} attention heads cannot share; use 1/2, 1/3 or 1/4"
        )
    return PaddedEncoder(config, architecture.compute)


def share_electra(discriminator: ElectraForPreTraining, generator: PreTrainedModel) -> None:
    generator.electra.embeddings = discriminator.electra.embeddings
    generator.tie_weights()


def modernbert_discriminator(architecture: PackedModernBert, seed: int) -> ModernBertForReplacedTokens:
    torch.manual_seed(seed)
    model = ModernBertForReplacedTokens._from_config(
        architecture.config, attn_implementation="sdpa", torch_dtype=torch.float32
    )
    if architecture.output_dropout:
        set_output_dropout(model.base_model, architecture.output_dropout)
    return model


def modernbert_generator(architecture: PackedModernBert, size: float) -> PackedModernBert:
    """The same width, `size` of the depth (as DeBERTa-v3's), the last layer global: ModernBERT has no projection behind
    its embeddings, so that a narrower network could not share them.
    """
    config = copy.deepcopy(architecture.config)
    every = config.global_attn_every_n_layers
    config.num_hidden_layers = 1 + every * max(0, round((config.num_hidden_layers * size - 1) / every))
    return PackedModernBert(config, architecture.compute, architecture.output_dropout, architecture.compile_model)


def share_modernbert(discriminator: ModernBertForReplacedTokens, generator: PreTrainedModel) -> None:
    generator.model.embeddings = discriminator.model.embeddings
    generator.tie_weights()


PAIRS = {
    "electra": Pair(
        electra_discriminator,
        electra_generator,
        share_electra,
        lambda model, hidden: model.discriminator_predictions(hidden),
    ),
    "modernbert": Pair(
        modernbert_discriminator, modernbert_generator, share_modernbert, lambda model, hidden: model.head(hidden)
    ),
}
