"""Which documents make up which row of which batch: best-fit packing, decided from lengths alone.

The plan covers the rows of all processes, so that every process computes the same plan, takes its own rows from it, and
all of them end an epoch together; the documents of a batch do not depend on the number of processes. Nothing is read to
make a plan, so continuing from a saved state is immediate.
"""

import heapq
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bioclinical.pretraining.data.order import Order

Unit = tuple[int, int]  # visit (as a rule the epoch), number of the document (or of a window of it)


@dataclass(frozen=True)
class Geometry:
    """row_count: micro-batches per batch over all processes; capacity: tokens of a row; buffer: units that may wait.

    units_per_row: without packing, how many documents make a row, whatever their length. smallest_row_count and
    warmup_tokens: batches begin with `smallest_row_count` rows and grow to `row_count`, a multiple of `processes` at a
    time, each size staying for a share of the tokens in proportion to itself. counts_padding: on the token clock a row
    counts as ModernBERT's trainer pads it.
    """

    row_count: int
    capacity: int
    buffer: int
    processes: int = 1
    units_per_row: int | None = None
    smallest_row_count: int | None = None
    warmup_tokens: int = 0
    counts_padding: bool = False

    def on_clock(self, tokens: int, documents: int, longest: int) -> int:
        """What a row counts on the token clock: its tokens, or with padding its whole capacity when packed, else its
        documents times the longest.
        """
        if not self.counts_padding or not documents:
            return tokens
        return self.capacity if self.units_per_row is None else documents * longest

    def row_count_after(self, tokens: int) -> int:
        """Rows of the batch that begins after this many tokens."""
        if tokens >= self.warmup_tokens:
            return self.row_count
        sizes = range(self.smallest_row_count, self.row_count, self.processes)
        spent = 0.0
        for size in sizes:
            spent += self.warmup_tokens * size / sum(sizes)
            if tokens < spent:
                return size
        return self.row_count


@dataclass
class State:
    """Where a plan stands: next place in the epoch's order, batches of the epoch, all tokens so far, also as the
    token clock counts them, tokens of each stream, waiting units.
    """

    epoch: int = 0
    place: int = 0
    batches: int = 0
    tokens: int = 0
    clock: int = 0
    by_stream: list[int] = field(default_factory=list)
    waiting: deque[Unit] = field(default_factory=deque)

    def to_dict(self) -> dict[str, Any]:
        return vars(self) | {"waiting": [list(unit) for unit in self.waiting]}

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> "State":
        return cls(**(value | {"waiting": deque(tuple(unit) for unit in value["waiting"])}))


class Packer:
    """An endless series of batches, each a list of rows, each a list of units; `state` is where it stands.

    With `carry_over`, what does not fill a batch at the end of an epoch is filled up from the next one; without, and
    always where a whole epoch is less than a batch, it makes a partial batch. No unit is left out.
    """

    def __init__(self, lengths: np.ndarray, geometry: Geometry, order: Order, carry_over: bool):
        self.lengths = lengths
        self.geometry = geometry
        self.order = order
        self.carry_over = carry_over
        self.shortest = int(lengths.min())
        self.state = State()
        self.planned: tuple[int, np.ndarray, np.ndarray] | None = None

    def next_batch(self) -> tuple[list[list[Unit]], bool]:
        """The rows of the next batch, and whether it is the last of its epoch."""
        state, epoch = self.state, self.state.epoch
        row_count = self.geometry.row_count_after(state.tokens)
        rows = self.by_count(row_count) if self.geometry.units_per_row else self.best_fit(row_count)
        state.batches += 1
        for row in filter(None, rows):
            lengths = [int(self.lengths[unit]) for _, unit in row]
            state.tokens += sum(lengths)
            state.clock += self.geometry.on_clock(sum(lengths), len(lengths), max(lengths))
        if self.order.bounds is not None:
            self.count_streams(rows)
        if state.epoch == epoch and state.place == len(self.units(epoch)) and not state.waiting:
            self.begin_epoch()
        return rows, state.epoch != epoch

    def best_fit(self, row_count: int) -> list[list[Unit]]:
        """Each unit goes into the row where it leaves the least room. Those that fit nowhere come first next time."""
        free = [(self.geometry.capacity, row) for row in range(row_count)]
        rows: list[list[Unit]] = [[] for _ in free]
        passed: list[Unit] = []
        while free and free[-1][0] >= self.shortest and len(passed) <= self.geometry.buffer:
            unit = self.next_unit()
            if unit is None:
                rows = self.spread(rows)
                break
            length = int(self.lengths[unit[1]])
            at = bisect_left(free, (length, -1))
            if at == len(free):
                passed.append(unit)
                continue
            room, row = free.pop(at)
            rows[row].append(unit)
            insort(free, (room - length, row))
        self.state.waiting.extendleft(reversed(passed))
        return rows

    def spread(self, rows: list[list[Unit]]) -> list[list[Unit]]:
        """A partial batch over all its rows, longest unit first into the emptiest row, if that fits as well."""
        units = sorted((unit for row in rows for unit in row), key=lambda unit: -self.lengths[unit[1]])
        heap = [(0, row) for row in range(len(rows))]
        even: list[list[Unit]] = [[] for _ in rows]
        for unit in units:
            filled, row = heapq.heappop(heap)
            even[row].append(unit)
            heapq.heappush(heap, (filled + int(self.lengths[unit[1]]), row))
        return even if max(heap)[0] <= self.geometry.capacity else rows

    def by_count(self, row_count: int) -> list[list[Unit]]:
        """Rows of `units_per_row` units, in order."""
        rows: list[list[Unit]] = [[] for _ in range(row_count)]
        for row in rows:
            while len(row) < self.geometry.units_per_row and (unit := self.next_unit()) is not None:
                row.append(unit)
        return rows

    def next_unit(self) -> Unit | None:
        """The unit that waits longest, else the next in order; None at the end of an epoch that is not carried over."""
        state = self.state
        if state.waiting:
            return state.waiting.popleft()
        if state.place == len(self.units(state.epoch)):
            if not (self.carry_over and state.batches):
                return None
            self.begin_epoch()
        units = self.units(state.epoch)
        state.place += 1
        return int(self.planned[1][state.place - 1]), int(units[state.place - 1])

    def begin_epoch(self) -> None:
        self.state.epoch, self.state.place, self.state.batches = self.state.epoch + 1, 0, 0

    def units(self, epoch: int) -> np.ndarray:
        """The units of an epoch in their order; their visits are beside them."""
        if self.planned is None or self.planned[0] != epoch:
            self.planned = epoch, *self.order.of_epoch(epoch)
        return self.planned[2]

    def count_streams(self, rows: list[list[Unit]]) -> None:
        units = np.array([unit for row in rows for _, unit in row])
        stream = np.searchsorted(self.order.bounds, units, side="right") - 1
        tokens = np.bincount(stream, self.lengths[units], len(self.order.bounds) - 1).astype(int).tolist()
        before = self.state.by_stream or [0] * len(tokens)
        self.state.by_stream = [one + more for one, more in zip(before, tokens)]
