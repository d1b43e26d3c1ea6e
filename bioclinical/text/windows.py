"""Documents longer than the context, in overlapping windows: each word is scored where it has most context."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Window:
    """input_ids with special tokens; words[k], a position in the document, is scored at input_ids[places[k]]."""

    input_ids: list[int]
    words: list[int]
    places: list[int]


def windows_of(tokenizer: "PreTrainedTokenizerFast", text: str | list[str], max_length: int) -> Iterator[Window]:
    """The windows of a document, given as text or as words; they start a quarter of the context apart.

    A document that fits is one window, the same as without windows. The context of a sub-token in a window is the
    smaller of its distances to the window's ends; a word is scored at its first sub-token, once.
    """
    encoded = tokenizer(text, is_split_into_words=not isinstance(text, str), add_special_tokens=False, verbose=False)
    ids, word_ids = encoded["input_ids"], encoded.word_ids()
    before, after = special_frame(tokenizer)
    size = max_length - len(before) - len(after)
    starts = window_starts(len(ids), size)
    first_tokens = np.flatnonzero([word != previous for word, previous in zip(word_ids, [None, *word_ids])])
    owner = owners(len(ids), starts, size)[first_tokens]
    for k, start in enumerate(starts):
        scored = first_tokens[owner == k]
        places = (scored - start + len(before)).tolist()
        yield Window(before + ids[start : start + size] + after, [word_ids[i] for i in scored], places)


def window_starts(tokens: int, size: int, steps_per_window: int = 4) -> list[int]:
    """0, then a quarter of `size` (or another fraction) further each; the last window ends with the document."""
    last = max(0, tokens - size)
    return [*range(0, last, max(1, size // steps_per_window)), last]


def owners(tokens: int, starts: list[int], size: int) -> np.ndarray:
    """For each token the number of the window in which it stands farthest from an end; the first of equals."""
    owner, best = np.zeros(tokens, dtype=int), np.full(tokens, -1)
    for k, start in enumerate(starts):
        place = np.arange(min(size, tokens - start))
        context = np.minimum(place, place[::-1])
        part = slice(start, start + len(place))
        owner[part] = np.where(context > best[part], k, owner[part])
        best[part] = np.maximum(context, best[part])
    return owner


def special_frame(tokenizer: "PreTrainedTokenizerFast") -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text."""
    framed = tokenizer("a", return_special_tokens_mask=True)
    inside = [i for i, special in enumerate(framed["special_tokens_mask"]) if not special]
    return framed["input_ids"][: inside[0]], framed["input_ids"][inside[-1] + 1 :]
