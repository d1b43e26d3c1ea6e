"""Packed attention with flash-attn's variable-length kernels (CUDA, fp16 or bf16). Experimental: see attention.py."""

from collections.abc import Callable

import torch
from torch import Tensor

from bioclinical.errors import UserError


def plan_flash_2(
    cu_seqlens: Tensor, tokens: int, max_seqlen: int, window: int | None, dtype: torch.dtype, dropout: float = 0.0
) -> Callable[[Tensor], Tensor]:
    """flash-attn 2."""
    from flash_attn import flash_attn_varlen_qkvpacked_func

    # The kernel's window counts the tokens on each side, the edges included, as ours does.
    sides = (-1, -1) if window is None else (window, window)

    def attend(qkv: Tensor) -> Tensor:
        return flash_attn_varlen_qkvpacked_func(qkv, cu_seqlens, max_seqlen, dropout_p=dropout, window_size=sides)

    return attend


def plan_flash_3(
    cu_seqlens: Tensor, tokens: int, max_seqlen: int, window: int | None, dtype: torch.dtype, dropout: float = 0.0
) -> Callable[[Tensor], Tensor]:
    """flash-attn 3 (Hopper), which knows no dropout and takes queries, keys and values apart."""
    from flash_attn_interface import flash_attn_varlen_func

    if dropout:
        raise UserError("flash_attn_3 has no attention dropout; set attention_dropout to 0 or use another backend")
    sides = (-1, -1) if window is None else (window, window)

    def attend(qkv: Tensor) -> Tensor:
        query, key, value = qkv.unbind(dim=1)
        out = flash_attn_varlen_func(
            query, key, value, cu_seqlens, cu_seqlens, max_seqlen, max_seqlen, window_size=sides
        )
        return out[0] if isinstance(out, tuple) else out  # releases before August 2025 also return the softmax sums

    return attend
