"""Rotary position embeddings (Su et al., arXiv 2104.09864) in the half-split layout of ModernBERT, applied in place."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def rotary_table(positions: Tensor, theta: float, head_dim: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine, (tokens, 1, 1, head_dim) in fp32, of each position times theta^(-2i / head_dim).

    Each angle stands twice, for both halves of a head; the first half's sine is negative, as the rotation has it.
    """
    exponents = torch.arange(0, head_dim, 2, device=positions.device, dtype=torch.float32) / head_dim
    # In transformers' order of operations: dividing by theta^x instead would move far positions by 1e-4 radians.
    frequencies = 1.0 / theta**exponents
    angles = (positions.float()[:, None] * frequencies)[:, None, None]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((cos, cos), dim=-1), torch.cat((-sin, sin), dim=-1)


def rotate(projected: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotates the queries and keys of a fresh projection, (tokens, 3 heads head_dim) -> (tokens, 3, heads, head_dim).

    In place; cos and sin as from `rotary_table`.
    """
    return split_heads(_Rotate.apply(projected, cos, sin), cos)


def rotated(projected: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """As `rotate`, in new memory."""
    qkv = split_heads(projected, cos)
    query_key = qkv[:, :2]
    turned = (query_key.roll(query_key.shape[-1] // 2, dims=-1) * sin).addcmul(query_key, cos)
    return torch.cat((turned.to(qkv.dtype), qkv[:, 2:]), dim=1)


def split_heads(projected: Tensor, cos: Tensor) -> Tensor:
    return projected.unflatten(-1, (3, -1, cos.shape[-1]))


class _Rotate(torch.autograd.Function):
    """In place, because the projection's backward does not need its own output; the gradient is rotated back.

    It takes the projection before its heads are split: of a view, autograd would copy the gradient once more.
    """

    @staticmethod
    def forward(ctx, projected: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        ctx.mark_dirty(projected)
        rotate_in_place(split_heads(projected, cos), cos, sin)
        return projected

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        grad = grad.clone()  # others may hold it
        rotate_in_place(split_heads(grad, cos), cos, -sin)
        return grad, None, None


def rotate_in_place(qkv: Tensor, cos: Tensor, sin: Tensor) -> None:
    """The rotation itself, computed in fp32 whatever the type of qkv (tokens, 3, heads, head_dim)."""
    query_key = qkv[:, :2]
    rotated = query_key.roll(query_key.shape[-1] // 2, dims=-1) * sin
    query_key.copy_(rotated.addcmul_(query_key, cos))
