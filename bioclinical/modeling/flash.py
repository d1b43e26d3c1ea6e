"""Packed attention with FlashAttention's variable-length kernels (CUDA, fp16 or bf16).

FlashAttention 2 is inside torch's own wheels; the packages flash-attn 2, 3 and 4 are taken where they are installed.
None of these kernels is an autocast operation, so what they get is cast here, after the rotation.
"""

import importlib
import inspect
from collections.abc import Callable

import torch
from torch import Tensor

from bioclinical.errors import UserError
from bioclinical.modeling.window import Window, kernel_sides

Attend = Callable[[Tensor], Tensor]
# Package's name here -> where its function is. With flash-attn 4 alone, `import flash_attn` finds a namespace package
# without any function, so the function is what has to be there.
FUNCTIONS = {
    "flash_attn_2": ("flash_attn", "flash_attn_varlen_qkvpacked_func"),
    "flash_attn_3": ("flash_attn_interface", "flash_attn_varlen_func"),
    "flash_attn_4": ("flash_attn.cute", "flash_attn_varlen_func"),
}


def find_function(package: str) -> Callable[..., Tensor]:
    """The kernel of one of FUNCTIONS; raises ImportError where it is not there or does not load."""
    module, name = FUNCTIONS[package]
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise ImportError(f"{module} has no {name}") from error


def plan_torch(
    cu_seqlens: Tensor, tokens: int, max_seqlen: int, window: Window, dtype: torch.dtype, dropout: float = 0.0
) -> Attend:
    """FlashAttention 2 inside torch: its public function where that has windows (torch 2.11), else the operator.

    The public function has no dropout, so with dropout the operator is called everywhere.
    """
    varlen = None if dropout else public_varlen()
    sides = kernel_sides(window)

    def attend(qkv: Tensor) -> Tensor:
        query, key, value = qkv.to(dtype).unbind(dim=1)
        if varlen:
            return varlen(query, key, value, cu_seqlens, cu_seqlens, max_seqlen, max_seqlen, window_size=sides)
        out, *_ = torch.ops.aten._flash_attention_forward(
            query, key, value, cu_seqlens, cu_seqlens, max_seqlen, max_seqlen, dropout,
            sides == (-1, 0), False, window_size_left=sides[0], window_size_right=sides[1],
        )  # fmt: skip
        return out

    return attend


def public_varlen() -> Callable[..., Tensor] | None:
    """torch.nn.attention.varlen.varlen_attn where it takes windows, else None."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn if "window_size" in inspect.signature(varlen_attn).parameters else None


def plan_flash_2(
    cu_seqlens: Tensor, tokens: int, max_seqlen: int, window: Window, dtype: torch.dtype, dropout: float = 0.0
) -> Attend:
    """flash-attn 2."""
    kernel, sides = find_function("flash_attn_2"), kernel_sides(window)

    def attend(qkv: Tensor) -> Tensor:
        return kernel(qkv.to(dtype), cu_seqlens, max_seqlen, dropout_p=dropout, window_size=sides)

    return attend


def plan_flash_3(
    cu_seqlens: Tensor, tokens: int, max_seqlen: int, window: Window, dtype: torch.dtype, dropout: float = 0.0
) -> Attend:
    """flash-attn 3 (Hopper), which knows no dropout and takes queries, keys and values apart."""
    refuse_dropout("flash_attn_3", dropout)
    kernel, sides = find_function("flash_attn_3"), kernel_sides(window)

    def attend(qkv: Tensor) -> Tensor:
        query, key, value = qkv.to(dtype).unbind(dim=1)
        out = kernel(query, key, value, cu_seqlens, cu_seqlens, max_seqlen, max_seqlen, window_size=sides)
        return out[0] if isinstance(out, tuple) else out  # releases before August 2025 also return the softmax sums

    return attend


def plan_flash_4(
    cu_seqlens: Tensor, tokens: int, max_seqlen: int, window: Window, dtype: torch.dtype, dropout: float = 0.0
) -> Attend:
    """flash-attn 4 (Hopper and Blackwell), whose windows have None for an open side."""
    refuse_dropout("flash_attn_4", dropout)
    kernel = find_function("flash_attn_4")

    def attend(qkv: Tensor) -> Tensor:
        query, key, value = qkv.to(dtype).unbind(dim=1)
        out = kernel(query, key, value, cu_seqlens_q=cu_seqlens, cu_seqlens_k=cu_seqlens, window_size=window)
        return out[0] if isinstance(out, tuple) else out

    return attend


def refuse_dropout(backend: str, dropout: float) -> None:
    """Raises UserError for kernels without dropout on the attention probabilities."""
    if dropout:
        raise UserError(f"{backend} has no attention dropout; set attention_dropout to 0 or use another backend")
