"""Causal language modelling: each token is predicted from those before it."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from composer.metrics.nlp import LanguageCrossEntropy, LanguagePerplexity
from torch import Tensor, nn
from torchmetrics import Metric
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.modeling.chunks import sum_over_chunks
from bioclinical.pretraining.architectures import Architecture
from bioclinical.pretraining.data.id_check import ExpectedIds
from bioclinical.pretraining.data.rows import Example, Row
from bioclinical.pretraining.objectives.bits_per_byte import BitsPerByte, bytes_of_ids
from bioclinical.pretraining.objectives.vocabulary_loss import vocabulary_loss
from bioclinical.pretraining.recipe import schema
from bioclinical.text.labels import IGNORED_LABEL


@dataclass(frozen=True)
class Shifted:
    """ids -> the same ids, and for each the one that follows it in its document; nothing follows the last one."""

    end_id: int
    end_text: str
    forbidden: frozenset[int]

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast) -> "Shifted":
        """Documents must end with the tokenizer's [EOS] (or [SEP]) and hold no mask and no padding."""
        end = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
        if end is None:
            raise UserError(f"the tokenizer '{tokenizer.name_or_path}' has no token for the end of a text")
        never = {tokenizer.mask_token_id, tokenizer.pad_token_id} - {None, end}
        return cls(end, tokenizer.convert_ids_to_tokens(end), frozenset(never))

    def __call__(self, ids: np.ndarray, epoch: int, document: int, window: int = 0, clock: int = 0) -> Example:
        if ids[-1] != self.end_id or self.forbidden.intersection(ids.tolist()):
            raise UserError(
                f"document {document} was not converted for next_token: it must end with {self.end_text} and hold "
                f"neither padding nor masks; convert the text again with --bos_text '' --eos_text '{self.end_text}'"
            )
        labels = np.append(ids[1:], IGNORED_LABEL)
        return Example(ids, {"labels": labels}, {"next_token": len(ids) - 1})


class NextToken:
    """One network with a language-model head; the loss is the mean cross-entropy over all tokens but the first ones."""

    terms = {"next_token": 1.0}  # noqa: RUF012 (never changed)
    exported = {"": "model"}  # noqa: RUF012

    def __init__(self, keys: schema.NextToken, architecture: Architecture, tokenizer: PreTrainedTokenizerFast):
        if not architecture.has_causal_form:
            raise UserError(
                f"objective.name: next_token needs a model whose tokens see only what stands before them, and "
                f"{architecture.config.model_type} has no such form here; use model.architecture modernbert or gpt2, "
                "or objective masked_tokens"
            )
        self.architecture = architecture
        self.tokenizer = tokenizer
        self.vocabulary = architecture.config.vocab_size
        self.is_joined = keys.boundaries == "joined"

    def expected_ids(self) -> ExpectedIds:
        end = Shifted.of(self.tokenizer)
        return ExpectedIds(self.vocabulary, end.end_id, end.forbidden)

    def examples(self, dataset: schema.Dataset) -> Shifted:
        return Shifted.of(self.tokenizer)

    @staticmethod
    def blank(network: str, architecture: Architecture) -> PreTrainedModel:
        return architecture.new_model(seed=0)

    def networks(self, seed: int) -> dict[str, nn.Module]:
        return {"model": self.architecture.new_model(seed)}

    def loss_sums(self, networks: Mapping[str, nn.Module], row: Row) -> dict[str, Tensor]:
        cross_entropy = functools.partial(vocabulary_loss, self.architecture, networks["model"])
        return {"next_token": sum_over_chunks(cross_entropy, *self.predicted(networks, row))}

    def predicted(self, networks: Mapping[str, nn.Module], row: Row) -> tuple[Tensor, Tensor]:
        """Hidden states (n, hidden) of the tokens that another one follows, and which (n,)."""
        attended = joined(row, self.architecture.longest) if self.is_joined else row
        hidden = self.architecture.encode(networks["model"], attended, causal=True)
        return hidden[row["predicted"]], row["targets"]["labels"][row["predicted"]]

    def predictions(self, networks: Mapping[str, nn.Module], row: Row) -> tuple[Tensor, Tensor]:
        """Logits (n, vocabulary) and labels (n,)."""
        hidden, labels = self.predicted(networks, row)
        return self.architecture.vocabulary_logits(networks["model"], hidden), labels

    def metrics(self) -> dict[str, Metric]:
        sizes = bytes_of_ids(self.tokenizer, self.vocabulary)
        metrics = (LanguageCrossEntropy(), LanguagePerplexity(), BitsPerByte(sizes))
        return {type(metric).__name__: metric for metric in metrics}

    def update(self, metric: Metric, predictions: tuple[Tensor, Tensor]) -> int:
        logits, labels = predictions
        if len(labels):  # a row of single tokens predicts nothing, which Composer's metrics do not take
            metric.update(logits.float(), labels)
        return len(labels)

    def training_flops(self, networks: Mapping[str, nn.Module], row: Row) -> float | None:
        attended = joined(row, self.architecture.longest) if self.is_joined else row
        return self.architecture.training_flops(networks["model"], attended, row["weights"]["next_token"], causal=True)


def joined(row: Row, length: int) -> Row:
    """The row as one text cut every `length` tokens, wherever its documents begin and end."""
    ids = row["input_ids"]
    bounds = torch.arange(0, len(ids) + length, length).clamp(max=len(ids))
    cu_seqlens = bounds.to(ids.device, torch.int32, non_blocking=True)
    return {**row, "cu_seqlens": cu_seqlens, "lengths": bounds.diff().tolist(), "max_seqlen": min(length, len(ids))}
