"""How likely a causal model finds texts: sums of the log-probabilities of tokens, equal to those of one text alone."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bioclinical.errors import UserError

LOGITS_BYTES = 1 << 30  # of one batch: (rows, length, vocabulary) in 32 bits


@dataclass(frozen=True)
class Request:
    """Token ids of what stands before, and those whose likelihood is wanted."""

    context: tuple[int, ...]
    wanted: tuple[int, ...]

    def row(self, max_length: int) -> tuple[int, ...]:
        """What the model reads: its last outputs predict the wanted tokens, so the last of these is not read.

        What is too long loses its beginning, as in lm-evaluation-harness.
        """
        return (self.context + self.wanted)[:-1][-max_length:]

    def is_cut(self, max_length: int) -> bool:
        return len(self.context) + len(self.wanted) - 1 > max_length


def split_text(tokenizer: PreTrainedTokenizerBase, context: str, wanted: str) -> Request:
    """A context and what follows it as ids: the wanted tokens are those of the whole text that the context alone does
    not have, as in lm-evaluation-harness. No special tokens."""
    whole, before = (
        tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in (context + wanted, context)
    )
    return Request(tuple(whole[: len(before)]), tuple(whole[len(before) :]))


def windows_of(ids: Sequence[int], start: int, max_length: int, stride: int) -> Iterator[Request]:
    """A text's tokens, each wanted once: the first window has the `max_length` tokens behind the start token, each
    further one the next `stride` behind as many as there is room for. start: stands before a text."""
    tokens, done = (start, *ids), 1
    while done < len(tokens):
        end = min(len(tokens), done + (max_length if done == 1 else stride))
        yield Request(tokens[max(0, end - 1 - max_length) : done], tokens[done:end])
        done = end


@torch.inference_mode()
def log_likelihoods(
    model: PreTrainedModel,
    requests: Sequence[Request],
    max_length: int,
    batch_size: int,
    on_progress: Callable[[int], Any] = lambda requests: None,
) -> list[float]:
    """The natural log-likelihood of each request's wanted tokens. Requests that read the same are computed once.

    max_length: tokens that the model reads.  on_progress: told how many requests are done.  Raises UserError where
    something wanted is longer.
    """
    readers: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, request in enumerate(requests):
        if not 0 < len(request.wanted) <= max_length:
            raise UserError(
                f"a text of {len(request.wanted):,} tokens cannot be scored with a context of {max_length:,}"
            )
        readers[request.row(max_length)].append(i)
    rows = sorted(readers, key=len, reverse=True)
    found = [math.nan] * len(requests)
    while rows:
        fitting = LOGITS_BYTES // (4 * len(rows[0]) * model.config.vocab_size)
        batch, rows = rows[: min(batch_size, max(1, fitting))], rows[min(batch_size, max(1, fitting)) :]
        for row, log_probs in zip(batch, batch_log_probs(model, batch)):
            for i in readers[row]:
                wanted = torch.tensor(requests[i].wanted, device=log_probs.device)
                places = torch.arange(len(row) - len(wanted), len(row), device=log_probs.device)
                found[i] = float(log_probs[places, wanted].double().sum())
            on_progress(len(readers[row]))
    return found


def batch_log_probs(model: PreTrainedModel, rows: Sequence[tuple[int, ...]]) -> torch.Tensor:
    """(rows, length, vocabulary): log-probabilities of the token after each; padded on the right, where no token of a
    row looks."""
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], device=model.device)
    lengths = torch.tensor([len(row) for row in rows], device=model.device)
    mask = torch.arange(longest, device=model.device) < lengths[:, None]
    return model(input_ids=ids, attention_mask=mask.long(), use_cache=False).logits.float().log_softmax(-1)
