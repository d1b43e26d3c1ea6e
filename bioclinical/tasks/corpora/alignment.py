"""The masks of a de-identified text laid over the original by character offsets: the one way there is, or none."""

import re
from collections.abc import Iterator, Sequence

LONGEST_SPAN = 200  # characters
# Spans tried for one text before it is given up: a few seconds. A note needs some hundreds for each mask; beyond
# this most of the text is masks, or the same few words.
MOST_SPANS = 300_000
NUMBER_WORDS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fifteen|(?:four|six|seven|eigh|nine)teen|"
    "(?:twen|thir|for|fif|six|seven|eigh|nine)t(?:y|ies|ieth)|hundred(?:th)?|thousand|"
    "first|second|third|(?:four|fif|six|seven|eigh|nin|ten|eleven|twelf|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen)th"
)
DATE_WORDS = (
    "jan|january|feb|february|mar|march|apr|april|may|june?|july?|aug|august|sept?|september|oct|october|nov|november|"
    "dec|december|(?:mon|tues?|wed|wednes|thur?s?|fri|sat|satur|sun)(?:day)?|of|to|the|in|on|and|through|thru|early|"
    "mid|late|spring|summer|fall|autumn|winter|christmas|xmas|easter|thanksgiving|halloween|memorial|labor|"
    "independence|new|year(?:'?s)?|eve|day|week|weekend|month|holidays?"
)
# What a span of that type can look like; types not named here can look like anything. A shape may be too wide: then two
# readings fit, and the record is left out. It must not be too narrow, or the right reading is ruled out and a wrong one
# is left.
SHAPES = {
    "name": re.compile(r"\D+(?:\b\d(?:nd|rd|th)\W*)?"),  # John Lee 3rd
    "age": re.compile(rf".*(?:\d|(?<![a-z])(?:{NUMBER_WORDS})).*", re.I),
    "date": re.compile(rf"(?:[\W_]|\d(?:(?:st|nd|rd|th|s)(?![a-z]))?|(?:{DATE_WORDS}|{NUMBER_WORDS})(?![a-z]))+", re.I),
    "phone_nb": re.compile(r"(?=.*\d)(?:[\W\d_]|(?:ext|x|pager|beeper|fax|cell|home|work|and|or)(?![a-z]))+", re.I),
}
Span = tuple[int, int, str]


class TooManyWays(Exception):
    """The masks could stand in so many places that the search was given up."""


def align(text: str, plains: Sequence[str], types: Sequence[str]) -> list[Span] | None:
    """The span (start, end, type) in `text` of each mask, or None where there is no alignment, or more than one.

    Raises TooManyWays where the search would not end in reasonable time.
    plains: the segments around the masks, one more than there are types. Tried in turn, the first that fits decides:
    white space where the masked text has it, then anywhere; spans shaped as their types, then of any shape.
    """
    for shaped in (True, False):
        for with_blanks in (True, False):
            count, spans = count_alignments(text, plains, types, with_blanks, shaped)
            if count:
                return spans if count == 1 else None
    return None


def count_alignments(
    text: str, plains: Sequence[str], types: Sequence[str], with_blanks: bool, shaped: bool
) -> tuple[int, list[Span]]:
    """How many alignments there are (2 stands for more), and one of them.

    Goes from mask to mask and keeps, for each place where the segment after it can end, the number of ways to get
    there and the last of these ways.
    """
    characters, offsets = squeeze(text, with_blanks)
    segments = [squeeze(plain, with_blanks)[0] for plain in plains]
    tried = 0
    ways: dict[int, tuple[int, tuple]] = {}
    if characters.startswith(segments[0]):
        ways[len(segments[0])] = (1, ())
    for i, phi_type in enumerate(types):
        segment, shape = segments[i + 1], SHAPES.get(phi_type) if shaped else None
        needs_blank = not segment and plains[i + 1] != ""
        after: dict[int, tuple[int, tuple]] = {}
        for start, (count, path) in ways.items():
            for end in span_ends(characters, start, segment, is_last=i + 1 == len(types)):
                tried += 1
                if tried > MOST_SPANS:
                    raise TooManyWays
                span = fitting_span(text, offsets, start, end, needs_blank, shape)
                if span:
                    known = after.get(end + len(segment), (0, ()))[0]
                    after[end + len(segment)] = (min(2, known + count), (path, (*span, phi_type)))
        ways = after
    count, path = ways.get(len(characters), (0, ()))
    spans: list[Span] = []
    while path:
        path, span = path
        spans.append(span)
    return count, spans[::-1]


def fitting_span(
    text: str, offsets: list[int], start: int, end: int, needs_blank: bool, shape: re.Pattern[str] | None
) -> tuple[int, int] | None:
    """Where the compared characters [start, end) stand in the text; None where no mask can stand for them.

    needs_blank: white space must follow, because nothing else separates two masks.
    """
    first, last = offsets[start], offsets[end - 1]
    if text[first].isspace() or text[last].isspace():
        return None
    if needs_blank and last + 1 < len(text) and not text[last + 1].isspace():
        return None
    if shape and not shape.fullmatch(text[first : last + 1]):
        return None
    return first, last + 1


def squeeze(text: str, with_blanks: bool) -> tuple[str, list[int]]:
    """The characters to compare (each run of white space as one blank, or left out) and their offsets in the text."""
    kept = [m.start() for m in re.finditer(r"\s+|\S", text) if with_blanks or not m[0].isspace()]
    return "".join(" " if text[i].isspace() else text[i] for i in kept), kept


def span_ends(characters: str, start: int, segment: str, is_last: bool) -> Iterator[int]:
    """The places after `start` where the next plain segment stands; the last one must end the text."""
    farthest = min(len(characters), start + LONGEST_SPAN + len(segment))
    nearest = max(len(characters) - len(segment), start + 1) if is_last else start + 1
    end = characters.find(segment, nearest, farthest)
    while end >= 0:
        yield end
        end = characters.find(segment, end + 1, farthest)
