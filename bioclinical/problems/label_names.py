"""Names of labels: what may be one, what may be printed, and how a head learns them."""

import re
from collections.abc import Sequence
from typing import Any

# Labels collected from data beyond this are taken for text that stands in the wrong column.
MOST_LABELS = 500
LONGEST_LABEL = 80
LABEL_WORD = r"[\w.:/+&()-]{1,30}"
LABEL_NUMBERS = re.compile(r"LABEL_\d+")  # what transformers calls labels that have no names


def measured(label: str) -> str:
    """What may be said of a label that could be a piece of a note, because it stands in the wrong column."""
    return f"of {len(label)} characters (not shown: it may be text)"


def is_printable(label: str, count: int) -> bool:
    """Whether a label collected from data looks like one: at most three short words, and found several times."""
    return count > 1 and re.fullmatch(rf"{LABEL_WORD}( {LABEL_WORD}){{0,2}}", label) is not None


def unknown(what: str, found: set[str], labels: Sequence[str]) -> str | None:
    """The sentence for labels (or tags) outside the list; None where there are none."""
    others = found - set(labels)
    return f"unknown {what} {measured(min(others))}; allowed: {', '.join(labels)}" if others else None


def name_labels(config: Any, labels: Sequence[str], problem_type: str | None) -> None:
    """Gives a transformers config the labels' names, which also decide the size of the head."""
    config.problem_type = problem_type
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: i for i, label in enumerate(labels)}
