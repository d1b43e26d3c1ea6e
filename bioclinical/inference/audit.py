"""How much of what people marked a model would redact: recall by type with intervals, and where it misses.

An entity counts as found where all its characters but white space lie inside what is redacted, whatever its type:
a part left standing is a miss. Intervals are Wilson's, 95 %, with the entities of a note counted as dependent
(Korn and Graubard 1998: the number of entities is divided by the design effect of drawing whole notes).
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.inference.documents import Document
from bioclinical.problems.label_names import LABEL_WORD, measured
from bioclinical.tasks.readers.brat import best_reading, read_annotations
from bioclinical.text.tables import TableReader

NORMAL_95 = 1.959964
LEVEL = 0.975
ALL = "all"


@dataclass(frozen=True)
class MarkedNote:
    """A note with what people marked: (start, end, type) in characters."""

    document: Document
    spans: list[tuple[int, int, str]]


def read_gold(path: Path, text_column: str, id_column: str | None) -> list[MarkedNote]:
    """Marked notes: a folder of brat's .txt and .ann, or JSON lines with a text and `entities` as predict writes them.

    Raises UserError for what cannot be read, naming the note.
    """
    if path.is_dir():
        return read_brat(path)
    if path.suffix != ".jsonl":
        raise UserError(f"--audit '{path}': a folder of brat files or a .jsonl with `entities` is expected")
    key = id_column or "id"
    notes = []
    for row in TableReader(path, list(dict.fromkeys([text_column, key, "entities"]))).rows():
        text, name, entities = row.cells[text_column], str(row.cells[key]), row.cells["entities"]
        if not isinstance(text, str) or not isinstance(entities, list):
            raise UserError(f"--audit '{path}' line {row.line}: a text and a list `entities` are expected")
        notes.append(MarkedNote(Document(name, text), [checked_span(one, name, len(text)) for one in entities]))
    return with_entities(notes, path)


def read_brat(folder: Path) -> list[MarkedNote]:
    """The documents of a folder; each piece of a span in several is marked by itself."""
    notes = []
    for path in sorted(folder.glob("*.txt")):
        if path.with_suffix(".ann").exists():
            annotations = read_annotations(path.with_suffix(".ann"))
            text = best_reading(read_utf8(path, newline=""), annotations)
            pieces = [{"start": s, "end": e, "type": one.type} for one in annotations for s, e in one.fragments]
            notes.append(MarkedNote(Document(path.stem, text), [checked_span(p, path.stem, len(text)) for p in pieces]))
    return with_entities(notes, folder)


def with_entities(notes: list[MarkedNote], path: Path) -> list[MarkedNote]:
    """The notes; raises UserError where nothing is marked in any."""
    if not any(note.spans for note in notes):
        raise UserError(f"--audit '{path}' holds no marked entity")
    return notes


def checked_span(entity: Any, note: str, length: int) -> tuple[int, int, str]:
    """An entity as a span. Raises UserError for one that is none, or lies outside its note."""
    values = [entity.get(key) for key in ("start", "end", "type")] if isinstance(entity, dict) else [None] * 3
    start, end, kind = values
    if not all(type(one) is int for one in (start, end)) or not isinstance(kind, str):
        raise UserError(f"--audit: an entity of note {note} is not {{start, end, type}}")
    if not 0 <= start < end <= length:
        raise UserError(f"--audit: an entity of note {note} at [{start}, {end}) is outside its {length:,} characters")
    if not is_type(kind):
        raise UserError(f"--audit: an entity of note {note} has a type {measured(kind)}")
    return start, end, kind


def is_type(kind: str) -> bool:
    """Whether it looks like a type's name rather than a piece of text."""
    return re.fullmatch(LABEL_WORD, kind) is not None


def audited(notes: Sequence[MarkedNote], predictions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Recall by type, all types together, and the misses by id and offsets."""
    rows, misses = [], []
    for number, (note, prediction) in enumerate(zip(notes, predictions, strict=True)):
        is_covered = covered_characters(note.document.text, prediction["entities"])
        exact = {(one["start"], one["end"], one["type"]) for one in prediction["entities"]}
        for start, end, kind in sorted(set(note.spans)):
            share = float(is_covered[start:end].mean())
            rows.append((number, kind, share == 1, (start, end, kind) in exact))
            if share < 1:
                place = {"id": note.document.id, "start": start, "end": end, "type": kind}
                misses.append(place | {"covered": round(share, 4)})
    kinds = [ALL, *sorted({kind for _, kind, _, _ in rows})]
    of_kind = {kind: [row for row in rows if kind in (ALL, row[1])] for kind in kinds}
    return {"notes": len(notes), "recall": {kind: recall(of_kind[kind]) for kind in kinds}, "misses": misses}


def covered_characters(text: str, entities: Iterable[dict[str, Any]]) -> np.ndarray:
    """(characters,): whether it would be redacted, or is white space."""
    covered = np.array([character.isspace() for character in text], dtype=bool)
    for entity in entities:
        covered[entity["start"] : entity["end"]] = True
    return covered


def recall(rows: Sequence[tuple[int, str, bool, bool]]) -> dict[str, Any]:
    """Found entities of one type. rows: (number of the note, type, is found, is found with these offsets and type)."""
    found = np.array([row[2] for row in rows], dtype=float)
    low, high = interval(found, np.array([row[0] for row in rows]))
    return {
        "entities": len(rows),
        "found": int(found.sum()),
        "exact": sum(row[3] for row in rows),
        "recall": round(float(found.mean()), 6),
        "interval": [round(low, 6), round(high, 6)],
    }


def interval(found: np.ndarray, notes: np.ndarray) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, for as many independent entities as these of whole notes are worth.

    Where all or none were found the spread over notes says nothing; each note then counts once.
    """
    from scipy.stats import t  # slow to import

    count, share = len(found), float(found.mean())
    groups = np.unique(notes)
    worth = float(len(groups))
    if 0 < share < 1 and len(groups) > 1:
        surplus = np.array([(found[notes == group] - share).sum() for group in groups])
        variance = (surplus**2).sum() * len(groups) / (len(groups) - 1) / count**2
        design_effect = max(1.0, variance / (share * (1 - share) / count))
        # The variance over few notes is itself uncertain: t in place of the normal distribution, as they propose.
        worth = count / design_effect * (NORMAL_95 / t.ppf(LEVEL, len(groups) - 1)) ** 2
    z2 = NORMAL_95**2 / worth
    centre, half = share + z2 / 2, NORMAL_95 * math.sqrt(share * (1 - share) / worth + z2 / (4 * worth))
    return max(0.0, (centre - half) / (1 + z2)), min(1.0, (centre + half) / (1 + z2))
