"""What a GPU step relies on: layers compiled once for all token counts, and no wait for the device within a step."""

import pytest
import torch
from test_packed_modernbert import FP32_BOUND, FP32_GRADIENT_BOUND, LENGTHS, assert_close, batch, build
from torch._dynamo.testing import CompileCounterWithBackend
from transformers import ModernBertForMaskedLM, ModernBertModel

from bioclinical.modeling import encode, mlm_loss, pack
from bioclinical.modeling.modernbert import compiled_steps
from bioclinical.text.labels import IGNORED_LABEL


def hidden_and_gradients(model, lengths, steps):
    packed = pack(**batch(lengths))
    model.zero_grad()
    hidden = encode(model, packed.input_ids, packed.cu_seqlens, packed.max_seqlen, "banded_sdpa", steps=steps)
    hidden.square().mean().backward()
    return hidden.detach(), {name: weight.grad.clone() for name, weight in model.named_parameters()}


def test_compiled_layers_are_the_same_and_compiled_once():
    """Traced as for a GPU (the kernels alone are torch's own): five layers, three shapes of pack, three graphs.

    The first layer has no norm before its attention, hence one graph more.
    """
    torch._dynamo.reset()
    model = build(ModernBertModel).train()
    counter = CompileCounterWithBackend("aot_eager")
    steps = compiled_steps(backend=counter)
    for lengths in ("window edges", "single tokens", "one length"):
        ours, our_gradients = hidden_and_gradients(model, LENGTHS[lengths], steps)
        theirs, their_gradients = hidden_and_gradients(model, LENGTHS[lengths], None)
        assert_close(ours, theirs, FP32_BOUND)
        for name, gradient in their_gradients.items():
            assert_close(our_gradients[name], gradient, FP32_GRADIENT_BOUND, name)
    assert counter.frame_count == 3


@pytest.mark.parametrize("is_causal", [False, True])
def test_a_step_never_waits_for_the_device(is_causal):
    """Tensors on the meta device have no values, so whatever needs one raises: .item(), nonzero, boolean selection."""
    with torch.device("meta"):
        model = build(ModernBertForMaskedLM, num_attention_heads=8).train().bfloat16()
        ids, bounds = torch.empty(600, dtype=torch.int64), torch.empty(4, dtype=torch.int32)
        predicted, labels = torch.empty(90, dtype=torch.int64), torch.empty(90, dtype=torch.int64)
    hidden = encode(model.model, ids, bounds, 300, "torch_flash", is_causal)
    logits = model.decoder(model.head(hidden[predicted]))
    torch.nn.functional.cross_entropy(logits.float(), labels, reduction="sum").backward()
    assert all(weight.grad is not None for weight in model.parameters())
    with pytest.raises((NotImplementedError, RuntimeError)):  # the test can fail: this one waits
        mlm_loss(model, hidden, torch.full((600,), IGNORED_LABEL, device="meta"))
