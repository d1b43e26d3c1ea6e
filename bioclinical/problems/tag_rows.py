"""Which words of a document a row of the model stands for."""

from collections.abc import Iterable
from typing import NamedTuple

OUTSIDE = "O"


class ScoredWords(NamedTuple):
    """The words of a document that are read off a row, and the places of their first sub-tokens in it; the words
    beyond its end."""

    words: list[int]
    places: list[int]
    cut: frozenset[int] = frozenset()


def words_without_token(count: int, rows: Iterable[ScoredWords]) -> list[int]:
    """Of so many words of a document, those that have a sub-token in none of its rows and were not cut either."""
    with_token = set().union(*(row.cut.union(row.words) for row in rows))
    return [word for word in range(count) if word not in with_token]
