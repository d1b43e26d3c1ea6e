"""Packed attention with torch's flex_attention, compiled (CUDA). Experimental: see attention.py."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from bioclinical.errors import UserError
from bioclinical.modeling.packing import document_ids
from bioclinical.modeling.window import Window, within

BLOCK = 128


@functools.cache
def compiled_flex_attention() -> Callable[..., Tensor]:
    return torch.compile(flex_attention, dynamic=True)


def plan(
    cu_seqlens: Tensor, tokens: int, max_seqlen: int, window: Window, dtype: torch.dtype, dropout: float = 0.0
) -> Callable[[Tensor], Tensor]:
    """Prepares the attention of one pack: only the blocks that a document or window touches are computed."""
    if dropout:
        raise UserError("flex_attention has no attention dropout; set attention_dropout to 0 or use another backend")
    mask = block_mask(cu_seqlens, tokens, *within(window, max_seqlen))

    def attend(qkv: Tensor) -> Tensor:
        query, key, value = (x.transpose(0, 1)[None] for x in qkv.unbind(dim=1))
        return compiled_flex_attention()(query, key, value, block_mask=mask)[0].transpose(0, 1)

    return attend


def block_mask(cu_seqlens: Tensor, tokens: int, left: int, right: int) -> BlockMask:
    """The blocks of keys that each block of queries needs, from the boundaries alone.

    torch's create_block_mask evaluates every pair of tokens for that: 10^10 of them for a pack of 98,304 tokens.
    """
    documents = document_ids(cu_seqlens, tokens)

    def may_see(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (documents[query] == documents[key]) & (query - key <= left) & (key - query <= right)

    first_query = torch.arange(0, tokens, BLOCK, device=documents.device)
    last_query = (first_query + BLOCK - 1).clamp(max=tokens - 1)
    first_key = cu_seqlens[documents[first_query]].long()
    last_key = cu_seqlens[documents[last_query] + 1].long() - 1
    first_key = torch.maximum(first_key, first_query - left)
    last_key = torch.minimum(last_key, last_query + right)
    first_block, last_block = first_key // BLOCK, last_key // BLOCK
    counts = (last_block - first_block + 1).to(torch.int32)
    # Of each row only the first `counts` entries are read; the others must still be valid block numbers.
    order = torch.arange(len(first_query), device=documents.device)
    indices = ((first_block[:, None] + order) % len(first_query)).to(torch.int32)
    return BlockMask.from_kv_blocks(
        counts[None, None],
        indices[None, None].contiguous(),
        BLOCK_SIZE=BLOCK,
        mask_mod=may_see,
        seq_lengths=(tokens, tokens),
    )
