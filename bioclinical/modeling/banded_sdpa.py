"""Packed attention with torch's scaled_dot_product_attention: any device, and the reference for the other backends.

Local layers: the pack is cut into blocks of queries, and each block sees only the keys its windows reach, all blocks in
one batched call; the work grows with the number of tokens, not with its square. Global layers, bidirectional or causal:
documents of similar length form one batched call.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from bioclinical.modeling.packing import document_ids, document_lengths
from bioclinical.modeling.window import Window, within

QUERY_BLOCK = 128
# Documents within this distance (in tokens, or as part of the longest) share a call: with 2 threads a call of its own
# costs more than the padding.
GROUP_SLACK_TOKENS = 64
GROUP_SLACK_PART = 1 / 8


def plan(
    cu_seqlens: Tensor, tokens: int, max_seqlen: int, window: Window, dtype: torch.dtype, dropout: float = 0.0
) -> Callable[[Tensor], Tensor]:
    """Prepares the attention of one pack; the result maps rotated qkv to (tokens, heads, head_dim)."""
    left, right = within(window, max_seqlen)
    farthest = max_seqlen - 1
    if left == farthest and right in (0, farthest):
        return plan_global(cu_seqlens, tokens, dtype, dropout, causal=right < farthest)
    return plan_local(cu_seqlens, tokens, left, right, dtype, dropout)


def plan_local(
    cu_seqlens: Tensor, tokens: int, left: int, right: int, dtype: torch.dtype, dropout: float
) -> Callable[[Tensor], Tensor]:
    """Attention of token i to the tokens i - left to i + right of its own document."""
    document_lengths(cu_seqlens, tokens)
    blocks = -(-tokens // QUERY_BLOCK)
    tail = blocks * QUERY_BLOCK - tokens
    keys_per_block = left + QUERY_BLOCK + right
    bias = local_bias(document_ids(cu_seqlens, tokens), left, right, dtype)

    def attend(qkv: Tensor) -> Tensor:
        before, after = (qkv.new_zeros(count, *qkv.shape[1:]) for count in (left, right + tail))
        query, key, value = torch.cat((before, qkv, after)).unbind(dim=1)
        query = query[left : left + blocks * QUERY_BLOCK].unflatten(0, (blocks, QUERY_BLOCK)).transpose(1, 2)
        # unfold gives overlapping views (blocks, heads, head_dim, keys): nothing is copied.
        key, value = (x.unfold(0, keys_per_block, QUERY_BLOCK).transpose(2, 3) for x in (key, value))
        out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)
        return out.transpose(1, 2).flatten(0, 1)[:tokens]

    return attend


def local_bias(documents: Tensor, left: int, right: int, dtype: torch.dtype) -> Tensor:
    """(blocks, 1, QUERY_BLOCK, left + QUERY_BLOCK + right): 0 where a query may see a key, -inf elsewhere.

    The padding at both ends of the pack counts as a document of its own, so that no row is without any key (NaN).
    """
    tail = -len(documents) % QUERY_BLOCK
    key_documents = F.pad(documents, (left, right + tail), value=-1).unfold(0, left + QUERY_BLOCK + right, QUERY_BLOCK)
    query_documents = key_documents[:, left : left + QUERY_BLOCK]
    query_places = torch.arange(QUERY_BLOCK, device=documents.device)
    distance = torch.arange(-left, QUERY_BLOCK + right, device=documents.device) - query_places[:, None]
    near = (distance >= -left) & (distance <= right)
    allowed = near & (query_documents[:, :, None] == key_documents[:, None, :])
    return bias_from(allowed[:, None], dtype)


def plan_global(
    cu_seqlens: Tensor, tokens: int, dtype: torch.dtype, dropout: float, causal: bool
) -> Callable[[Tensor], Tensor]:
    """Attention between all tokens of one document, or of each to itself and those before it."""
    lengths = [length for length in document_lengths(cu_seqlens, tokens) if length > 0]
    if len(set(lengths)) == 1:
        return lambda qkv: attend_rows(qkv.view(len(lengths), -1, *qkv.shape[1:]), None, dropout, causal).flatten(0, 1)
    groups = similar_lengths(lengths)
    starts = torch.tensor([0, *lengths]).cumsum(0)
    places, biases, is_token = [], [], []
    for documents in groups:
        offsets = torch.arange(lengths[documents[0]])
        real = offsets < torch.tensor([lengths[d] for d in documents])[:, None]
        places.append((starts[documents][:, None] + offsets).clamp(max=tokens - 1).flatten())
        # A causal query never reaches the padding, which follows its document.
        needs_bias = not causal and not real.all()
        biases.append(bias_from(real[:, None, None], dtype).to(cu_seqlens.device) if needs_bias else None)
        is_token.append(real.flatten())
    from_pack = torch.cat(places).to(cu_seqlens.device)
    sizes = [len(group) for group in places]
    slots = torch.cat(is_token).nonzero().flatten().to(cu_seqlens.device)
    to_pack = torch.empty_like(slots).index_copy_(0, from_pack[slots], slots)

    def attend(qkv: Tensor) -> Tensor:
        rows = _Regroup.apply(qkv, from_pack, to_pack).split(sizes)
        outs = [
            attend_rows(row.view(len(documents), -1, *qkv.shape[1:]), bias, dropout, causal).flatten(0, 1)
            for documents, row, bias in zip(groups, rows, biases)
        ]
        return _Ungroup.apply(torch.cat(outs), to_pack)

    return attend


class _Regroup(torch.autograd.Function):
    """index_select whose gradient is a selection too: padding repeats tokens, but no gradient comes from there."""

    @staticmethod
    def forward(ctx, packed: Tensor, from_pack: Tensor, to_pack: Tensor) -> Tensor:
        ctx.save_for_backward(to_pack)
        return packed.index_select(0, from_pack)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        return grad.index_select(0, *ctx.saved_tensors), None, None


class _Ungroup(torch.autograd.Function):
    """index_select whose gradient is a copy: no slot is selected twice, so nothing needs to be summed."""

    @staticmethod
    def forward(ctx, rows: Tensor, to_pack: Tensor) -> Tensor:
        ctx.save_for_backward(to_pack)
        ctx.shape = rows.shape
        return rows.index_select(0, to_pack)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        return grad.new_zeros(ctx.shape).index_copy_(0, *ctx.saved_tensors, grad), None


def similar_lengths(lengths: list[int]) -> list[list[int]]:
    """Groups of document numbers, longest first, whose lengths differ little."""
    groups: list[list[int]] = []
    for document in sorted(range(len(lengths)), key=lambda d: -lengths[d]):
        longest = lengths[groups[-1][0]] if groups else 0
        if groups and longest - lengths[document] <= max(GROUP_SLACK_TOKENS, GROUP_SLACK_PART * longest):
            groups[-1].append(document)
        else:
            groups.append([document])
    return groups


def attend_rows(qkv: Tensor, bias: Tensor | None, dropout: float, causal: bool) -> Tensor:
    """(rows, columns, 3, heads, head_dim) -> (rows, columns, heads, head_dim)."""
    query, key, value = (x.transpose(1, 2) for x in qkv.unbind(dim=2))
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout, is_causal=causal)
    return out.transpose(1, 2)


def bias_from(allowed: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where allowed, -inf elsewhere: made once, where SDPA would convert a boolean mask at every layer."""
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, float("-inf"))
