"""What a finished MDS folder holds: sample lengths, how well they pack, whether its shards are intact."""

from bisect import bisect_left, insort
from pathlib import Path

import numpy as np

from bioclinical.mds.index import ShardInfo, damage
from bioclinical.mds.shards import open_shard, sample_lengths

QUANTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
# The packer of the trainer sees a buffer of samples, not the whole data set.
PACKING_BUFFER = 2880


def all_lengths(folder: Path, infos: list[ShardInfo]) -> np.ndarray:
    """Ids of every sample, in order, int64."""
    lengths = []
    for info in infos:
        with open_shard(folder, info) as reader:
            lengths.append(sample_lengths(reader))
    return np.concatenate(lengths)


def damaged_shards(folder: Path, infos: list[ShardInfo]) -> list[str]:
    """A sentence for each shard whose file is missing, cut or changed."""
    return [problem for info in infos if (problem := damage(folder, info))]


def packing_efficiency(lengths: np.ndarray, row_length: int, buffer: int = PACKING_BUFFER) -> float:
    """Share of ids that are not padding when samples are packed into rows of `row_length` ids.

    Best fit, longest first, within consecutive buffers of samples; longer samples are cut to the row.
    """
    rows = 0
    for start in range(0, len(lengths), buffer):
        rows += len(best_fit(np.minimum(lengths[start : start + buffer], row_length), row_length))
    return float(np.minimum(lengths, row_length).sum() / (rows * row_length))


def best_fit(lengths: np.ndarray, row_length: int) -> list[int]:
    """Ids left free in each row after placing every sample, longest first, where it leaves the least room."""
    free: list[int] = []
    for length in sorted(lengths.tolist(), reverse=True):
        at = bisect_left(free, length)
        room = free.pop(at) if at < len(free) else row_length
        insort(free, room - length)
    return free


def histogram_lines(lengths: np.ndarray, width: int = 50) -> list[str]:
    """A bar of text for each power of two: samples of at least that many ids and fewer than twice as many."""
    exponents = np.bincount(np.log2(lengths).astype(int))
    first = int(np.argmax(exponents > 0))
    return [
        f"{1 << k:>6} to {(2 << k) - 1:<6} {count:>12,}  {'#' * -(-int(count) * width // int(exponents.max()))}"
        for k, count in enumerate(exponents)
        if k >= first
    ]
