"""Sums over many positions that each need the whole vocabulary, without ever holding all of them."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

POSITIONS_AT_ONCE = 1024  # x 50,000 entries x 4 bytes: 0.2 GB


def sum_over_chunks(function: Callable[..., Tensor], *tensors: Tensor, size: int | None = None) -> Tensor:
    """The sum of function(*parts) over parts of `size` positions (POSITIONS_AT_ONCE), the tensors' first dimension.

    With more than one part, the backward pass computes each part again instead of keeping it.
    """
    parts = list(zip(*(tensor.split(size or POSITIONS_AT_ONCE) for tensor in tensors)))
    if len(parts) == 1 or not torch.is_grad_enabled():
        return sum(function(*part) for part in parts)
    return sum(checkpoint(function, *part, use_reentrant=False) for part in parts)
