"""ELECTRA: a generator fills chosen tokens, and the model tells for every token whether it was replaced.

Source: Clark et al. 2020 (arXiv:2003.10555). Two departures: positions are chosen without replacement, and the filling
is drawn by one uniform number per token, which the document's reading gives, so that it depends on seed, epoch and
document alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import Metric
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.pretraining.architectures import Architecture
from bioclinical.pretraining.data.id_check import ExpectedIds
from bioclinical.pretraining.data.rows import Example, Row
from bioclinical.pretraining.objectives.generator_pair import pair_of
from bioclinical.pretraining.objectives.masked_tokens import Masking
from bioclinical.pretraining.objectives.replaced_metrics import RATIOS, Ratio, ReplacedAUROC
from bioclinical.pretraining.recipe import schema
from bioclinical.text.labels import IGNORED_LABEL

DRAWS = 1  # keeps the fillings' random numbers apart from the masks'
ROWS_DRAWN_AT_ONCE = 1024


class Judged(NamedTuple):
    """What both networks made of a row; `chosen` of its tokens were filled, n are all its tokens.

    logits: (chosen, vocabulary) of the generator. labels, fillings: (chosen,). scores: (n,) of the discriminator, above
    0 for "replaced". replaced: (n,) bool; a filling that hits the original is none.
    """

    logits: Tensor
    labels: Tensor
    fillings: Tensor
    scores: Tensor
    replaced: Tensor


@dataclass(frozen=True)
class Fillings:
    """A masked document, and a number from [0, 1) per token that decides what the generator's draw will be."""

    masking: Masking

    def __call__(self, ids: np.ndarray, epoch: int, document: int, window: int = 0, clock: int = 0) -> Example:
        example = self.masking(ids, epoch, document, window, clock)
        draws = np.random.default_rng((self.masking.seed, epoch, document, window, DRAWS)).random(len(ids))
        weights = {"generator": example.weights["masked_tokens"], "discriminator": len(ids)}
        return Example(example.input_ids, example.targets | {"draws": draws}, weights)


class ReplacedTokens:
    """The discriminator (`model`, which is started, exported and fine-tuned) and its generator."""

    exported = {"": "model", "-generator": "generator"}  # noqa: RUF012 (never changed)

    def __init__(self, keys: schema.ReplacedTokens, architecture: Architecture, tokenizer: PreTrainedTokenizerFast):
        self.keys = keys
        self.architecture = architecture
        self.tokenizer = tokenizer
        self.vocabulary = architecture.config.vocab_size
        self.pair = pair_of(architecture)
        self.generator = self.pair.generator(architecture, keys.generator_size)
        self.terms = {"generator": keys.generator_weight, "discriminator": keys.discriminator_weight}

    def expected_ids(self) -> ExpectedIds:
        return ExpectedIds(self.vocabulary)

    def examples(self, dataset: schema.Dataset) -> Fillings:
        if dataset.mask_special_tokens:
            raise UserError("dataset.mask_special_tokens: replaced_tokens never fills special tokens; use false")
        return Fillings(Masking.from_recipe(self.keys, dataset, self.tokenizer, self.vocabulary))

    @staticmethod
    def blank(network: str, architecture: Architecture) -> PreTrainedModel:
        return pair_of(architecture).discriminator(architecture, 0) if network == "model" else architecture.new_model(0)

    def networks(self, seed: int) -> dict[str, nn.Module]:
        discriminator = self.pair.discriminator(self.architecture, seed)
        generator = self.generator.new_model(seed + 1)
        self.pair.share(discriminator, generator)
        return {"model": discriminator, "generator": generator}

    def loss_sums(self, networks: Mapping[str, nn.Module], row: Row) -> dict[str, Tensor]:
        judged = self.predictions(networks, row)
        targets = judged.replaced.to(judged.scores.dtype)
        return {
            "generator": F.cross_entropy(judged.logits, judged.labels, reduction="sum"),
            "discriminator": F.binary_cross_entropy_with_logits(judged.scores, targets, reduction="sum"),
        }

    def predictions(self, networks: Mapping[str, nn.Module], row: Row) -> Judged:
        labels = row["targets"]["labels"]
        chosen = row["predicted"]
        hidden = self.generator.encode(networks["generator"], row)
        logits = self.generator.vocabulary_logits(networks["generator"], hidden[chosen]).float()
        fillings = drawn(logits.detach() / self.keys.temperature, row["targets"]["draws"][chosen])
        original = torch.where(labels == IGNORED_LABEL, row["input_ids"], labels)
        filled = original.index_copy(0, chosen, fillings)
        hidden = self.architecture.encode(networks["model"], {**row, "input_ids": filled})
        scores = self.pair.judge(networks["model"], hidden).float()
        return Judged(logits, labels[chosen], fillings, scores, filled != original)

    def metrics(self) -> dict[str, Metric]:
        return {name: Ratio(name) for name in RATIOS} | {"ReplacedAUROC": ReplacedAUROC()}

    def update(self, metric: Metric, predictions: Judged) -> int:
        metric.update(predictions)
        return len(predictions.labels)

    def training_flops(self, networks: Mapping[str, nn.Module], row: Row) -> float | None:
        generator = self.generator.training_flops(networks["generator"], row, row["weights"]["generator"])
        discriminator = self.architecture.training_flops(networks["model"], row, 0)
        return None if None in (generator, discriminator) else generator + discriminator


@torch.no_grad()
def drawn(logits: Tensor, draws: Tensor) -> Tensor:
    """One id per row of logits (n, vocabulary), with the softmax's probabilities, from numbers in [0, 1) (n,).

    In float64: sums of 50,000 small probabilities in fp32 would be off by more than some of them.
    """
    ids = []
    for part, numbers in zip(logits.split(ROWS_DRAWN_AT_ONCE), draws.split(ROWS_DRAWN_AT_ONCE)):
        reached = part.double().softmax(-1).cumsum(-1)
        place = torch.searchsorted(reached, numbers.double()[:, None] * reached[:, -1:], right=True)
        ids.append(place.squeeze(-1).clamp(max=logits.shape[-1] - 1))
    return torch.cat(ids)
