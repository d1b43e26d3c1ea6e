"""How full the rows of a run will be: the trainer's own plan, made from lengths alone."""

import dataclasses

import numpy as np

from bioclinical.pretraining.data.documents import Documents, Windows
from bioclinical.pretraining.data.order import OnceEach
from bioclinical.pretraining.data.packer import Geometry, Packer


class Lengths(Documents):
    """Documents of which only the lengths are known."""

    def __init__(self, lengths: np.ndarray):
        self.lengths = lengths


def filling(
    lengths: np.ndarray, longest: int, geometry: Geometry, seed: int, shuffle: bool, most_batches: int = 1000
) -> float:
    """Share of the rows' capacity that holds tokens, over an epoch's whole batches (the last one is left out).

    lengths: of the documents, in tokens; longer ones than `longest` are cut into windows. A batch-size warm-up is not
    counted. Of a long epoch only the first `most_batches` are planned.
    """
    units = Windows(Lengths(lengths), longest).lengths
    packer = Packer(
        units, dataclasses.replace(geometry, warmup_tokens=0), OnceEach(len(units), seed, shuffle), carry_over=False
    )
    filled: list[float] = []
    is_last = False
    while not is_last and len(filled) < most_batches:
        rows, is_last = packer.next_batch()
        filled.append(sum(int(units[unit]) for row in rows for _, unit in row) / (len(rows) * geometry.capacity))
    whole = filled[:-1] if is_last and len(filled) > 1 else filled
    return float(np.mean(whole))
