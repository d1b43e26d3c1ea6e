"""ALBERT's second task beside masked tokens: do two halves of a text stand in their order?

Source: Lan et al. 2019 (arXiv:1909.11942) and Google's code. A document is cut behind one of its sentences and half of
the documents are put together the other way round. Two departures: a document of one sentence is cut between two words
(Google's takes the second half from another document), and the text's last token gives way to the separator, so that
documents keep the length that rows were planned with.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AlbertForPreTraining, PreTrainedModel, PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.modeling.chunks import sum_over_chunks
from bioclinical.pretraining.architectures import Architecture
from bioclinical.pretraining.architectures.padded import PaddedEncoder
from bioclinical.pretraining.data.rows import Example, Row
from bioclinical.pretraining.objectives.masked_tokens import MaskedTokens, Masking, word_starts
from bioclinical.pretraining.objectives.vocabulary_loss import vocabulary_loss
from bioclinical.pretraining.recipe import schema
from bioclinical.text.labels import IGNORED_LABEL
from bioclinical.text.vocabulary_match import entries_of

ORDER = 2  # keeps these random numbers apart from the masks'
SENTENCE_ENDS = (".", "!", "?")


@dataclass(frozen=True)
class Halves:
    """Masked documents of two halves. ends, starts: (vocabulary,) bool, ids that end a sentence, that begin a word."""

    masking: Masking
    separator: int
    ends: np.ndarray
    starts: np.ndarray

    def __call__(self, ids: np.ndarray, epoch: int, document: int, window: int = 0, clock: int = 0) -> Example:
        """Targets beside the masks: `segments` (0 and 1); `order`, at the first token 1 for the other way round or 0.

        Documents of fewer than three tokens of text stay as they are, without a second task.
        """
        rng = np.random.default_rng((self.masking.seed, epoch, document, window, ORDER))
        text = ids[1:-2]
        segments, order = np.zeros(len(ids), np.int64), np.full(len(ids), IGNORED_LABEL)
        if len(text) >= 2:
            cut, order[0] = self.cut(text, rng), int(rng.random() < 0.5)
            first, second = (text[cut:], text[:cut]) if order[0] else (text[:cut], text[cut:])
            ids = np.concatenate([ids[:1], first, [self.separator], second, ids[-1:]])
            segments[len(first) + 2 :] = 1
        example = self.masking(ids, epoch, document, window, clock)
        weights = example.weights | {"sentence_order": int(order[0] != IGNORED_LABEL)}
        return Example(example.input_ids, example.targets | {"segments": segments, "order": order}, weights)

    def cut(self, text: np.ndarray, rng: np.random.Generator) -> int:
        """Behind a sentence; else, before a word; else anywhere. Both halves have tokens."""
        for places in (self.ends[text[:-1]], self.starts[text[1:]], np.ones(len(text) - 1, bool)):
            if places.any():
                return int(rng.choice(np.flatnonzero(places))) + 1
        raise AssertionError("a text of two tokens can be cut")


class SentenceOrder(MaskedTokens):
    """ALBERT with both of its heads; the loss is the sum of both tasks' means."""

    terms = {"masked_tokens": 1.0, "sentence_order": 1.0}  # noqa: RUF012 (never changed)

    def __init__(self, keys: schema.SentenceOrder, architecture: Architecture, tokenizer: PreTrainedTokenizerFast):
        super().__init__(keys, architecture, tokenizer)
        if architecture.config.model_type != "albert":
            raise UserError(
                f"objective.name: sentence_order needs model.architecture albert, not {architecture.config.model_type}"
            )

    def examples(self, dataset: schema.Dataset) -> Halves:
        ends = np.zeros(self.vocabulary, bool)
        for i, entry in entries_of(self.tokenizer).items():
            ends[i] = entry.text.endswith(SENTENCE_ENDS)
        starts = word_starts(self.tokenizer, self.vocabulary)
        return Halves(super().examples(dataset), self.tokenizer.sep_token_id, ends, starts)

    @staticmethod
    def blank(network: str, architecture: Architecture) -> PreTrainedModel:
        return new_albert(architecture, 0)

    def networks(self, seed: int) -> dict[str, nn.Module]:
        return {"model": new_albert(self.architecture, seed)}

    def loss_sums(self, networks: Mapping[str, nn.Module], row: Row) -> dict[str, Tensor]:
        model, order = networks["model"], row["targets"]["order"]
        hidden = self.encode(model, row)
        masked, labels = hidden[row["predicted"]], row["targets"]["labels"][row["predicted"]]
        tokens = sum_over_chunks(lambda *two: vocabulary_loss(self.architecture, model, *two), masked, labels)
        firsts = row["cu_seqlens"][:-1].long()
        scores = model.sop_classifier(model.albert.pooler_activation(model.albert.pooler(hidden[firsts]))).float()
        cross_entropy = F.cross_entropy(scores, order[firsts], ignore_index=IGNORED_LABEL, reduction="sum")
        return {"masked_tokens": tokens, "sentence_order": cross_entropy}

    def encode(self, model: AlbertForPreTraining, row: Row) -> Tensor:
        return self.architecture.encode(model, {**row, "segments": row["targets"]["segments"]})

    def predicted(self, networks: Mapping[str, nn.Module], row: Row) -> tuple[Tensor, Tensor]:
        hidden = self.encode(networks["model"], row)
        return hidden[row["predicted"]], row["targets"]["labels"][row["predicted"]]


def new_albert(architecture: PaddedEncoder, seed: int) -> AlbertForPreTraining:
    torch.manual_seed(seed)
    model = AlbertForPreTraining._from_config(
        architecture.config, attn_implementation=architecture.attention.value, torch_dtype=torch.float32
    )
    model.sop_classifier.dropout.p = 0.0  # Google's has none; Hugging Face's takes that of fine-tuned classifiers
    return model
