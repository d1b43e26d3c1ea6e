"""Texts with every entity replaced: by its type in brackets, or by what a substitute makes of it.

Of entities that overlap (nested ones too) nothing is left standing: together they are one stretch of the text, with the
type of the longest, of equals of the first. Entities of one type that touch are one; those of two types stay two.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict


class Stretch(TypedDict):
    """Characters [start, end) that are replaced as one."""

    start: int
    end: int
    type: str


Substitute = Callable[[str, str], str]  # (type, the text that stands there) -> what stands there afterwards


def placeholder(kind: str, surface: str) -> str:
    """The type in brackets."""
    return f"[{kind}]"


def redacted(text: str, entities: Iterable[dict[str, Any]], substitute: Substitute = placeholder) -> str:
    """The text with its entities, {"start", "end", "type"}, replaced. Raises ValueError for one outside the text."""
    place, parts = 0, []
    for stretch in stretches(entities, len(text)):
        surface = text[stretch["start"] : stretch["end"]]
        parts += [text[place : stretch["start"]], substitute(stretch["type"], surface)]
        place = stretch["end"]
    return "".join([*parts, text[place:]])


def stretches(entities: Iterable[dict[str, Any]], length: int) -> list[Stretch]:
    """What is replaced, in the order of the text. Raises ValueError for an empty entity or one outside the text."""
    groups: list[list[dict[str, Any]]] = []
    end = -1
    for entity in sorted(entities, key=lambda one: (one["start"], one["end"])):
        if not 0 <= entity["start"] < entity["end"] <= length:
            raise ValueError(f"entities must be inside the text; [{entity['start']}, {entity['end']}) is not")
        if entity["start"] < end:
            groups[-1].append(entity)
        else:
            groups.append([entity])
        end = max(end, entity["end"])
    return joined([whole(group) for group in groups])


def whole(group: Sequence[dict[str, Any]]) -> Stretch:
    """Entities that overlap, as one."""
    longest = max(group, key=lambda one: one["end"] - one["start"])
    return Stretch(start=group[0]["start"], end=max(one["end"] for one in group), type=longest["type"])


def joined(found: Sequence[Stretch]) -> list[Stretch]:
    """Stretches of one type that touch become one."""
    out: list[Stretch] = []
    for stretch in found:
        if out and out[-1]["end"] == stretch["start"] and out[-1]["type"] == stretch["type"]:
            out[-1] = out[-1] | {"end": stretch["end"]}
        else:
            out.append(stretch)
    return out
