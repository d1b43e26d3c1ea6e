"""Text with character spans (start, end, type) -> lines of tokens with BIO tags."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.tasks.example import Example
from bioclinical.tasks.gold_spans import GoldSpan, count_spans
from bioclinical.tasks.readers.brat import tag_covered_spans
from bioclinical.text.words import token_offsets

Span = tuple[int, int, str]


def check_spans(spans: Iterable[Span], text: str, place: Callable[[int], str]) -> None:
    """Raises UserError for a span that runs backwards or leaves the text. place: of the span with that position."""
    for i, (start, end, _) in enumerate(spans):
        if not 0 <= start <= end <= len(text):
            raise UserError(
                f"{place(i)}: the span {start}-{end} is outside the text of {len(text):,} characters, or runs backwards"
            )


def count_overlaps(spans: Iterable[Span], counts: Counter[str]) -> None:
    """Counts the spans that begin before an earlier one has ended; a token can carry one span only."""
    reached = 0
    for start, end, _ in sorted(set(spans)):
        counts["overlapping span(s): a word carries the one that covers most of it"] += start < reached
        reached = max(reached, end)


def tagged_lines(path: Path, document: str, text: str, spans: list[Span], pattern: str) -> list[Example]:
    """One example per line that holds a token, ids `<document>:<line>`, the document as their group.

    pattern: the regular expression of a token. A span over two lines gives each of them an entity of its own.
    """
    offsets = token_offsets(text, pattern)
    tags = tag_covered_spans(offsets, spans)
    examples = []
    position = line_start = 0
    for number, line in enumerate(text.split("\n"), start=1):
        line_end = line_start + len(line)
        first = position
        while position < len(offsets) and offsets[position][0] < line_end:
            position += 1
        if position > first:
            line_tags = beginning_afresh(tags[first:position])
            own = [cut_at_lines(span, text) for span in spans if line_start <= span[0] < line_end]
            example = {
                "id": f"{document}:{number}",
                "tokens": [text[start:end] for start, end in offsets[first:position]],
                "tags": line_tags,
                "gold_spans": count_spans(offsets[first:position], own, line_tags),
                "group": document,
                "where": f"'{path}' (line {number} of the text)",
            }
            examples.append(example)
        line_start = line_end + 1
    return examples


def beginning_afresh(tags: list[str]) -> list[str]:
    """The tags of a line; an entity that came over from the line before begins again."""
    return ["B" + tags[0][1:] if tags[0].startswith("I") else tags[0], *tags[1:]]


def cut_at_lines(span: Span, text: str) -> GoldSpan:
    """A span in as many pieces as it has lines."""
    start, end, span_type = span
    lines = re.finditer(r"\S.*", text[start:end])
    return GoldSpan(tuple((start + line.start(), start + line.end()) for line in lines), span_type)
