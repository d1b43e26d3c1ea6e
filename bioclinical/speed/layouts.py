"""How samples become batches.

padded: in the order drawn, every row as long as the set's longest may be (as published).
sorted: longest first, rows as long as their batch's longest: what sorting alone gains. The order is not restored.
packed: in the order drawn, one row without padding, and the documents' boundaries (ModernBERT only).
"""

import numpy as np
import torch
from torch import Tensor

Batch = dict[str, Tensor | int]  # input of the model's forward, or of `encode`


def make_batch(layout: str, ids: Tensor, lengths: np.ndarray, rows: np.ndarray) -> Batch:
    """The given samples as input of the model's forward, or of `encode` if packed; on the device of ids.

    ids: (samples, longest), kept in its compact type, as the masks are in bool.
    """
    chosen, longest = torch.from_numpy(lengths[rows]).to(ids.device), int(lengths[rows].max())
    columns = ids.shape[1] if layout == "padded" else longest
    row_ids = ids[torch.from_numpy(rows).to(ids.device), :columns]
    mask = torch.arange(columns, device=ids.device) < chosen[:, None]
    if layout != "packed":
        return {"input_ids": row_ids, "attention_mask": mask}
    cu_seqlens = torch.nn.functional.pad(chosen.cumsum(0), (1, 0)).int()
    return {"input_ids": row_ids[mask], "cu_seqlens": cu_seqlens, "max_seqlen": longest}


def make_batches(layout: str, ids: Tensor, lengths: np.ndarray, batch_size: int) -> list[Batch]:
    """The whole set in batches of `batch_size` samples, the last one smaller."""
    order = longest_first(lengths) if layout == "sorted" else np.arange(len(lengths))
    starts = range(0, len(order), batch_size)
    return [make_batch(layout, ids, lengths, order[start : start + batch_size]) for start in starts]


def longest_first(lengths: np.ndarray) -> np.ndarray:
    """Sample numbers by falling length: the first n need the most memory of any n."""
    return np.argsort(-lengths, kind="stable")
