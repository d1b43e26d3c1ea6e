"""Which words of a document a row of the model stands for."""

from typing import NamedTuple

OUTSIDE = "O"


class ScoredWords(NamedTuple):
    """The words of a document that are read off a row, and the places of their first sub-tokens in it."""

    words: list[int]
    places: list[int]
