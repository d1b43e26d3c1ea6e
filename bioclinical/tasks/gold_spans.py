"""What tags cannot say of a task's gold: annotated spans that no tagger of words can give back, counted by reason.

A word carries one tag. Of spans that overlap some are lost, and a span in several pieces, or one that ends inside a
word, has no tags of its own at all. This bounds every score against all gold: the task's ceiling.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypedDict

from bioclinical.tasks.example import Example

DISCONTINUOUS = "discontinuous"  # also one that runs over several lines, where these are the examples
NO_WORD = "without a word"
INSIDE_WORD = "ending inside a word"
SAME_OFFSETS = "same offsets as another"
NESTED = "nested"
CROSSING = "crossing"
REASONS = (DISCONTINUOUS, NO_WORD, INSIDE_WORD, SAME_OFFSETS, NESTED, CROSSING)


class GoldSpan(NamedTuple):
    """An annotation: its pieces [(start, end), ...], ascending, and its type."""

    pieces: tuple[tuple[int, int], ...]
    type: str

    @property
    def start(self) -> int:
        return self.pieces[0][0]

    @property
    def end(self) -> int:
        return self.pieces[-1][1]


class SpanCount(TypedDict):
    """gold: annotated spans, those of the same pieces and type counted once.  tagged: entities that the tags hold.
    lost: reason -> gold spans that are none of these."""

    gold: int
    tagged: int
    lost: dict[str, int]


def gold_span(start: int, end: int, span_type: str) -> GoldSpan:
    """A span in one piece."""
    return GoldSpan(((start, end),), span_type)


def count_spans(words: Sequence[tuple[int, int]], spans: Iterable[GoldSpan], tags: Sequence[str]) -> SpanCount:
    """Holds a document's annotations against its tags. words: their [start, end), ascending."""
    from seqeval.metrics.sequence_labeling import get_entities  # slow to import

    distinct, entities = set(spans), set(get_entities(list(tags)))
    lost = Counter(why_lost(span, distinct, words, entities) for span in distinct)
    del lost[None]
    return {
        "gold": len(distinct),
        "tagged": len(entities),
        "lost": {reason: lost[reason] for reason in REASONS if reason in lost},
    }


def why_lost(
    span: GoldSpan, spans: set[GoldSpan], words: Sequence[tuple[int, int]], entities: set[tuple[str, int, int]]
) -> str | None:
    """The reason for which a span is no entity (type, first word, last word) of the tags; None for one that is.

    First what rules it out whatever stands beside it, then the closest relation to a span that it overlaps.
    """
    if len(span.pieces) > 1:
        return DISCONTINUOUS
    first = bisect_right(words, span.start, key=lambda word: word[1])
    last = bisect_left(words, span.end, key=lambda word: word[0]) - 1
    if first > last:
        return NO_WORD
    if words[first][0] < span.start or words[last][1] > span.end:
        return INSIDE_WORD
    if (span.type, first, last) in entities:
        return None
    others = [(start, end) for other in spans if other != span for start, end in other.pieces]
    overlapping = [(start, end) for start, end in others if start < span.end and span.start < end]
    if (span.start, span.end) in overlapping:
        return SAME_OFFSETS
    if any((start - span.start) * (end - span.end) <= 0 for start, end in overlapping):
        return NESTED
    return CROSSING


def summed(examples: Iterable[Example]) -> SpanCount | None:
    """The counts of the examples together; None where their reader knows no spans."""
    counts = [example["gold_spans"] for example in examples if "gold_spans" in example]
    if not counts:
        return None
    lost = sum((Counter(count["lost"]) for count in counts), Counter())
    return {
        "gold": sum(count["gold"] for count in counts),
        "tagged": sum(count["tagged"] for count in counts),
        "lost": {reason: lost[reason] for reason in REASONS if reason in lost},
    }


def kept_share(count: SpanCount) -> float:
    """Of the gold spans, those that can be tagged; 1 where there are none."""
    return 1 - sum(count["lost"].values()) / count["gold"] if count["gold"] else 1.0


def best_f1(count: SpanCount) -> float:
    """Entity F1 against all gold spans of a tagger that gives every word its gold tag."""
    kept = count["gold"] - sum(count["lost"].values())
    found = count["tagged"] + count["gold"]
    return 2 * kept / found if found else 1.0


def ceiling_sentence(count: SpanCount | None) -> str | None:
    """What no tagger can find in a test set, as a sentence; None where nothing is lost, or known of it."""
    if count is None or not count["lost"]:
        return None
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in count["lost"].items())
    return (
        f"{sum(count['lost'].values()):,} of {count['gold']:,} gold spans of the test cannot be tagged ({reasons}): "
        f"against all of them a perfect tagger reaches recall {100 * kept_share(count):.2f} and F1 "
        f"{100 * best_f1(count):.2f}"
    )


def span_rows(parts: Sequence[Iterable[Example]]) -> dict[str, list[float]]:
    """What dataloader.py shows of each split: a row per reason that occurs, and the ceilings in percent."""
    counts = [summed(examples) for examples in parts]
    if None in counts:
        return {}
    rows: dict[str, list[float]] = {"gold spans": [count["gold"] for count in counts]}
    for reason in REASONS:
        if any(reason in count["lost"] for count in counts):
            rows[f"lost: {reason}"] = [count["lost"].get(reason, 0) for count in counts]
    rows["can be tagged, %"] = [100 * kept_share(count) for count in counts]
    rows["best F1 against all gold, %"] = [100 * best_f1(count) for count in counts]
    return rows
