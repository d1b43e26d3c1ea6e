"""Gives a trained model another vocabulary, keeping what its embeddings know."""

from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.text.lengths import OFFSET_POSITION_FAMILIES
from bioclinical.text.vocabulary_match import Match

TABLE_MULTIPLE = 64  # matrix units like it; the tokenizer keeps its own length
SEED = 42  # FOCUS's


@dataclass(frozen=True)
class SwapReport:
    """How the entries of the new table came about."""

    entries: int
    table_rows: int
    copied: int
    mixed: int
    drawn: int

    def __str__(self) -> str:
        return (
            f"{self.entries:,} entries: {self.copied:,} copied, {self.mixed:,} mixed from old ones, "
            f"{self.drawn:,} drawn at random; table of {self.table_rows:,} rows"
        )


def swap_vocabulary(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, match: Match
) -> tuple[PreTrainedModel, SwapReport]:
    """(a model of the same class with a table for the new tokenizer, how it came about); `model` is left as it is.

    Rows without a source are drawn from a normal distribution with the old table's mean and deviation per dimension.
    The output layer stays tied where it was; its bias is copied with its entry and 0 elsewhere. Raises UserError
    where the model's positions depend on the id of the padding token.
    """
    check_padding(model, tokenizer)
    config = deepcopy(model.config)
    config.vocab_size = -(-len(tokenizer) // TABLE_MULTIPLE) * TABLE_MULTIPLE
    for role in ("pad", "bos", "eos", "cls", "sep", "mask"):
        if hasattr(config, f"{role}_token_id"):
            setattr(config, f"{role}_token_id", getattr(tokenizer, f"{role}_token_id"))
    with torch.random.fork_rng():
        swapped = type(model)(config)
    generator = torch.Generator().manual_seed(SEED)
    vocabulary_wide = {tensor.data_ptr() for tensor in vocabulary_tensors(model)}
    state = {
        name: new_rows(tensor, config.vocab_size, match, generator) if tensor.data_ptr() in vocabulary_wide else tensor
        for name, tensor in model.state_dict().items()
    }
    swapped.load_state_dict(state)
    swapped.tie_weights()
    swapped.train(model.training)
    copied = len(match.copied)
    report = SwapReport(
        entries=len(tokenizer),
        table_rows=config.vocab_size,
        copied=copied,
        mixed=len(match.sources) - copied,
        drawn=len(tokenizer) - len(match.sources),
    )
    return swapped, report


def check_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Raises UserError where another padding id would move every position (RoBERTa counts from it)."""
    old = model.config.pad_token_id
    if model.config.model_type in OFFSET_POSITION_FAMILIES and tokenizer.pad_token_id != old:
        raise UserError(
            f"the new tokenizer pads with id {tokenizer.pad_token_id}, but this {model.config.model_type} counts its "
            f"positions from id {old}; train a tokenizer of --family roberta, which has it there"
        )


def vocabulary_tensors(model: PreTrainedModel) -> list[Tensor]:
    """The tensors with a row per entry: input table, output table (often the same), output bias."""
    output = model.get_output_embeddings()
    tensors = [model.get_input_embeddings().weight]
    if output is not None:
        tensors += [output.weight] + ([output.bias] if getattr(output, "bias", None) is not None else [])
    return tensors


def new_rows(old: Tensor, rows: int, match: Match, generator: torch.Generator) -> Tensor:
    """A table (rows x dimensions) mixed from an old one, or a bias (rows,) with the copied entries' values."""
    if old.dim() == 1:
        bias = torch.zeros(rows, dtype=old.dtype)
        for i in match.copied:
            bias[i] = old[match.sources[i][0][0]]
        return bias
    mean, deviation = old.float().mean(0), old.float().std(0)
    table = mean + deviation * torch.randn(rows, old.shape[1], generator=generator)
    for i, sources in match.sources.items():
        ids, weights = zip(*sources)
        table[i] = torch.tensor(weights) @ old[list(ids)].float()
    return table.to(old.dtype)
