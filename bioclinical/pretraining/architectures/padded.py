"""Padded Hugging Face encoders (BERT, RoBERTa, ALBERT, ELECTRA, DeBERTa-v2), computed by their own forward.

The documents of a row are sorted into groups of similar length; each group is one padded call of the encoder. Hidden
states come back without padding, in the row's order, so that everything behind them is the same as for packed models.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    DebertaV2Config,
    DebertaV2ForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForMaskedLM,
)
from transformers.activations import ACT2FN

from bioclinical.errors import UserError
from bioclinical.modeling.flops import COUNTED, forward_flops, matrix_weights
from bioclinical.pretraining.architectures.special_ids import expect_room, special_ids
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.data.rows import Row
from bioclinical.pretraining.recipe import schema
from bioclinical.runtime.choice import Choice
from bioclinical.text.lengths import OFFSET_POSITION_FAMILIES, context_limit

# A group ends before a document shorter than this share of its longest: at most a quarter of a group is padding.
SIMILAR = 0.75


@dataclass(frozen=True)
class Family:
    """Hugging Face's classes, and how a model maps hidden states (n, hidden) to logits (n, vocabulary)."""

    config_class: type[PretrainedConfig]
    model_class: type[PreTrainedModel]
    head: Callable[[PreTrainedModel, Tensor], Tensor]


def electra_head(model: ElectraForMaskedLM, hidden: Tensor) -> Tensor:
    return model.generator_lm_head(model.generator_predictions(hidden))


FAMILIES = {
    "bert": Family(BertConfig, BertForMaskedLM, lambda model, hidden: model.cls(hidden)),
    "roberta": Family(RobertaConfig, RobertaForMaskedLM, lambda model, hidden: model.lm_head(hidden)),
    "electra": Family(ElectraConfig, ElectraForMaskedLM, electra_head),
    "albert": Family(AlbertConfig, AlbertForMaskedLM, lambda model, hidden: model.predictions(hidden)),
    "deberta-v2": Family(DebertaV2Config, DebertaV2ForMaskedLM, lambda model, hidden: model.cls(hidden)),
}


class PaddedEncoder:
    """A masked language model of one of the FAMILIES."""

    is_padded = True
    is_causal = False
    has_causal_form = False
    computation = (
        "hidden_act", "layer_norm_eps", "position_embedding_type", "relative_attention", "position_biased_input",
        "position_buckets", "max_relative_positions", "share_att_key", "norm_rel_ebd",
    )  # fmt: skip

    def __init__(self, config: PretrainedConfig, compute: Compute):
        self.config = config
        self.compute = compute
        self.family = FAMILIES[config.model_type]
        if compute.attention != "auto":
            raise UserError(
                f"model.attention_backend: '{compute.attention}' is for ModernBERT; {config.model_type} is computed by "
                "Hugging Face's own forward, use auto"
            )
        kernel = "sdpa" if self.family.model_class._supports_sdpa else "eager"
        self.attention = Choice(kernel, "Hugging Face's own forward, padded")

    @property
    def longest(self) -> int | None:
        return context_limit(self.config)

    def new_model(self, seed: int) -> PreTrainedModel:
        torch.manual_seed(seed)
        return self.family.model_class._from_config(
            self.config, attn_implementation=self.attention.value, torch_dtype=torch.float32
        )

    def compile(self, model: PreTrainedModel) -> None:
        return None

    def layers(self, model: PreTrainedModel) -> nn.ModuleList:
        if self.config.model_type == "albert":
            raise UserError("freeze_layers: albert's layers share their weights; leave it out")
        return model.base_model.encoder.layer

    def encode(self, model: PreTrainedModel, row: Row, causal: bool = False) -> Tensor:
        def compute(ids: Tensor, lengths: Tensor, segments: Tensor | None = None) -> Tensor:
            mask = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
            outputs = model.base_model(input_ids=ids, attention_mask=mask.long(), token_type_ids=segments)
            return outputs.last_hidden_state

        return padded_groups(row, self.config.pad_token_id, compute)

    def vocabulary_logits(self, model: PreTrainedModel, hidden: Tensor) -> Tensor:
        return self.family.head(model, hidden)

    def computed_tokens(self, lengths: list[int]) -> int:
        return sum(len(group) * lengths[group[0]] for group in similar_lengths(lengths))

    def training_flops(self, model: PreTrainedModel, row: Row, predicted: int, causal: bool = False) -> float | None:
        """3 forward passes' worth; the head and vocabulary see the predicted tokens only."""
        if self.config.model_type not in COUNTED:
            return None
        encoder = matrix_weights(model.base_model)
        head = matrix_weights(model) - encoder
        lengths = np.array(row["lengths"])
        return 3.0 * forward_flops(self.config, encoder, lengths, head, predicted)

    def finish_folder(self, folder: Path) -> None:
        """Every version of transformers reads these configs alike."""


