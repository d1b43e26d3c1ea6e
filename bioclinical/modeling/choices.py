"""Scoring the options of a question with a head of one output: logits (questions, options) from any classifier."""

import functools
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput


def score_options(model: PreTrainedModel) -> PreTrainedModel:
    """Makes a sequence classifier with one output take inputs (questions, options, length).

    Its modules, weights and saved files stay as they are: for BERT, ALBERT and DeBERTa those of transformers' own
    multiple-choice classes; ModernBERT and GPT-2 have no such class.
    """
    model.forward = functools.partial(forward_options, model.forward)
    return model


def forward_options(
    forward: Callable[..., SequenceClassifierOutput],
    input_ids: Tensor,
    option_mask: Tensor,
    labels: Tensor | None = None,
    num_items_in_batch: int | None = None,
    **inputs: Tensor,
) -> SequenceClassifierOutput:
    """Each option of each question as a row of its own, then the cross-entropy over the options of each question.

    input_ids and others: (questions, options, length).  option_mask: (questions, options), 0 where a question has fewer
    options than others.  labels: (questions,) the position of the right option.
    """
    questions, options = input_ids.shape[:2]
    others = {name: value.flatten(0, 1) if torch.is_tensor(value) else value for name, value in inputs.items()}
    logits = forward(input_ids=input_ids.flatten(0, 1), **others).logits.view(questions, options)
    logits = logits.masked_fill(option_mask == 0, torch.finfo(logits.dtype).min)
    loss = None if labels is None else F.cross_entropy(logits.float(), labels)
    return SequenceClassifierOutput(loss=loss, logits=logits)
