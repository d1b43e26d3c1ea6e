"""Packing and unpacking of padded batches."""

import pytest
import torch

from bioclinical.errors import UserError
from bioclinical.modeling import pack, unpack
from bioclinical.modeling.packing import document_ids, document_lengths, positions_in_documents


def test_round_trip():
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
    ids = torch.arange(1, 13).view(3, 4) * mask
    packed = pack(ids, mask)
    assert packed.input_ids.tolist() == [1, 2, 3, 5, 9, 10, 11, 12]
    assert packed.cu_seqlens.tolist() == [0, 3, 4, 8] and packed.cu_seqlens.dtype == torch.int32
    assert packed.max_seqlen == 4
    assert torch.equal(unpack(packed.input_ids, packed), ids)
    states = torch.randn(8, 5)
    assert torch.equal(unpack(states, packed)[mask.bool()], states)


def test_padding_on_the_left_and_no_mask():
    mask = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1]])
    assert pack(torch.arange(8).view(2, 4), mask).input_ids.tolist() == [2, 3, 5, 6, 7]
    assert pack(torch.arange(8).view(2, 4)).cu_seqlens.tolist() == [0, 4, 8]


@pytest.mark.parametrize(
    "mask, message",
    [
        ([[1, 1, 0], [0, 0, 0]], "row 1 of the batch holds only padding"),
        ([[1, 0, 1], [1, 1, 1]], "row 0 of the batch has padding between its tokens"),
        ([[1, 1]], "cannot be packed"),
    ],
)
def test_masks_that_cannot_be_packed(mask, message):
    with pytest.raises(UserError, match=message):
        pack(torch.ones(2, 3, dtype=torch.long), torch.tensor(mask))


def test_tokens_of_documents():
    cu_seqlens = torch.tensor([0, 2, 2, 5], dtype=torch.int32)
    assert document_lengths(cu_seqlens, 5) == [2, 0, 3]
    assert document_ids(cu_seqlens, 5).tolist() == [0, 0, 2, 2, 2]
    assert positions_in_documents(cu_seqlens, 5).tolist() == [0, 1, 0, 1, 2]


@pytest.mark.parametrize("bounds", [[0, 2, 4], [1, 5], [0, 6, 5], []])
def test_boundaries_that_do_not_fit(bounds):
    with pytest.raises(UserError, match="cu_seqlens"):
        document_lengths(torch.tensor(bounds, dtype=torch.int32), 5)
