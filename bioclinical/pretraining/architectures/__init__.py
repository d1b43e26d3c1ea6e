"""Which network is trained. An architecture is a file of this package, named in BUILDERS, with its keys in the schema.

It alone knows how the section model.model_config becomes Hugging Face's config and model, how a row of documents is
computed, what its configs and folders hold. It leaves to the objective what is predicted.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.pretraining.architectures import gpt2, modernbert, padded
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.data.rows import Row
from bioclinical.pretraining.recipe.schema import Model
from bioclinical.runtime.choice import Choice

# model.architecture (Hugging Face's model_type) -> the file that builds it.
BUILDERS = {"modernbert": modernbert, "gpt2": gpt2} | dict.fromkeys(padded.FAMILIES, padded)


class Architecture(Protocol):
    """What objectives, trainer, evaluation, start and export ask an architecture for.

    config: Hugging Face's. attention: the kernel and why. is_causal: a token sees what stands before it only.
    has_causal_form: it can be computed like that, always (is_causal) or where the objective asks for it.
    computation: names of config values that change what is computed and leave no trace in the tensors' shapes.
    """

    config: PretrainedConfig
    attention: Choice
    is_padded: bool
    is_causal: bool
    has_causal_form: bool
    computation: tuple[str, ...]

    @property
    def longest(self) -> int | None:
        """Tokens of the longest document it takes; None where its positions have no end."""

    def new_model(self, seed: int) -> PreTrainedModel:
        """Hugging Face's language model with random weights in fp32."""

    def compile(self, model: PreTrainedModel) -> str | None:
        """Compiles what the recipe asks for; what to tell about it."""

    def layers(self, model: PreTrainedModel) -> Sequence[nn.Module]:
        """Its layers from the input on. Raises UserError where they share their weights."""

    def encode(self, model: PreTrainedModel, row: Row, causal: bool = False) -> Tensor:
        """Last hidden states (tokens, hidden) of the row, each document computed as if it were alone.

        causal: no token sees those after it; asked for only where the architecture has that form.
        """

    def vocabulary_logits(self, model: PreTrainedModel, hidden: Tensor) -> Tensor:
        """(n, hidden) -> (n, vocabulary), by the model's own head."""

    def computed_tokens(self, lengths: list[int]) -> int:
        """Positions that are computed for documents of these lengths, padding included."""

    def training_flops(self, model: PreTrainedModel, row: Row, predicted: int, causal: bool = False) -> float | None:
        """Operations of a forward and backward pass over a row of which `predicted` tokens reach the vocabulary."""

    def finish_folder(self, folder: Path) -> None:
        """Adds to an exported folder what other versions of transformers read."""


def build_architecture(
    model: Model, positions: int, tokenizer: PreTrainedTokenizerFast, compute: Compute
) -> Architecture:
    """The architecture of a recipe. positions: the longest document it will see.

    Raises UserError naming a value that Hugging Face's model cannot express.
    """
    return BUILDERS[model.architecture].from_recipe(model, positions, tokenizer, compute)


def stored_architecture(config: dict[str, Any], compute: Compute) -> Architecture:
    """The architecture of a Hugging Face config as a checkpoint or folder holds it.

    Raises UserError for a model that is not pre-trained here.
    """
    model_type = config.get("model_type")
    if model_type not in BUILDERS:
        raise UserError(f"a model of the type '{model_type}' is not pre-trained here; known: {', '.join(BUILDERS)}")
    values = {key: value for key, value in config.items() if key not in ("model_type", "transformers_version")}
    return BUILDERS[model_type].from_config(AutoConfig.for_model(model_type, **values), compute)
