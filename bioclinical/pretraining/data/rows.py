"""Rows: the documents of one micro-batch behind each other, as inputs and targets of the objective."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from bioclinical.errors import UserError
from bioclinical.pretraining.data.documents import Windows
from bioclinical.pretraining.data.packer import Unit
from bioclinical.text.labels import IGNORED_LABEL


@dataclass(frozen=True)
class Example:
    """One document, or window of one, as an objective gives it to the model.

    input_ids: (tokens,) int64. targets: what the model's output is compared with, (tokens,) each, by name; `labels` are
    among them, IGNORED_LABEL where nothing is predicted. weights: for each term of the loss, how many positions it is a
    sum over.
    """

    input_ids: np.ndarray
    targets: dict[str, np.ndarray]
    weights: dict[str, int]


# (ids, epoch, document, window, token clock at the batch's beginning) -> Example: a pure function, called in workers.
Examples = Callable[[np.ndarray, int, int, int, int], Example]


class Row(TypedDict):
    """One micro-batch; plain numbers stay on the CPU."""

    input_ids: Tensor  # (tokens,) int64, documents behind each other
    targets: dict[str, Tensor]  # (tokens,) each
    predicted: Tensor  # (n,) int64: the places of `labels` at which something is predicted
    cu_seqlens: Tensor  # (documents + 1,) int32: where each document begins and ends
    lengths: list[int]  # (documents,) the same for the host, which then need not wait for the device
    max_seqlen: int
    documents: Tensor  # (documents,) their numbers in the data set
    weights: dict[str, int]  # per term of the loss
    loss_weight: int  # what the row counts in the mean over a batch's rows: the only term's weight, else its tokens
    samples: int
    tokens: int
    segments: NotRequired[Tensor]  # (tokens,) int64: which of a document's parts, where an objective has several
    is_silent: bool  # repeats another process's documents; it must not count


class Batch(TypedDict):
    rows: list[Row]


@dataclass(frozen=True)
class Share:
    """What one process computes of a batch. silent: its last so many rows repeat documents of others, not to count.
    clock: the token clock at the batch's beginning.
    """

    rows: list[list[Unit]]
    silent: int = 0
    clock: int = 0


class RowReader(Dataset):
    """Share -> Batch. Runs in the workers; a UserError comes back as a value, so that its sentence stays one."""

    def __init__(self, windows: Windows, examples: Examples):
        self.windows = windows
        self.examples = examples

    def __getitem__(self, share: Share) -> Batch | UserError:
        try:
            own = len(share.rows) - share.silent
            rows = [self.read_row(row, number >= own, share.clock) for number, row in enumerate(share.rows)]
        except UserError as error:
            return error
        if own and not any(row["loss_weight"] for row in rows):
            rows[0]["loss_weight"] = 1  # nothing to predict: a loss of zero, which must not be divided by zero
        return {"rows": rows}

    def read_row(self, row: list[Unit], silent: bool, clock: int = 0) -> Row:
        examples, documents = [], []
        for epoch, unit in row:
            ids, document, window = self.windows.read(unit)
            examples.append(self.examples(ids, epoch, document, window, clock))
            documents.append(document)
        lengths = [len(example.input_ids) for example in examples]
        tokens = sum(lengths)
        weights = {
            term: 0 if silent else sum(example.weights[term] for example in examples) for term in examples[0].weights
        }
        only_one = len(weights) == 1
        targets = {
            name: np.concatenate([example.targets[name] for example in examples]) for name in examples[0].targets
        }
        return {
            "input_ids": torch.from_numpy(np.concatenate([example.input_ids for example in examples])),
            "targets": {name: torch.from_numpy(target) for name, target in targets.items()},
            "predicted": torch.from_numpy(np.flatnonzero(targets["labels"] != IGNORED_LABEL)),
            "cu_seqlens": torch.from_numpy(np.cumsum([0, *lengths]).astype(np.int32)),
            "lengths": lengths,
            "max_seqlen": max(lengths),
            "documents": torch.tensor(documents),
            "weights": weights,
            "loss_weight": sum(weights.values()) if only_one else 0 if silent else tokens,
            "samples": 0 if silent else len(row),
            "tokens": 0 if silent else tokens,
            "is_silent": silent,
        }


def share_of(rows: list[list[Unit]], rank: int, world: int, in_step: bool = False, clock: int = 0) -> Share:
    """The rows rank, rank + world, ... without the empty ones; at least one, if silent.

    in_step: as many for every process, because they gather each other's weights row by row.
    """
    counts = [sum(1 for row in rows[one::world] if row) for one in range(world)]
    own = [row for row in rows[rank::world] if row]
    silent = max(1, max(counts) if in_step else 0) - len(own)
    if silent <= 0:
        return Share(own, clock=clock)
    return Share([*own, *[[next(unit for row in rows for unit in row)]] * silent], silent, clock)
