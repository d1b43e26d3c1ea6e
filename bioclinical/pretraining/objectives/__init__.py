"""What pre-training predicts. An objective is a file of this package named in OBJECTIVES, with its keys in the schema.

It alone knows how a document becomes inputs and targets, what the loss is, which networks are trained, what evaluation
measures, and what is exported. It leaves to the architecture how hidden states are computed.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn
from torchmetrics import Metric
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bioclinical.pretraining.architectures import Architecture
from bioclinical.pretraining.data.id_check import ExpectedIds
from bioclinical.pretraining.data.rows import Examples, Row
from bioclinical.pretraining.objectives import (
    distillation,
    masked_tokens,
    next_token,
    replaced_tokens,
    sentence_order,
)
from bioclinical.pretraining.recipe.schema import Dataset, Recipe

OBJECTIVES = {
    "masked_tokens": masked_tokens.MaskedTokens,
    "next_token": next_token.NextToken,
    "replaced_tokens": replaced_tokens.ReplacedTokens,
    "distillation": distillation.Distillation,
    "sentence_order": sentence_order.SentenceOrder,
}


class Objective(Protocol):
    """What the trainer, the loaders, evaluation and export ask an objective for; it is made from its section of the
    recipe, an architecture and a tokenizer.

    vocabulary: ids must be below it. terms: each term of the loss and its coefficient; the loss is the sum of the
    coefficients times each term's mean over its positions in the whole batch, however rows and processes divide it.
    exported: the networks of an export, by the ending of its folder's name ("" for the model itself).
    """

    vocabulary: int
    terms: Mapping[str, float]
    exported: Mapping[str, str]

    def expected_ids(self) -> ExpectedIds:
        """What the ids of every document must be like."""

    def examples(self, dataset: Dataset) -> Examples:
        """Document -> inputs and targets, as a split's section asks for; called in worker processes."""

    @staticmethod
    def blank(network: str, architecture: Architecture) -> PreTrainedModel:
        """An exported network of this architecture, to be filled from a checkpoint."""

    def networks(self, seed: int) -> dict[str, nn.Module]:
        """Fresh networks by name: all that is trained and saved. `model` is the one that start and export speak of.

        A network that is only read (a teacher) is kept by the objective, outside of these.
        """

    def loss_sums(self, networks: Mapping[str, nn.Module], row: Row) -> dict[str, Tensor]:
        """Each term's sum over its positions of the row, in fp32, with a gradient also where there are none."""

    def metrics(self) -> dict[str, Metric]:
        """Fresh metrics of the evaluation, by name."""

    def predictions(self, networks: Mapping[str, nn.Module], row: Row) -> Any:
        """What the metrics compare, for one row."""

    def update(self, metric: Metric, predictions: Any) -> int:
        """Adds a row's predictions to a metric; how many positions were predicted."""

    def training_flops(self, networks: Mapping[str, nn.Module], row: Row) -> float | None:
        """Operations of a forward and backward pass over the row; None where no formula describes the network."""


def build_objective(recipe: Recipe, architecture: Architecture, tokenizer: PreTrainedTokenizerFast) -> Objective:
    """The objective of a recipe for networks of this architecture. Raises UserError where they do not fit."""
    return OBJECTIVES[recipe.objective.name](recipe.objective, architecture, tokenizer)
