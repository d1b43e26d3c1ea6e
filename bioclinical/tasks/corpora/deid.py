"""DEID (PhysioNet deidentifiedmedicaltext 1.0): `id.text` and the same notes with PHI masked in `id.res`."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.tasks.corpora.alignment import TooManyWays, align
from bioclinical.tasks.example import Example
from bioclinical.tasks.gold_spans import count_spans, gold_span
from bioclinical.tasks.readers.brat import tag_covered_spans
from bioclinical.tasks.splits import PAPER, Protocol, sklearn_split_70_15_15
from bioclinical.tasks.task import RawData, counted
from bioclinical.text.words import WHITESPACE_TOKENS, WORD_AND_PUNCTUATION_TOKENS, token_offsets

TYPES = ("age", "date", "location", "name", "other", "phone_nb")
TAGS = ("O",) + tuple(f"B-{t}" for t in TYPES) + tuple(f"I-{t}" for t in TYPES)

RECORD = re.compile(
    r"START_OF_RECORD=([^|\n]{1,40})\|\|\|\|([^|\n]{1,40})\|\|\|\|(.*?)\|\|\|\|END_OF_RECORD", re.DOTALL
)
RECORD_START = "START_OF_RECORD="
MASK = re.compile(r"\[\*\*(.*?)\*\*\]", re.DOTALL)

# The published mapping; the first pattern found in a mask's stripped content decides.
TYPE_PATTERNS = (
    (re.compile(r"name", re.I), "name"),
    (re.compile(r"e-mail address|email address", re.I), "other"),
    (re.compile(r"telephone/fax|pager number", re.I), "phone_nb"),
    (re.compile(r"age over", re.I), "age"),
    (re.compile(r"location", re.I), "location"),
    (re.compile(r"hospital|street address|unit number", re.I), "location"),
    (re.compile(r"\A(?:\d+|\d{1,2}-\d{1,2}|\d{4}-\d{2}-\d{2})\Z|date range|month/year", re.I), "date"),
    (re.compile(r"\A\Z|company", re.I), "other"),
)
# The published date patterns are full matches of few forms; strict reads every mask of digits as one.
DIGITS_MASK = re.compile(r"\d[\d/-]*")
Tagged = dict[str, Any]  # the part of an example that comes of a record's text


@dataclass(frozen=True)
class DeidReader:
    """Published protocol: white-space tokens, spans found by searching the text that follows each mask.

    Strict: words and punctuation of id.text, each once, tagged by an alignment of the two texts; split by patient.
    """

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / "id.text", folder / "id.res"]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        text_path, masked_path = self.raw_files(folder)
        texts, masked = read_records(text_path), read_records(masked_path)
        if len(texts) != len(masked):
            raise UserError(
                f"'{text_path}' has {len(texts)} records but '{masked_path}' has {len(masked)}; "
                "both must come from the same release"
            )
        oddities: Counter[str] = Counter()
        examples: list[Example] = []
        excluded: list[str] = []
        given_up: list[str] = []
        for (record_id, text), (masked_id, masked_text) in zip(texts, masked):
            if record_id != masked_id:
                raise UserError(
                    f"'{masked_path}': record {masked_id} stands where '{text_path}' has record {record_id}"
                )
            try:
                tagged = (tag_strictly if protocol.is_strict else tag_record)(text, masked_text, oddities)
            except TooManyWays:
                given_up.append(record_id)
                continue
            if tagged is None:
                excluded.append(record_id)
                continue
            about = {"id": record_id, "group": record_id.partition("-")[0]}
            examples.append(about | tagged | {"where": f"'{text_path}' record {record_id}"})
        warnings = counted(oddities)
        if excluded:
            ids = ", ".join(excluded)
            warnings.append(f"{len(excluded)} record(s) excluded, whose masks fit in no way or in more than one: {ids}")
        if given_up:
            ids = ", ".join(given_up)
            warnings.append(f"{len(given_up)} record(s) excluded, whose masks could stand in too many places: {ids}")
        pattern = WORD_AND_PUNCTUATION_TOKENS if protocol.is_strict else WHITESPACE_TOKENS
        return RawData(protocol.split(examples, sklearn_split_70_15_15, (0.15, 0.15)), warnings, pattern)


def read_records(path: Path) -> list[tuple[str, str]]:
    """(patient-note id, text with each newline as one space) of every record."""
    content = read_utf8(path)
    records = [
        (f"{patient}-{note}", text.strip().replace("\n", " ")) for patient, note, text in RECORD.findall(content)
    ]
    starts = content.count(RECORD_START)
    if not records or len(records) != starts:
        raise UserError(
            f"'{path}': {starts} records start but {len(records)} end with '||||END_OF_RECORD' after a "
            "'<patient>||||<note>||||' header; the file is damaged or not the PhysioNet release"
        )
    return records


def tag_record(text: str, masked: str, oddities: Counter[str]) -> Tagged:
    """White-space tokens and tags of one record, by the published alignment with its known faults.

    A mask's span runs to the first occurrence of the whole next plain segment; to the record's end where that
    segment is empty or does not occur.
    """
    pieces = MASK.split(masked)  # plain, mask, plain, mask, ..., plain
    tokens, tags = [], []
    position = 0
    for i, piece in enumerate(pieces):
        if i % 2 == 0:
            words = piece.split()
            tokens += words
            tags += ["O"] * len(words)
            position += len(piece)
            continue
        next_plain = pieces[i + 1]
        end = text.find(next_plain, position) if next_plain else -1
        end = len(text) if end < 0 else end
        words = text[position:end].split()
        phi_type = mask_type(piece, oddities) if words else None
        tokens += words
        tags += [f"{'I' if k else 'B'}-{phi_type}" for k in range(len(words))]
        position = end
    return {"tokens": tokens, "tags": tags}


def tag_strictly(text: str, masked: str, oddities: Counter[str]) -> Tagged | None:
    """Words, punctuation, tags and what these cannot say of the masks' spans, of one record; None where its masks
    cannot be laid over the text in one way only.

    Raises TooManyWays where nobody can tell in reasonable time.
    """
    pieces = MASK.split(masked)
    types = ["date" if DIGITS_MASK.fullmatch(mask.strip()) else mask_type(mask, oddities) for mask in pieces[1::2]]
    spans = align(text, pieces[::2], types)
    if spans is None:
        return None
    offsets = token_offsets(text, WORD_AND_PUNCTUATION_TOKENS)
    tags = tag_covered_spans(offsets, spans)
    found = count_spans(offsets, [gold_span(*span) for span in spans], tags)
    return {"tokens": [text[start:end] for start, end in offsets], "tags": tags, "gold_spans": found}


def mask_type(content: str, oddities: Counter[str]) -> str:
    """The PHI type of a mask; one of no published type is `other`, and counted."""
    content = content.strip()
    for pattern, phi_type in TYPE_PATTERNS:
        if pattern.search(content):
            return phi_type
    oddities["mask(s) of no published type read as 'other'"] += 1
    return "other"
