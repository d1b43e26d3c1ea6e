"""How samples become batches.

padded: in the order drawn, every row as long as the set's longest may be (as published).
sorted: longest first, every row as long as its batch's longest: what a user gains by sorting alone. The order is not
restored afterwards: for throughput that plays no part.
packed: in the order drawn, one row without padding and the documents' boundaries (ModernBERT only).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LAYOUTS = ("padded", "sorted", "packed")


@dataclass(frozen=True)
class Batch:
    """Tokens in a compact type; the model's own types are made when the batch runs."""

    input_ids: Tensor  # (rows, columns) int32; packed: (tokens,)
    mask: Tensor | None  # (rows, columns) bool; None if packed
    cu_seqlens: Tensor | None  # (rows + 1,) int32 if packed
    max_seqlen: int


def make_batch(layout: str, ids: Tensor, lengths: np.ndarray, rows: np.ndarray) -> Batch:
    """The given rows of a set, on the device where `ids` (samples, longest) lie."""
    chosen, longest = lengths[rows], int(lengths[rows].max())
    columns = ids.shape[1] if layout == "padded" else longest
    row_ids = ids[torch.from_numpy(rows).to(ids.device), :columns]
    mask = torch.arange(columns, device=ids.device) < torch.from_numpy(chosen).to(ids.device)[:, None]
    if layout != "packed":
        return Batch(row_ids, mask, None, longest)
    bounds = torch.from_numpy(np.concatenate(([0], chosen.cumsum()))).to(ids.device, torch.int32)
    return Batch(row_ids[mask], None, bounds, longest)


def make_batches(layout: str, ids: Tensor, lengths: np.ndarray, batch_size: int) -> list[Batch]:
    """The whole set in batches of `batch_size` samples, the last one smaller."""
    order = longest_first(lengths) if layout == "sorted" else np.arange(len(lengths))
    return [
        make_batch(layout, ids, lengths, order[start : start + batch_size])
        for start in range(0, len(order), batch_size)
    ]


def longest_first(lengths: np.ndarray) -> np.ndarray:
    """Sample numbers by falling length: the first n need the most memory of any n."""
    return np.argsort(-lengths, kind="stable")
