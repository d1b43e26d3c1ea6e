"""Texts as runs of n words, hashed: what near duplicates and overlaps with test sets are found by.

Words are runs of letters and digits without regard to case, so that layout and punctuation make no difference.
"""

import re
from collections.abc import Iterable

import numpy as np
from pandas.util import hash_array

MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that every word's hash keeps all its bits


def words_of(text: str) -> list[str]:
    """The words that count, in order."""
    return re.findall(r"\w+", text.casefold())


def ngram_hashes(words: list[str], n: int) -> np.ndarray:
    """A hash of every n neighbouring words: (len(words) - n + 1,) uint64, empty for fewer than n words.

    The same in every process and on every machine. Two different n-grams agree with probability 2^-64.
    """
    if len(words) < n:
        return np.empty(0, np.uint64)
    hashes = hash_array(np.array(words, dtype=object), categorize=False)
    count = len(words) - n + 1
    rolled = np.zeros(count, np.uint64)
    for place in range(n):
        rolled = rolled * MULTIPLIER + hashes[place : place + count]
    return rolled


class NGramIndex:
    """The n-grams of some texts, to be looked for in others."""

    def __init__(self, texts: Iterable[str], n: int):
        hashes = [ngram_hashes(words_of(text), n) for text in texts]
        self.n = n
        self.text_count = len(hashes)
        self.too_short = sum(not len(own) for own in hashes)  # texts of fewer than n words, which nothing can match
        self.hashes = np.unique(np.concatenate([np.empty(0, np.uint64), *hashes]))

    def places(self, hashes: np.ndarray) -> np.ndarray:
        """Where in `self.hashes` those of the given n-grams stand that are there at all, int64."""
        if not len(self.hashes):
            return np.empty(0, np.int64)
        places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return places[self.hashes[places] == hashes]

    def overlaps(self, text: str) -> bool:
        """Whether the text shares an n-gram with those of the index."""
        return len(self.places(ngram_hashes(words_of(text), self.n))) > 0
