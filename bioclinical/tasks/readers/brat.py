"""brat stand-off annotation: parsing `.ann` files, tagging tokens from spans, and folders of .txt/.ann pairs."""

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.problems.label_names import measured
from bioclinical.tasks.example import Example
from bioclinical.tasks.gold_spans import GoldSpan, count_spans
from bioclinical.tasks.splits import PAPER, Protocol, split_70_15_15
from bioclinical.tasks.task import RawData, counted
from bioclinical.text.words import WORD_AND_PUNCTUATION_TOKENS, token_offsets


@dataclass(frozen=True)
class TextBound:
    """One `T` line: type, character fragments [(start, end), ...] in the .txt, surface text, and its place."""

    id: str
    type: str
    fragments: tuple[tuple[int, int], ...]
    text: str
    where: str

    @property
    def start(self) -> int:
        return self.fragments[0][0]

    @property
    def end(self) -> int:
        return self.fragments[-1][1]

    @property
    def span(self) -> GoldSpan:
        return GoldSpan(tuple(sorted(self.fragments)), self.type)

    @property
    def is_discontinuous(self) -> bool:
        return len(self.fragments) > 1


def read_annotations(path: Path) -> list[TextBound]:
    """The text-bound annotations of an `.ann` file, in file order; all other lines are passed over.

    Raises UserError naming file and line of a malformed one.
    """
    annotations = []
    for number, line in enumerate(read_utf8(path, keep_bom=False).split("\n"), start=1):
        if line.startswith("T"):
            annotations.append(parse_text_bound(line, f"'{path}' line {number}"))
    return annotations


def parse_text_bound(line: str, where: str) -> TextBound:
    """Parses `T1<TAB>Type 0 5;10 15<TAB>surface text`."""
    cells = line.split("\t", 2)
    match = (
        re.fullmatch(r"(\S+) ([0-9]{1,12} [0-9]{1,12}(?:;[0-9]{1,12} [0-9]{1,12})*)", cells[1].strip())
        if len(cells) > 1
        else None
    )
    if match is None:
        raise UserError(f"{where}: not a brat annotation of the form 'T1<TAB>Type start end<TAB>text'")
    pairs = (pair.split() for pair in match[2].split(";"))
    fragments = tuple((int(start), int(end)) for start, end in pairs)
    if any(start >= end for start, end in fragments):
        raise UserError(f"{where}: the span {match[2]} is empty or runs backwards")
    return TextBound(cells[0], match[1], fragments, cells[2] if len(cells) > 2 else "", where)


def require_known_type(annotation: TextBound, types: Iterable[str]) -> None:
    """Raises UserError for a type outside the list."""
    if annotation.type not in types:
        known = ", ".join(sorted(types))
        raise UserError(f"{annotation.where}: a type {measured(annotation.type)} is not in the task's list ({known})")


def tag_tokens(tokens: list[tuple[int, int]], spans: Iterable[tuple[int, int, str]]) -> list[str]:
    """BIO tags: a token belongs to a span (start, end, type) when it lies wholly inside; later spans overwrite."""
    tags = ["O"] * len(tokens)
    for start, end, span_type in spans:
        prefix = "B-"
        for i, (token_start, token_end) in enumerate(tokens):
            if start <= token_start and token_end <= end:
                tags[i] = prefix + span_type
                prefix = "I-"
    return tags


def tag_covered_spans(tokens: list[tuple[int, int]], spans: list[tuple[int, int, str]]) -> list[str]:
    """BIO tags: a token carries the span that covers most of its characters (ties: the longer, then the earlier)."""
    carried: list[int | None] = [None] * len(tokens)
    best = [(0, 0)] * len(tokens)  # (characters covered, length of the span)
    starts, ends = [start for start, _ in tokens], [end for _, end in tokens]
    for number, (start, end, _) in enumerate(spans):
        for i in range(bisect_right(ends, start), bisect_left(starts, end)):
            covered = (min(end, ends[i]) - max(start, starts[i]), end - start)
            if covered > best[i]:
                best[i], carried[i] = covered, number
    pairs = zip(carried, [None, *carried])
    return ["O" if n is None else ("I-" if n == previous else "B-") + spans[n][2] for n, previous in pairs]


