"""Masked language modelling: some tokens of a document are hidden and predicted from the others."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch.nn.functional as F
from composer.metrics.nlp import LanguageCrossEntropy, LanguagePerplexity, MaskedAccuracy
from torch import Tensor, nn
from torchmetrics import Metric
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.modeling.labels import IGNORED_LABEL
from bioclinical.pretraining.architectures import Architecture
from bioclinical.pretraining.data.rows import Example, Row
from bioclinical.pretraining.recipe import schema


@dataclass(frozen=True)
class Masking:
    """The 80/10/10 rule of BERT: of the chosen tokens 80 % become [MASK], 10 % a random token, 10 % stay.

    `maskable` (bool per id) tells which ids may be chosen, `random_ids` which may be drawn as replacement.
    """

    probability: float
    mask_id: int
    maskable: np.ndarray
    random_ids: np.ndarray
    seed: int

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerFast, vocabulary: int, probability: float, seed: int, mask_special: bool
    ) -> "Masking":
        """Special tokens are neither masked nor drawn; with `mask_special` both, as in ModernBERT's own training."""
        if tokenizer.mask_token_id is None:
            raise UserError(f"the tokenizer '{tokenizer.name_or_path}' has no mask token; masked training needs one")
        ordinary = np.ones(vocabulary, bool)
        ordinary[len(tokenizer) :] = False
        maskable = np.ones(vocabulary, bool)
        if not mask_special:
            ordinary[tokenizer.all_special_ids] = False
            maskable[tokenizer.all_special_ids] = False
        return cls(probability, tokenizer.mask_token_id, maskable, np.flatnonzero(ordinary), seed)

    def __call__(self, ids: np.ndarray, epoch: int, document: int, window: int = 0) -> Example:
        """The target `labels` holds the masked ids, and -100 where nothing is predicted.

        A pure function of the seed, the epoch and the document (and its window): the same on every rank and in every
        row.
        """
        rng = np.random.default_rng((self.seed, epoch, document, window))
        draw = rng.random(len(ids))
        replacements = rng.choice(self.random_ids, len(ids))
        chosen = (draw < self.probability) & self.maskable[ids]
        labels = np.where(chosen, ids, IGNORED_LABEL)
        inputs = ids.copy()
        masked = chosen & (draw < 0.8 * self.probability)
        inputs[masked] = self.mask_id
        replaced = chosen & ~masked & (draw < 0.9 * self.probability)
        inputs[replaced] = replacements[replaced]
        return Example(inputs, {"labels": labels}, {"masked_tokens": int(chosen.sum())})


class MaskedTokens:
    """One network with a masked-language-model head; the loss is the mean cross-entropy over masked tokens."""

    terms = {"masked_tokens": 1.0}  # noqa: RUF012 (never changed)
    exported = {"": "model"}  # noqa: RUF012

    def __init__(self, keys: schema.MaskedTokens, architecture: Architecture, tokenizer: PreTrainedTokenizerFast):
        self.architecture = architecture
        self.tokenizer = tokenizer
        self.vocabulary = architecture.config.vocab_size

    def examples(self, dataset: schema.Dataset) -> Masking:
        return Masking.of(
            self.tokenizer,
            self.vocabulary,
            dataset.mlm_probability,
            dataset.shuffle_seed,
            dataset.mask_special_tokens,
        )

    def networks(self, seed: int) -> dict[str, nn.Module]:
        return {"model": self.architecture.new_model(seed)}

    def loss_sums(self, networks: Mapping[str, nn.Module], row: Row) -> dict[str, Tensor]:
        logits, labels = self.predictions(networks, row)
        return {"masked_tokens": F.cross_entropy(logits.float(), labels, reduction="sum")}

    def predictions(self, networks: Mapping[str, nn.Module], row: Row) -> tuple[Tensor, Tensor]:
        """Logits (masked, vocabulary) and labels (masked,): only masked positions ever reach the vocabulary."""
        labels = row["targets"]["labels"]
        masked = (labels != IGNORED_LABEL).nonzero().flatten()
        hidden = self.architecture.encode(networks["model"], row)
        return self.architecture.vocabulary_logits(networks["model"], hidden[masked]), labels[masked]

    def metrics(self) -> dict[str, Metric]:
        metrics = (LanguageCrossEntropy(), LanguagePerplexity(), MaskedAccuracy())
        return {type(metric).__name__: metric for metric in metrics}

    def update(self, metric: Metric, predictions: tuple[Tensor, Tensor]) -> int:
        logits, labels = predictions
        metric.update(logits.float(), labels)
        return len(labels)

    def training_flops(self, networks: Mapping[str, nn.Module], row: Row) -> float | None:
        return self.architecture.training_flops(networks["model"], row, row["weights"]["masked_tokens"])
