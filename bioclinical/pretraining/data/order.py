"""In which order an epoch reads its units: a pure function of seed and epoch.

An order gives for every epoch the numbers of the units, and of each the number of its visit, which the masks of a visit
depend on: the epoch, or in a mixture how often its stream was read through before.
"""

import itertools
from typing import Protocol

import numpy as np

from bioclinical.errors import UserError


class Order(Protocol):
    """bounds: where each stream's units begin and end; None where there are no streams."""

    bounds: np.ndarray | None

    def of_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Visits and units, (units of the epoch,) each."""


class OnceEach:
    """All units once an epoch, shuffled anew in each or as they stand."""

    bounds = None

    def __init__(self, count: int, seed: int, shuffle: bool):
        self.count = count
        self.seed = seed
        self.shuffle = shuffle

    def of_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        units = np.arange(self.count)
        if self.shuffle:
            units = np.random.default_rng((self.seed, epoch)).permutation(self.count)
        return np.full(self.count, epoch), units


class Mixture:
    """So many tokens of each stream an epoch, all streams shuffled together.

    Each stream is an endless series of passes through all its units, each pass in an order of its own; epoch e has the
    units that begin within the tokens e x share to (e + 1) x share of that series. So no unit is seen twice more often
    than another, and shares hold exactly over epochs, within a unit's length in each.
    """

    def __init__(self, lengths: np.ndarray, bounds: np.ndarray, shares: list[int], seed: int, names: list[str]):
        """lengths: of the units, in tokens; stream i has bounds[i] to bounds[i + 1]. shares: tokens an epoch.

        Raises UserError for a share that could leave an epoch without the stream.
        """
        self.bounds = bounds
        self.lengths = [lengths[start:end].astype(np.int64) for start, end in itertools.pairwise(bounds)]
        self.shares = shares
        self.seed = seed
        for name, own, share in zip(names, self.lengths, shares):
            if share < own.max(initial=1):
                raise UserError(
                    f"the stream '{name}' has {share:,} tokens an epoch, less than its longest document "
                    f"({own.max(initial=1):,}); give it a larger share"
                )

    def of_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        parts = [self.part(stream, epoch) for stream in range(len(self.shares))]
        visits, units = (np.concatenate(values) for values in zip(*parts))
        shuffled = np.random.default_rng((self.seed, epoch)).permutation(len(units))
        return visits[shuffled], units[shuffled]

    def part(self, stream: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Visits and units of one stream."""
        lengths, share = self.lengths[stream], self.shares[stream]
        whole = int(lengths.sum())
        begin, end = epoch * share, (epoch + 1) * share
        visits, units = [], []
        for visit in range(begin // whole, (end - 1) // whole + 1):
            order = np.random.default_rng((self.seed, stream, visit, 1)).permutation(len(lengths))
            starts = visit * whole + np.cumsum(lengths[order]) - lengths[order]
            own = order[(starts >= begin) & (starts < end)]
            visits.append(np.full(len(own), visit))
            units.append(own + self.bounds[stream])
        return np.concatenate(visits), np.concatenate(units)
