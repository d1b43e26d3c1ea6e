"""Packed batches for Composer, prepared by background workers, and a position that a checkpoint can hold."""

import copy
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from composer.core import DataSpec
from torch.utils.data import DataLoader

from bioclinical.errors import UserError
from bioclinical.pretraining.data.packer import Geometry, Packer, State
from bioclinical.pretraining.data.rows import Batch, Row, RowReader, Share, share_of


@dataclass(frozen=True)
class Workers:
    """The processes that read ahead: how many, batches ahead of each, seconds after which one counts as hanging."""

    count: int = 0
    prefetch: int = 2
    timeout: float = 0
    pin_memory: bool = False

    def options(self) -> dict[str, Any]:
        """Keyword arguments of torch's DataLoader."""
        options = {"num_workers": self.count, "pin_memory": self.pin_memory}
        return options | ({"prefetch_factor": self.prefetch, "timeout": self.timeout} if self.count else {})


class PackedLoader:
    """Iterates over one epoch at a time; state_dict is the position after the last batch handed out.

    `new_packer` makes the plan from its beginning. With `endless` (training) the next iteration goes on with the next
    epoch; otherwise (evaluation) every iteration begins anew. Workers are started once and read ahead over the ends of
    epochs.
    """

    def __init__(
        self, reader: RowReader, new_packer: Callable[[], Packer], rank: int, world: int, *, endless: bool,
        workers: Workers = Workers(), in_step: bool = False,
    ):  # fmt: skip
        self.reader = reader
        self.new_packer = new_packer
        self.rank = rank
        self.world = world
        self.endless = endless
        self.workers = workers
        self.in_step = in_step
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
                **self.workers.options(),
            )
        )

    def shares(self) -> Iterator[Share]:
        """This process's part of each planned batch; the position after each is noted as it is handed to a worker."""
        packer = self.new_packer()
        packer.state = copy.deepcopy(self.state)
        while True:
            clock = packer.state.clock
            rows, last = packer.next_batch()
            self.positions.append((copy.deepcopy(packer.state), last))
            yield share_of(rows, self.rank, self.world, self.in_step, clock)
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
        threading.Thread(target=end_on_sigterm_of_parent, daemon=True).start()


def end_on_sigterm_of_parent() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def as_it_is(batch: Batch) -> Batch:
    return batch


def data_spec(loader: PackedLoader, geometry: Geometry) -> DataSpec:
    """How Composer counts and divides the batches."""

    def tokens_of(row: Row) -> int:
        return geometry.on_clock(row["tokens"], row["samples"], row["max_seqlen"])

    def count_tokens(batch: Batch) -> dict[str, int]:
        rows = batch["rows"]
        return {"total": sum(map(tokens_of, rows)), "loss_generating": sum(row["loss_weight"] for row in rows)}

    return DataSpec(
        loader,
        get_num_samples_in_batch=lambda batch: sum(row["samples"] for row in batch["rows"]),
        get_num_tokens_in_batch=count_tokens,
        split_batch=lambda batch, _: [{"rows": [row]} for row in batch["rows"]],
    )
