"""Texts with every entity replaced by its type."""

from collections.abc import Sequence
from typing import Any


def redacted(text: str, entities: Sequence[dict[str, Any]]) -> str:
    """The text with each entity, {"start", "end", "type"}, replaced by its type in brackets.

    Raises ValueError unless the entities are sorted, disjoint and inside the text: anything else could leave a part of
    one of them standing.
    """
    place, parts = 0, []
    for entity in entities:
        start, end = entity["start"], entity["end"]
        if not place <= start < end <= len(text):
            raise ValueError(f"entities must be sorted, disjoint and inside the text; [{start}, {end}) is not")
        parts += [text[place:start], f"[{entity['type']}]"]
        place = end
    return "".join([*parts, text[place:]])
