"""An encoder that compares two texts by the cosine of their vectors, and the losses that teach it to."""

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from bioclinical.encoders.pooling import POOLINGS

SCALE = 20.0  # of cosines before a softmax, sentence-transformers' default

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]  # (pairs, hidden) of first and of second texts, (pairs,) their scores


def cosent(first: Tensor, second: Tensor, scores: Tensor) -> Tensor:
    """log(1 + sum of exp(20 (cos j - cos i)) over all i, j with pair i scored above pair j): only the order of the
    scores counts (CoSENT, kexue.fm/archives/8847; sentence-transformers' CoSENTLoss)."""
    cosines = SCALE * F.cosine_similarity(first, second)
    differences = cosines[:, None] - cosines[None, :]
    wrong = differences.masked_fill(scores[:, None] >= scores[None, :], float("-inf"))
    return torch.cat([differences.new_zeros(1), wrong.flatten()]).logsumexp(0)


def in_batch(first: Tensor, second: Tensor, scores: Tensor) -> Tensor:
    """Cross-entropy of finding each first text's own second text among those of the batch, over the pairs with a score
    above 0 (Henderson et al. 2017; sentence-transformers' MultipleNegativesRankingLoss); 0 without such pairs."""
    cosines = SCALE * F.normalize(first, dim=-1) @ F.normalize(second, dim=-1).T
    own = (scores > 0).nonzero().flatten()
    return F.cross_entropy(cosines[own], own) if len(own) else 0 * cosines.sum()


LOSSES: dict[str, Loss] = {"cosent": cosent, "in_batch": in_batch}


def compare_texts(model: PreTrainedModel, pooling: str, loss: str) -> PreTrainedModel:
    """Makes an encoder take inputs (pairs, 2, length) and give cosines; weights and saved files stay as they are."""
    model.forward = functools.partial(forward_pairs, model.forward, POOLINGS[pooling].of_rows, LOSSES[loss])
    return model


def forward_pairs(
    forward: Callable[..., Any],
    pooled: Callable[[Tensor, Tensor], Tensor],
    loss: Loss,
    input_ids: Tensor,
    attention_mask: Tensor,
    labels: Tensor | None = None,
    **inputs: Tensor,
) -> SequenceClassifierOutput:
    """logits: (pairs, 1), the cosines. input_ids and others: (pairs, 2, length); labels: (pairs,) scores."""
    others = {name: value.flatten(0, 1) for name, value in inputs.items()}
    mask = attention_mask.flatten(0, 1)
    hidden = forward(input_ids=input_ids.flatten(0, 1), attention_mask=mask, **others).last_hidden_state
    first, second = pooled(hidden.float(), mask).unflatten(0, (-1, 2)).unbind(1)
    found = None if labels is None else loss(first, second, labels)
    return SequenceClassifierOutput(loss=found, logits=F.cosine_similarity(first, second).unsqueeze(-1))
