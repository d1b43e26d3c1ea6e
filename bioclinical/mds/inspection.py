"""What a finished MDS folder holds: sample lengths, how well they pack, whether its shards are intact."""

from pathlib import Path

import numpy as np

from bioclinical.errors import UserError
from bioclinical.mds.index import ShardInfo, damage, stored
from bioclinical.mds.shards import open_shard, sample_lengths

QUANTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)


def all_lengths(folder: Path, infos: list[ShardInfo]) -> np.ndarray:
    """Ids of every sample, in order, int64. Raises UserError where a shard does not hold what the index says."""
    lengths = []
    for info in infos:
        with open_shard(folder, info) as reader:
            own = sample_lengths(reader)
        if len(own) != info["samples"] or own.min(initial=0) < 0:
            path = folder / stored(info)["basename"]
            raise UserError(
                f"'{path}' does not hold the {info['samples']:,} samples of the index; build or copy both again"
            )
        lengths.append(own)
    return np.concatenate(lengths)


def damaged_shards(folder: Path, infos: list[ShardInfo]) -> list[str]:
    """A sentence for each shard whose file is missing, cut or changed."""
    return [problem for info in infos if (problem := damage(folder, info))]


def histogram_lines(lengths: np.ndarray, width: int = 50) -> list[str]:
    """A bar of text for each power of two: samples of at least that many ids and fewer than twice as many."""
    exponents = np.bincount(np.log2(np.maximum(lengths, 1)).astype(int))
    first = int(np.argmax(exponents > 0))
    return [
        f"{1 << k:>6} to {(2 << k) - 1:<6} {count:>12,}  {'#' * -(-int(count) * width // int(exponents.max()))}"
        for k, count in enumerate(exponents)
        if k >= first
    ]
