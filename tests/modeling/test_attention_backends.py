"""Every attention backend against attention written out token by token."""

import contextlib

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.nn.attention.flex_attention import create_block_mask

from bioclinical.errors import UserError
from bioclinical.modeling import BACKENDS, attention, plan_attention
from bioclinical.modeling.backend_choice import why_no_backend
from bioclinical.modeling.banded_sdpa import similar_lengths
from bioclinical.modeling.flash import public_varlen
from bioclinical.modeling.flex import block_mask
from bioclinical.modeling.window import Window, within

WINDOWS = [
    *[(left, right) for left in (None, 64, 4, 0) for right in (None, 64, 4, 0)],
    (200, 200),
    (1000, 0),
]
LENGTHS = [1, 63, 64, 65, 66, 0, 127, 128, 129, 130, 300, 2, 2]


def boundaries(lengths: list[int]) -> torch.Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)


def random_qkv(lengths: list[int], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(sum(lengths), 3, 2, 16, generator=torch.Generator().manual_seed(0), dtype=dtype)


def written_out(qkv: torch.Tensor, lengths: list[int], window: Window) -> torch.Tensor:
    """softmax(Q K^T / sqrt(d)) V for each document alone."""
    outs = []
    for document in qkv.split(lengths):
        query, key, value = document.unbind(1)
        scores = torch.einsum("qhd,khd->hqk", query, key) / 16**0.5
        places = torch.arange(len(document), device=qkv.device)
        left, right = (len(document) if side is None else side for side in window)
        before = places[:, None] - places
        scores = scores.masked_fill((before > left) | (-before > right), float("-inf"))
        outs.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), value))
    return torch.cat(outs)


@pytest.mark.parametrize("window", WINDOWS, ids=lambda w: f"{w[0]}-{w[1]}")
@pytest.mark.parametrize("lengths", [LENGTHS, [500], [7, 7, 7], [1]], ids=["mixed", "one", "equal", "token"])
def test_banded_sdpa_and_its_gradients(lengths, window):
    ours, theirs = random_qkv(lengths).requires_grad_(), random_qkv(lengths).requires_grad_()
    out = attention(ours, boundaries(lengths), max(lengths), window)
    expected = written_out(theirs, lengths, window)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    weights = torch.randn_like(out)
    (out * weights).sum().backward(), (expected * weights).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)


def test_groups_hold_every_document_once_and_lengths_that_differ_little():
    lengths = [1, 2000, 63, 64, 65, 129, 1800, 1999, 900, 3]
    groups = similar_lengths(lengths)
    assert sorted(document for group in groups for document in group) == list(range(len(lengths)))
    for group in groups:
        longest, shortest = max(lengths[d] for d in group), min(lengths[d] for d in group)
        assert longest - shortest <= max(64, longest / 8)


@pytest.mark.parametrize("window", [(None, None), (64, 64), (None, 0), (64, 0)], ids=str)
@pytest.mark.parametrize("lengths", [LENGTHS, [1000], [128, 128, 256]], ids=["mixed", "one", "whole blocks"])
def test_flex_blocks_are_those_that_torch_finds_pair_by_pair(lengths, window):
    tokens = sum(lengths)
    ours = block_mask(boundaries(lengths), tokens, *within(window, max(lengths)))
    theirs = create_block_mask(ours.mask_mod, 1, 1, tokens, tokens, device="cpu")
    assert torch.equal(ours.to_dense(), theirs.to_dense())
    assert ours.shape == theirs.shape


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("window", [(None, None), (64, 64), (None, 0), (64, 0)], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_gpu_backends_agree_with_banded_sdpa_on_the_cpu(backend, window):
    if reason := why_no_backend(backend, "cuda", "bf16", head_dim=16):
        pytest.skip(reason)
    qkv = random_qkv(LENGTHS, torch.bfloat16)
    theirs, ours = qkv.float().requires_grad_(), qkv.cuda().requires_grad_()
    expected = attention(theirs, boundaries(LENGTHS), max(LENGTHS), window)
    out = attention(ours, boundaries(LENGTHS).cuda(), max(LENGTHS), window, backend)
    torch.testing.assert_close(out.float().cpu(), expected, rtol=0, atol=2e-2)
    out.sum().backward(), expected.sum().backward()
    torch.testing.assert_close(ours.grad.float().cpu(), theirs.grad, rtol=0, atol=5e-2)


def test_flex_attention_refuses_dropout():
    with pytest.raises(UserError, match="attention_dropout"):
        plan_attention("flex_attention", boundaries([3]), 3, 3, (None, None), torch.float32, dropout=0.1)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("window", [(None, None), (64, 64), (None, 0), (64, 0)], ids=str)
def test_flash_in_torch_is_called_as_it_wants_to_be(window, dropout):
    """The real operator, forward on fake CUDA tensors and backward on meta tensors: names, types, shapes, strides."""
    if public_varlen() and not dropout:
        pytest.skip("here torch's public function is called; the next test has it")
    for device, mode in (("cuda", FakeTensorMode()), ("meta", contextlib.nullcontext())):
        with mode:
            qkv = torch.empty(600, 3, 4, 64, device=device, dtype=torch.bfloat16, requires_grad=device == "meta")
            bounds = torch.empty(4, device=device, dtype=torch.int32)
            out = plan_attention("torch_flash", bounds, 600, 300, window, torch.bfloat16, dropout)(qkv)
        assert out.shape == (600, 4, 64) and out.dtype == torch.bfloat16 and out.device.type == device
    out.sum().backward()
    assert qkv.grad.shape == qkv.shape


@pytest.mark.parametrize("window", [(None, None), (64, 64), (None, 0), (64, 0)], ids=str)
def test_flash_in_newer_torch_takes_windows(window):
    if public_varlen() is None:
        pytest.skip("this torch has no varlen_attn with windows")
    with FakeTensorMode():
        qkv = torch.empty(600, 3, 4, 64, device="cuda", dtype=torch.float32)  # an autocast run's rotation gives fp32
        bounds = torch.empty(4, device="cuda", dtype=torch.int32)
        out = plan_attention("torch_flash", bounds, 600, 300, window, torch.bfloat16)(qkv)
    assert out.shape == (600, 4, 64) and out.dtype == torch.bfloat16