def padded_groups(row: Row, padding: int, compute: Callable[..., Tensor], similar: float = SIMILAR) -> Tensor:
    """Hidden states (tokens, hidden) of a row by calls of `compute`: padded ids (documents, longest), their lengths
    and, where the row has them, segments -> hidden states (documents, longest, hidden).
    """
    documents = row["input_ids"].split(row["lengths"])
    segments = row["segments"].split(row["lengths"]) if "segments" in row else None
    hidden: list[Tensor | None] = [None] * len(documents)
    for group in similar_lengths([len(one) for one in documents], similar):
        ids = pad_sequence([documents[number] for number in group], batch_first=True, padding_value=padding)
        lengths = torch.tensor([len(documents[number]) for number in group], device=ids.device)
        beside = [pad_sequence([segments[number] for number in group], batch_first=True)] if segments else []
        states = compute(ids, lengths, *beside)
        for place, number in enumerate(group):
            hidden[number] = states[place, : len(documents[number])]
    return torch.cat(hidden)


def similar_lengths(lengths: list[int], similar: float = SIMILAR) -> list[list[int]]:
    """Numbers of the documents in groups of similar length (all in one with 0), the longest first in each."""
    groups: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda one: -lengths[one]):
        if groups and lengths[number] >= similar * lengths[groups[-1][0]]:
            groups[-1].append(number)
        else:
            groups.append([number])
    return groups


def from_recipe(
    model: schema.Model, positions: int, tokenizer: PreTrainedTokenizerFast, compute: Compute
) -> PaddedEncoder:
    return PaddedEncoder(hf_config(model.architecture, model.model_config, positions, tokenizer), compute)


def from_config(config: PretrainedConfig, compute: Compute) -> PaddedEncoder:
    return PaddedEncoder(config, compute)


def hf_config(
    name: str, keys: schema.BertConfig, positions: int, tokenizer: PreTrainedTokenizerFast
) -> PretrainedConfig:
    """Hugging Face's config of a family. positions: the longest document it will see.

    Raises UserError for sizes that do not fit each other, the tokenizer or the documents.
    """
    expect_room(keys.vocab_size, keys.vocab_size, tokenizer)
    if tokenizer.pad_token_id is None:
        raise UserError(f"the tokenizer '{tokenizer.name_or_path}' has no padding token; a padded model needs one")
    if keys.hidden_act not in ACT2FN:
        raise UserError(f"model.model_config.hidden_act: '{keys.hidden_act}' is unknown; as a rule it is gelu")
    if keys.hidden_size % keys.num_attention_heads:
        raise UserError(
            f"model.model_config.hidden_size: {keys.hidden_size} must be a multiple of num_attention_heads "
            f"({keys.num_attention_heads})"
        )
    offset = tokenizer.pad_token_id + 1 if name in OFFSET_POSITION_FAMILIES else 0
    values = dataclasses.asdict(keys) | special_ids(tokenizer)
    values["max_position_embeddings"] = keys.max_position_embeddings or positions + offset
    config = FAMILIES[name].config_class(**values)
    limit = context_limit(config)
    if limit is not None and limit < positions:
        raise UserError(
            f"model.model_config.max_position_embeddings: {keys.max_position_embeddings} is room for {limit:,} tokens, "
            f"but documents have up to {positions:,}; use {positions + offset} or null, or a lower max_seq_len"
        )
    return config
