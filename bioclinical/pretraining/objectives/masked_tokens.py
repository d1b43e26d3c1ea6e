"""Masked language modelling: some tokens of a document are hidden and predicted from the others."""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from composer.metrics.nlp import LanguageCrossEntropy, LanguagePerplexity, MaskedAccuracy
from torch import Tensor, nn
from torchmetrics import Metric
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.modeling.chunks import sum_over_chunks
from bioclinical.pretraining.architectures import Architecture
from bioclinical.pretraining.data.id_check import ExpectedIds
from bioclinical.pretraining.data.rows import Example, Row
from bioclinical.pretraining.objectives.counting import choose_tokens, choose_words, number_of_tokens
from bioclinical.pretraining.objectives.vocabulary_loss import vocabulary_loss
from bioclinical.pretraining.recipe import schema
from bioclinical.pretraining.recipe.masking_rate import MaskingRate, MaskingSchedule, masking_rate
from bioclinical.text.labels import IGNORED_LABEL
from bioclinical.text.vocabulary_match import entries_of


@dataclass(frozen=True)
class Masking:
    """BERT's rule: of the chosen tokens, `masked_share` become [MASK], `random_share` a random one, the rest stays.

    rate: the share of tokens that are chosen, by the token clock. `maskable` (bool per id) tells which ids may be
    chosen, `random_ids` which may be drawn as replacement. counting: how many are chosen (counting.py), of documents of
    at most `longest` tokens. starts_word (bool per id): whole words are chosen, up to `longest_ngram` in a row.
    """

    rate: MaskingRate
    mask_id: int
    maskable: np.ndarray
    random_ids: np.ndarray
    seed: int
    masked_share: float = 0.8
    random_share: float = 0.1
    counting: str = "independent"
    longest: int = 512
    starts_word: np.ndarray | None = None
    longest_ngram: int = 1

    @classmethod
    def of(
        cls,
        tokenizer: PreTrainedTokenizerFast,
        vocabulary: int,
        probability: float | MaskingSchedule,
        seed: int,
        mask_special: bool,
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
        return cls(masking_rate(probability), tokenizer.mask_token_id, maskable, np.flatnonzero(ordinary), seed)

    @classmethod
    def from_recipe(
        cls, keys: schema.Masks, dataset: schema.Dataset, tokenizer: PreTrainedTokenizerFast, vocabulary: int
    ) -> "Masking":
        """As the objective's and a split's sections ask for. RoBERTa's own counting chooses special tokens, too."""
        if dataset.mlm_probability is None:
            raise UserError(f"objective {keys.name} needs dataset.mlm_probability in every loader, e.g. 0.15")
        mask_special = dataset.mask_special_tokens
        masking = cls.of(tokenizer, vocabulary, dataset.mlm_probability, dataset.shuffle_seed, mask_special)
        maskable = np.ones_like(masking.maskable) if keys.counting == "fairseq" else masking.maskable
        if keys.longest_ngram > 1 and not keys.whole_words:
            raise UserError(
                f"objective.longest_ngram: {keys.longest_ngram} counts words; set objective.whole_words=true"
            )
        if keys.masked_share + keys.random_share > 1:
            raise UserError("objective.masked_share and random_share are more than 1 together; the rest stays as it is")
        return dataclasses.replace(
            masking,
            maskable=maskable,
            masked_share=keys.masked_share,
            random_share=keys.random_share,
            counting=keys.counting,
            longest=dataset.max_seq_len,
            starts_word=word_starts(tokenizer, vocabulary) if keys.whole_words else None,
            longest_ngram=keys.longest_ngram,
        )

    def __call__(self, ids: np.ndarray, epoch: int, document: int, window: int = 0, clock: int = 0) -> Example:
        """The target `labels` holds the masked ids, and -100 where nothing is predicted.

        A pure function of the seed, the epoch and the document (and its window), and of the rate at this time of the
        token clock: the same on every rank and in every row.
        """
        probability = self.rate(clock)
        rng = np.random.default_rng((self.seed, epoch, document, window))
        draw = rng.random(len(ids))
        replacements = rng.choice(self.random_ids, len(ids))
        if self.counting == "independent" and self.starts_word is None:
            chosen = (draw < probability) & self.maskable[ids]
            scale = probability  # the draws of the chosen tokens lie below it
        else:
            chosen, scale = self.counted(ids, probability, rng), 1.0
        labels = np.where(chosen, ids, IGNORED_LABEL)
        inputs = ids.copy()
        masked = chosen & (draw < self.masked_share * scale)
        inputs[masked] = self.mask_id
        replaced = chosen & ~masked & (draw < (self.masked_share + self.random_share) * scale)
        inputs[replaced] = replacements[replaced]
        return Example(inputs, {"labels": labels}, {"masked_tokens": int(chosen.sum())})

    def counted(self, ids: np.ndarray, probability: float, rng: np.random.Generator) -> np.ndarray:
        """(tokens,) bool: a number of tokens, or of whole words, that follows from the document's length."""
        counting = "bert" if self.counting == "independent" else self.counting
        count = number_of_tokens(counting, probability, len(ids), self.longest, rng)
        if self.starts_word is None:
            return choose_tokens(self.maskable[ids], count, rng)
        return choose_words(self.maskable[ids], self.starts_word[ids], count, self.longest_ngram, rng)


def word_starts(tokenizer: PreTrainedTokenizerFast, vocabulary: int) -> np.ndarray:
    """(vocabulary,) bool: ids that begin a word; special tokens stand alone."""
    starts = np.ones(vocabulary, bool)
    for i, entry in entries_of(tokenizer).items():
        starts[i] = entry.starts_word
    return starts


class MaskedTokens:
    """One network with a masked-language-model head; the loss is the mean cross-entropy over masked tokens."""

    terms = {"masked_tokens": 1.0}  # noqa: RUF012 (never changed)
    exported = {"": "model"}  # noqa: RUF012

    def __init__(self, keys: schema.MaskedTokens, architecture: Architecture, tokenizer: PreTrainedTokenizerFast):
        if architecture.is_causal:
            raise UserError(
                f"objective.name: {keys.name} needs a model whose tokens see both sides, which "
                f"{architecture.config.model_type} is not; use objective next_token"
            )
        self.keys = keys
        self.architecture = architecture
        self.tokenizer = tokenizer
        self.vocabulary = architecture.config.vocab_size

    def expected_ids(self) -> ExpectedIds:
        return ExpectedIds(self.vocabulary)

    def examples(self, dataset: schema.Dataset) -> Masking:
        return Masking.from_recipe(self.keys, dataset, self.tokenizer, self.vocabulary)

    @staticmethod
    def blank(network: str, architecture: Architecture) -> PreTrainedModel:
        return architecture.new_model(seed=0)

    def networks(self, seed: int) -> dict[str, nn.Module]:
        return {"model": self.architecture.new_model(seed)}

    def loss_sums(self, networks: Mapping[str, nn.Module], row: Row) -> dict[str, Tensor]:
        cross_entropy = functools.partial(vocabulary_loss, self.architecture, networks["model"])
        return {"masked_tokens": sum_over_chunks(cross_entropy, *self.predicted(networks, row))}

    def predicted(self, networks: Mapping[str, nn.Module], row: Row) -> tuple[Tensor, Tensor]:
        """Hidden states (masked, hidden) and labels (masked,): only masked positions ever reach the vocabulary."""
        hidden = self.architecture.encode(networks["model"], row)
        return hidden[row["predicted"]], row["targets"]["labels"][row["predicted"]]

    def predictions(self, networks: Mapping[str, nn.Module], row: Row) -> tuple[Tensor, Tensor]:
        """Logits (masked, vocabulary) and labels (masked,)."""
        hidden, labels = self.predicted(networks, row)
        return self.architecture.vocabulary_logits(networks["model"], hidden), labels

    def metrics(self) -> dict[str, Metric]:
        metrics = (LanguageCrossEntropy(), LanguagePerplexity(), MaskedAccuracy())
        return {type(metric).__name__: metric for metric in metrics}

    def update(self, metric: Metric, predictions: tuple[Tensor, Tensor]) -> int:
        logits, labels = predictions
        if len(labels):  # in a short row nothing may be masked, which Composer's metrics do not take
            metric.update(logits.float(), labels)
        return len(labels)

    def training_flops(self, networks: Mapping[str, nn.Module], row: Row) -> float | None:
        return self.architecture.training_flops(networks["model"], row, row["weights"]["masked_tokens"])