def best_reading(raw: str, annotations: list[TextBound]) -> str:
    """The text as the annotation tool counted it: CRLF as one or two characters, a BOM as one or none.

    The reading that agrees with most annotations' surface texts; a counted BOM becomes a blank, so that no token
    holds it.
    """
    plain = raw.replace("\r\n", "\n").replace("\r", "\n")
    readings = [text for t in (plain, raw) for text in (t.replace("\ufeff", " "), t.removeprefix("\ufeff"))]
    return max(readings, key=lambda text: sum(agrees(annotation, text) for annotation in annotations))


def agrees(annotation: TextBound, text: str) -> bool:
    """Whether the surface text stands at the annotation's offsets, whatever the white space."""
    return annotation.text.split() == " ".join(text[start:end] for start, end in annotation.fragments).split()


@dataclass(frozen=True)
class BratReader:
    """A folder of `<name>.txt` + `<name>.ann`, one document an example, split 70/15/15 at random with seed 42.

    token_pattern: the published SocialHistory loader cuts at white space, which loses an entity that touches
    punctuation; other data, and the strict protocol, are better served by the default. types: None accepts any;
    strict_types: those of the strict protocol where they differ.
    """

    token_pattern: str = WORD_AND_PUNCTUATION_TOKENS
    types: tuple[str, ...] | None = None
    strict_types: tuple[str, ...] | None = None

    def raw_files(self, folder: Path) -> list[Path]:
        texts = sorted(folder.glob("*.txt"))
        annotations = [path.with_suffix(".ann") for path in texts]
        return texts + [path for path in annotations if path.exists()] or [folder / "*.txt"]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        read_document = self.read_strict_document if protocol.is_strict else self.read_document
        counts: Counter[str] = Counter()
        documents = []
        for path in sorted(folder.glob("*.txt")):
            if path.with_suffix(".ann").exists():
                documents.append(read_document(path, counts))
            else:
                counts[".txt file(s) without .ann skipped"] += 1
        pattern = WORD_AND_PUNCTUATION_TOKENS if protocol.is_strict else self.token_pattern
        splits = protocol.split(documents, split_70_15_15, (0.15, 0.15))
        return RawData(splits, counted(counts), pattern)

    def read_document(self, path: Path, counts: Counter[str]) -> Example:
        """One document; discontinuous spans are left out, as published, and counted."""
        text = read_utf8(path)
        annotations = read_annotations(path.with_suffix(".ann"))
        spans = []
        for annotation in sorted(annotations, key=lambda a: a.start):
            require_usable(annotation, self.types, text)
            if annotation.is_discontinuous:
                counts["discontinuous span(s) left out"] += 1
                continue
            if annotation.text and annotation.text != text[annotation.start : annotation.end].replace("\n", " "):
                counts["span(s) whose surface text differs from the document at their offsets"] += 1
            spans.append((annotation.start, annotation.end, annotation.type))
        offsets = token_offsets(text, self.token_pattern)
        return document(path, text, offsets, tag_tokens(offsets, spans), annotations)

    def read_strict_document(self, path: Path, counts: Counter[str]) -> Example:
        """One document, every fragment of a span a run of its own; the text is read as its annotations count it."""
        annotations = read_annotations(path.with_suffix(".ann"))
        text = best_reading(read_utf8(path, newline=""), annotations)
        for annotation in annotations:
            require_usable(annotation, self.strict_types or self.types, text)
            if annotation.text and not agrees(annotation, text):
                counts["span(s) whose surface text differs from the document at their offsets"] += 1
        offsets = token_offsets(text, WORD_AND_PUNCTUATION_TOKENS)
        fragments = [(start, end, a.type) for a in annotations for start, end in a.fragments]
        return document(path, text, offsets, tag_covered_spans(offsets, fragments), annotations)


def require_usable(annotation: TextBound, types: tuple[str, ...] | None, text: str) -> None:
    """Raises UserError for a type outside the list or a span outside the text."""
    if types is not None:
        require_known_type(annotation, types)
    if max(end for _, end in annotation.fragments) > len(text):
        raise UserError(
            f"{annotation.where}: the span ends at {annotation.end}, outside the text of {len(text)} characters"
        )


def document(
    path: Path, text: str, offsets: list[tuple[int, int]], tags: list[str], annotations: Iterable[TextBound]
) -> Example:
    tokens = [text[start:end] for start, end in offsets]
    found = count_spans(offsets, (annotation.span for annotation in annotations), tags)
    return {"id": path.stem, "tokens": tokens, "tags": tags, "gold_spans": found, "where": f"'{path}'"}
