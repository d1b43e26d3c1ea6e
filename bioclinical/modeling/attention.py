"""One function for the attention of packed documents, and the kernels that can compute it."""

from collections.abc import Callable

import torch
from torch import Tensor

from bioclinical.modeling import banded_sdpa, flash, flex
from bioclinical.modeling.window import WHOLE_DOCUMENT, Window

BACKENDS = {
    "flash_attn_3": flash.plan_flash_3,
    "torch_flash": flash.plan_torch,
    "flash_attn_2": flash.plan_flash_2,
    "flash_attn_4": flash.plan_flash_4,
    "flex_attention": flex.plan,
    "banded_sdpa": banded_sdpa.plan,
}
# Written against the kernels' documented interface, never run: no such device was at hand.
EXPERIMENTAL_BACKENDS = ("flash_attn_3", "torch_flash", "flash_attn_2", "flash_attn_4", "flex_attention")


def plan_attention(
    backend: str,
    cu_seqlens: Tensor,
    tokens: int,
    max_seqlen: int,
    window: Window,
    dtype: torch.dtype,
    dropout: float = 0.0,
) -> Callable[[Tensor], Tensor]:
    """Prepares what the layers of one kind share for one pack (masks, indices).

    window: how many tokens of its own document a token sees before and after itself; None for all of them.
    dtype: of the queries, keys and values to come. dropout: on the attention probabilities.
    The result maps rotated qkv (tokens, 3, heads, head_dim) to (tokens, heads, head_dim).
    """
    return BACKENDS[backend](cu_seqlens, tokens, max_seqlen, window, dtype, dropout)


def attention(
    qkv: Tensor,
    cu_seqlens: Tensor,
    max_seqlen: int,
    window: Window = WHOLE_DOCUMENT,
    backend: str = "banded_sdpa",
) -> Tensor:
    """Attention within each document of a pack: qkv (tokens, 3, heads, head_dim) -> (tokens, heads, head_dim)."""
    return plan_attention(backend, cu_seqlens, len(qkv), max_seqlen, window, qkv.dtype)(qkv)
