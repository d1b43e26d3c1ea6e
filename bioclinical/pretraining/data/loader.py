"""Packed, masked batches for Composer, prepared by background workers, and a position that a checkpoint can hold.

A batch is {"rows": [row, ...]}; a row is one micro-batch: input_ids and labels (tokens,) int64, cu_seqlens int32,
max_seqlen, documents (their numbers), and as plain numbers samples, tokens and loss_weight (masked tokens).
"""

import copy
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from composer.core import DataSpec
from torch.utils.data import DataLoader, Dataset

from bioclinical.errors import UserError
from bioclinical.modeling.modernbert import IGNORED_LABEL
from bioclinical.pretraining.data.documents import Windows
from bioclinical.pretraining.data.packer import Packer, State, Unit
from bioclinical.pretraining.objectives.masked_tokens import Masking

Batch = dict[str, list[dict[str, Any]]]


@dataclass(frozen=True)
class Share:
    """What one process computes of a batch. A process without documents repeats one of another's, without labels."""

    rows: list[list[Unit]]
    silent: bool = False


class RowReader(Dataset):
    """Share -> Batch. Runs in the workers; a UserError comes back as a value, so that its sentence stays one."""

    def __init__(self, windows: Windows, masking: Masking):
        self.windows = windows
        self.masking = masking

    def __getitem__(self, share: Share) -> Batch | UserError:
        try:
            rows = [self.read_row(row, share.silent) for row in share.rows]
        except UserError as error:
            return error
        if not share.silent and not any(row["loss_weight"] for row in rows):
            rows[0]["loss_weight"] = 1  # nothing is masked: a loss of zero, which must not be divided by zero
        return {"rows": rows}

    def read_row(self, row: list[Unit], silent: bool) -> dict[str, Any]:
        inputs, labels, documents = [], [], []
        for epoch, unit in row:
            ids, document, window = self.windows.read(unit)
            masked, wanted = self.masking.apply(ids, epoch, document, window)
            inputs.append(masked)
            labels.append(np.full_like(wanted, IGNORED_LABEL) if silent else wanted)
            documents.append(document)
        lengths = [len(ids) for ids in inputs]
        all_labels = np.concatenate(labels)
        return {
            "input_ids": torch.from_numpy(np.concatenate(inputs)),
            "labels": torch.from_numpy(all_labels),
            "cu_seqlens": torch.from_numpy(np.cumsum([0, *lengths]).astype(np.int32)),
            "max_seqlen": max(lengths),
            "documents": torch.tensor(documents),
            "samples": 0 if silent else len(row),
            "tokens": 0 if silent else sum(lengths),
            "loss_weight": int((all_labels != IGNORED_LABEL).sum()),
        }


class PackedLoader:
    """Iterates over one epoch at a time; state_dict is the position after the last batch handed out.

    `new_packer` makes the plan from its beginning. With `endless` (training) the next iteration goes on with the next
    epoch; otherwise (evaluation) every iteration begins anew. Workers are started once and read ahead over the ends of
    epochs.
    """

    def __init__(
        self, reader: RowReader, new_packer: Callable[[], Packer], rank: int, world: int, endless: bool,
        workers: int, prefetch: int, pin_memory: bool, timeout: float,
    ):  # fmt: skip
        self.reader = reader
        self.new_packer = new_packer
        self.rank = rank
        self.world = world
        self.endless = endless
        self.options = {"num_workers": workers, "pin_memory": pin_memory}
        if workers:
            self.options |= {"prefetch_factor": prefetch, "timeout": timeout}
        self.restart(State(), epoch_closed=False)

    def restart(self, state: State, epoch_closed: bool) -> None:
        """Puts the loader to a position; batches read ahead are forgotten."""
        self.state = state
        self.epoch_closed = epoch_closed
        self.batches: Iterator[Batch | UserError] | None = None
        self.positions: deque[tuple[State, bool]] = deque()

    def __iter__(self) -> Iterator[Batch]:
        if not self.endless:
            self.restart(State(), epoch_closed=False)
        while not self.epoch_closed:
            if self.batches is None:
                self.batches = self.start_workers()
            batch = next(self.batches)
            self.state, self.epoch_closed = self.positions.popleft()
            if isinstance(batch, UserError):
                raise batch
            yield batch
        self.epoch_closed = False

    def start_workers(self) -> Iterator[Batch | UserError]:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else tokenizers warns of every forked worker
        # Its own generator: worker seeds must not be drawn from the stream that dropout uses, or resuming would shift
        # it.
        return iter(
            DataLoader(
                self.reader,
                sampler=self.shares(),
                batch_size=None,
                collate_fn=as_it_is,
                worker_init_fn=leave_stopping_to_the_main_process,
                generator=torch.Generator().manual_seed(0),
                **self.options,
            )
        )

    def shares(self) -> Iterator[Share]:
        """This process's part of each planned batch; the position after each is noted as it is handed to a worker."""
        packer = self.new_packer()
        packer.state = copy.deepcopy(self.state)
        while True:
            rows, last = packer.next_batch()
            self.positions.append((copy.deepcopy(packer.state), last))
            yield share_of(rows, self.rank, self.world)
            if last and not self.endless:
                return

    def state_dict(self) -> dict[str, Any]:
        return {"packer": self.state.to_dict(), "epoch_closed": self.epoch_closed}

    def load_state_dict(self, value: dict[str, Any]) -> None:
        self.restart(State.from_dict(value["packer"]), value["epoch_closed"])


def leave_stopping_to_the_main_process(_: int) -> None:
    """Batch systems send SIGTERM to every process; a worker that died of it would take the last checkpoint with it.

    The main process's own SIGTERM, at its end, still ends the worker.
    """
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=end_at_the_main_processs_word, daemon=True).start()


def end_at_the_main_processs_word() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def as_it_is(batch: Batch) -> Batch:
    return batch


def share_of(rows: list[list[Unit]], rank: int, world: int) -> Share:
    """The rows rank, rank + world, ... without the empty ones."""
    own = [row for row in rows[rank::world] if row]
    if own:
        return Share(own)
    return Share([[next(unit for row in rows for unit in row)]], silent=True)


def data_spec(loader: PackedLoader, count_padding: bool, row_capacity: int | None) -> DataSpec:
    """How Composer counts and divides the batches.

    With `count_padding` a row counts as the padded rows of ModernBERT's trainer would on the token clock: its whole
    capacity when packed (`row_capacity`), else its samples times the longest.
    """

    def tokens_of(row: dict[str, Any]) -> int:
        if not count_padding or not row["samples"]:
            return row["tokens"]
        return row_capacity or row["samples"] * row["max_seqlen"]

    def count_tokens(batch: Batch) -> dict[str, int]:
        rows = batch["rows"]
        return {"total": sum(map(tokens_of, rows)), "loss_generating": sum(row["loss_weight"] for row in rows)}

    return DataSpec(
        loader,
        get_num_samples_in_batch=lambda batch: sum(row["samples"] for row in batch["rows"]),
        get_num_tokens_in_batch=count_tokens,
        split_batch=lambda batch, _: [{"rows": [row]} for row in batch["rows"]],
    )
