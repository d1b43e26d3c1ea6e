"""Ids that an objective cannot learn from, found in a shard's file without reading its samples one by one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class ExpectedIds:
    """Ids of a document are below `below`, none of them is one of `never`, and its last one is `last` (None: any)."""

    below: int
    last: int | None = None
    never: frozenset[int] = frozenset()

    def refused(self, ids: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """(documents,) bool: which documents break a rule.

        Document i is ids[starts[i] : ends[i]], none of them empty; `ids` ends with the last one.
        """
        bounds = np.stack([starts, ends], 1).reshape(-1)[:-1]

        def per_document(function: np.ufunc, values: np.ndarray) -> np.ndarray:
            return function.reduceat(values, bounds)[::2]  # every other part lies between documents

        broken = per_document(np.maximum, ids) >= self.below
        if ids.dtype.kind == "i":
            broken |= per_document(np.minimum, ids) < 0
        for one in self.never:
            broken |= per_document(np.logical_or, ids == one)
        return broken if self.last is None else broken | (ids[ends - 1] != self.last)


def refused_in_shard(path: Path, dtype: np.dtype, lengths: np.ndarray, expected: ExpectedIds) -> np.ndarray:
    """Numbers of the samples of a raw shard of one column `ndarray:dtype` that break a rule; empty ones never do.

    lengths: ids in each sample. The ids are the last bytes of each sample (mds.shards.sample_lengths tells the layout),
    at any offset, so that samples are looked at together with those that begin at the same one modulo the ids' width.
    """
    content = np.fromfile(path, np.uint8)
    ends = content[4 : 4 * (len(lengths) + 2)].view(np.uint32).astype(np.int64)[1:]
    starts = ends - lengths * dtype.itemsize
    refused = np.zeros(len(lengths), bool)
    for offset in range(dtype.itemsize):
        here = np.flatnonzero((starts % dtype.itemsize == offset) & (lengths > 0))
        if len(here):
            whole = content[offset : offset + (len(content) - offset) // dtype.itemsize * dtype.itemsize]
            # Only what lies between the first and last of them; unaligned bytes are copied to be compared fast.
            first, last = (starts[here[0]] - offset) // dtype.itemsize, (ends[here[-1]] - offset) // dtype.itemsize
            ids = np.frombuffer(whole.tobytes(), dtype)[first:last]
            places = ((bounds[here] - offset) // dtype.itemsize - first for bounds in (starts, ends))
            refused[here] = expected.refused(ids, *places)
    return np.flatnonzero(refused)
