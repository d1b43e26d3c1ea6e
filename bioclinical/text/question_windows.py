"""A question and its context as windows of a model's length, and answers as positions of context tokens.

Each context is tokenised once, whatever the number of its questions; its windows are cut from the result. They are the
same as those of the tokenizer's own `truncation="only_second"` with `stride`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError

CONTEXTS_AT_ONCE = 256


@dataclass(frozen=True)
class Context:
    """A context's token ids, and the characters [start, end) of each token (tokens, 2), without outer blanks.

    Byte-level tokenizers count the blank before a word to it; an answer must not begin there.
    """

    ids: list[int]
    offsets: np.ndarray

    def tokens_of(self, start: int, end: int) -> tuple[int, int]:
        """First and last token that share characters with [start, end); last < first where there is none."""
        first = int(np.searchsorted(self.offsets[:, 1], start, side="right"))
        last = int(np.searchsorted(self.offsets[:, 0], end, side="left")) - 1
        return first, last


@dataclass(frozen=True)
class QuestionWindow:
    """Tokens [start, end) of a context behind a question; `place` is where the first of them stands in input_ids."""

    input_ids: list[int]
    token_type_ids: list[int]
    start: int
    end: int
    place: int

    def position(self, token: int) -> int:
        """Where a token of the context stands in input_ids."""
        return token - self.start + self.place

    def label(self, first: int, last: int) -> tuple[int, int]:
        """Positions of an answer's first and last token; (0, 0) where it is not wholly inside."""
        if self.start <= first <= last < self.end:
            return self.position(first), self.position(last)
        return 0, 0


@dataclass(frozen=True)
class PairFrame:
    """The special tokens of a pair: before the question, between, after the context; and the types of both parts."""

    before: list[int]
    between: list[int]
    after: list[int]
    types: tuple[list[int], int, list[int], int, list[int]]

    def __len__(self) -> int:
        return len(self.before) + len(self.between) + len(self.after)

    def row(self, first: list[int], second: list[int]) -> tuple[list[int], list[int]]:
        """input_ids and token_type_ids of a pair."""
        before, type_a, between, type_b, after = self.types
        return (
            self.before + first + self.between + second + self.after,
            before + [type_a] * len(first) + between + [type_b] * len(second) + after,
        )

    def window(self, question: list[int], context: Context, start: int, end: int) -> QuestionWindow:
        place = len(self.before) + len(question) + len(self.between)
        return QuestionWindow(*self.row(question, context.ids[start:end]), start, end, place)


def pair_frame(tokenizer: PreTrainedTokenizerFast) -> PairFrame:
    """The frame that the tokenizer puts around a pair, read from an example."""
    encoded = tokenizer("a", "b", return_token_type_ids=True)
    ids, types = encoded["input_ids"], encoded["token_type_ids"]
    sides = encoded.sequence_ids(0)
    inside = [[i for i, side in enumerate(sides) if side == part] for part in (0, 1)]
    cuts = [slice(0, inside[0][0]), slice(inside[0][-1] + 1, inside[1][0]), slice(inside[1][-1] + 1, len(ids))]
    before, between, after = (types[cut] for cut in cuts)
    return PairFrame(
        *(ids[cut] for cut in cuts), types=(before, types[inside[0][0]], between, types[inside[1][0]], after)
    )


def encode_contexts(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> dict[str, Context]:
    """Text -> its tokens, each distinct text once."""
    distinct = list(dict.fromkeys(texts))
    contexts = {}
    for start in range(0, len(distinct), CONTEXTS_AT_ONCE):
        part = distinct[start : start + CONTEXTS_AT_ONCE]
        encoded = tokenizer(part, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for text, ids, offsets in zip(part, encoded["input_ids"], encoded["offset_mapping"]):
            contexts[text] = Context(ids, trimmed(text, np.array(offsets).reshape(-1, 2)))
    return contexts


def trimmed(text: str, offsets: np.ndarray) -> np.ndarray:
    """Offsets (tokens, 2) without the blanks at either side of a token; a token of blanks only becomes empty."""
    is_blank = np.array([character.isspace() for character in text] + [False], dtype=bool)
    starts, ends = offsets[:, 0].copy(), offsets[:, 1].copy()
    while len(more := np.flatnonzero((starts < ends) & is_blank[starts])):
        starts[more] += 1
    while len(more := np.flatnonzero((starts < ends) & is_blank[ends - 1])):
        ends[more] -= 1
    return np.stack([starts, ends], axis=1)


def window_ranges(tokens: int, room: int, step: int) -> list[tuple[int, int]]:
    """Token ranges [start, end) of at most `room` tokens, `step` apart, until one ends with the context."""
    ranges = [(0, min(room, tokens))]
    while ranges[-1][1] < tokens:
        start = ranges[-1][0] + step
        ranges.append((start, min(start + room, tokens)))
    return ranges


def step_between(room: int, stride: int, rule: Literal["overlap", "step"], question: str, tokens: int) -> int:
    """How far apart windows start, from the stride. Raises UserError where a question leaves no room for them.

    overlap: tokens shared by neighbours (Hugging Face); step: tokens between their starts (BERT, ELECTRA, BioM).
    question: the id for the message.  tokens: of the context; one that fits as a whole needs no step.
    """
    if room >= 1 and tokens <= room:
        return room
    step = room - stride if rule == "overlap" else min(stride, room)
    if room < 1 or step < 1:
        need = f", which windows that overlap by {stride} cannot cross" if room >= 1 else ""
        raise UserError(
            f"question {question} leaves room for {max(room, 0)} tokens of its context{need}; "
            "raise --max_length, lower --option doc_stride, or shorten the question"
        )
    return step
