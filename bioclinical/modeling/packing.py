"""Packs: the tokens of all documents in one row without padding, and their boundaries.

cu_seqlens, as in flash-attn, is the running sum of the documents' lengths with a leading zero, int32: document i holds
the tokens cu_seqlens[i] to cu_seqlens[i + 1] of the pack. Documents may be empty.
"""

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bioclinical.errors import UserError


@dataclass(frozen=True)
class Pack:
    """A padded batch without its padding."""

    input_ids: Tensor  # (tokens,)
    cu_seqlens: Tensor  # (rows + 1,) int32
    max_seqlen: int
    indices: Tensor  # (tokens,): place of each token in the flattened padded batch
    padded_shape: tuple[int, int]  # rows, columns


def pack(input_ids: Tensor, attention_mask: Tensor | None = None) -> Pack:
    """Packs a batch of shape (rows, columns); a mask (1 = token, 0 = padding) of None means that all are tokens.

    Raises UserError for a row without tokens and for padding in the middle of a row.
    """
    if attention_mask is None:
        attention_mask = torch.ones_like(input_ids)
    if input_ids.ndim != 2 or attention_mask.shape != input_ids.shape:
        raise UserError(
            f"input_ids {tuple(input_ids.shape)} and attention_mask {tuple(attention_mask.shape)} cannot be packed; "
            "both must have the shape (rows, columns)"
        )
    mask = attention_mask.bool()
    lengths = mask.sum(dim=1)
    # A document begins wherever a token follows padding or the row's edge.
    begins = (mask & ~F.pad(mask, (1, 0))[:, :-1]).sum(dim=1)
    row_lengths, row_begins = torch.stack((lengths, begins)).tolist()  # the only wait for the device
    for row, count in enumerate(row_begins):
        if count == 0:
            raise UserError(f"row {row} of the batch holds only padding (its attention_mask is 0); leave it out")
        if count > 1:
            raise UserError(f"row {row} of the batch has padding between its tokens; pad at the end only")
    indices = mask.flatten().nonzero().flatten()
    cu_seqlens = F.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
    return Pack(input_ids.flatten()[indices], cu_seqlens, max(row_lengths), indices, tuple(input_ids.shape))


def unpack(packed: Tensor, pack: Pack) -> Tensor:
    """(tokens, ...) -> (rows, columns, ...), zeros at the padding."""
    rows, columns = pack.padded_shape
    padded = packed.new_zeros(rows * columns, *packed.shape[1:])
    return padded.index_copy(0, pack.indices, packed).view(rows, columns, *packed.shape[1:])


def document_lengths(cu_seqlens: Tensor, tokens: int) -> list[int]:
    """Each document's number of tokens. Raises UserError where the boundaries do not describe a pack of that size."""
    bounds = cu_seqlens.tolist()
    lengths = [end - start for start, end in itertools.pairwise(bounds)]
    if not bounds or bounds[0] != 0 or bounds[-1] != tokens or min(lengths, default=0) < 0:
        raise UserError(f"cu_seqlens must rise from 0 to the number of tokens ({tokens:,}) without falling")
    return lengths


def document_ids(cu_seqlens: Tensor, tokens: int) -> Tensor:
    """(tokens,): the number of the document that each token belongs to."""
    numbers = torch.arange(len(cu_seqlens) - 1, device=cu_seqlens.device)
    return torch.repeat_interleave(numbers, cu_seqlens.diff(), output_size=tokens)


def positions_in_documents(cu_seqlens: Tensor, tokens: int) -> Tensor:
    """(tokens,): the place of each token in its own document, from 0."""
    starts = cu_seqlens[document_ids(cu_seqlens, tokens)]
    return torch.arange(tokens, device=cu_seqlens.device) - starts
