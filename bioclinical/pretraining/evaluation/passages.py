"""Texts that models of different vocabularies are measured on: the same passages, the same hidden words, in bytes."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.text.words import WHITESPACE_TOKENS, token_offsets

SEED = 17  # of the choice of hidden words


@dataclass(frozen=True)
class Passage:
    """A stretch of a text. words: [start, end) of each in characters. hidden: numbers of those to be guessed."""

    text: str
    words: list[tuple[int, int]]
    hidden: frozenset[int]

    @property
    def bytes(self) -> int:
        return len(self.text.encode("utf-8"))

    @property
    def hidden_bytes(self) -> int:
        return sum(len(self.text[slice(*self.words[number])].encode("utf-8")) for number in self.hidden)


def passages_of(texts: Iterable[str], longest: int, hidden_share: float) -> list[Passage]:
    """Passages of at most `longest` words between white space; a hidden word is drawn by text number and place alone.

    At least one word of every passage is hidden. Raises UserError where the texts hold no word.
    """
    passages = []
    for number, text in enumerate(texts):
        bounds = token_offsets(text, WHITESPACE_TOKENS)
        for first in range(0, len(bounds), longest):
            part = bounds[first : first + longest]
            draws = np.random.default_rng((SEED, number, first)).random(len(part))
            hidden = np.flatnonzero(draws < hidden_share) if (draws < hidden_share).any() else [int(draws.argmin())]
            start = part[0][0]
            words = [(one - start, end - start) for one, end in part]
            passages.append(Passage(text[start : part[-1][1]], words, frozenset(int(one) for one in hidden)))
    if not passages:
        raise UserError("the texts hold no words to measure a model on; give others")
    return passages


@dataclass(frozen=True)
class Encoded:
    """A passage in a model's ids, special tokens included.

    ids: (tokens,). word: (tokens,) the number of the word that a token belongs to, -1 for white space and special ones.
    is_text: (tokens,) bool, False for special tokens.
    """

    ids: np.ndarray
    word: np.ndarray
    is_text: np.ndarray


def encode_passage(passage: Passage, tokenizer: PreTrainedTokenizerFast) -> Encoded:
    """The passage as the tokenizer cuts it. A token that touches a word belongs to it (to the first of several)."""
    encoding = tokenizer(passage.text, return_offsets_mapping=True, return_special_tokens_mask=True, verbose=False)
    starts, ends = np.array(passage.words).T
    word = []
    for (start, end), special in zip(encoding["offset_mapping"], encoding["special_tokens_mask"]):
        first = int(np.searchsorted(ends, start, side="right"))  # the first word that ends behind the token's start
        touches = not special and end > start and first < len(starts) and starts[first] < end
        word.append(first if touches else -1)
    is_text = ~np.array(encoding["special_tokens_mask"], bool)
    return Encoded(np.array(encoding["input_ids"], np.int64), np.array(word), is_text)


def is_kept(passage: Passage, encoded: Encoded, tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether the ids still hold every letter of the passage, white space aside."""
    back = tokenizer.decode(encoded.ids[encoded.is_text], clean_up_tokenization_spaces=False)
    return "".join(back.split()) == "".join(passage.text.split())
