"""Token data in CoNLL columns: one token a line, its tag in the last column, a blank line between sentences."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.tasks.example import SPLITS, Example
from bioclinical.tasks.splits import PAPER, Protocol
from bioclinical.tasks.task import RawData

DOCUMENT_MARK = "-DOCSTART-"
# "-DOCSTART- (PMC-1072800-sec-07)" and "-DOCSTART- 95369245" name a document; "-DOCSTART- -X- O" does not.
DOCUMENT_NAME = re.compile(rf"{DOCUMENT_MARK}\s+\(?([\w.-]*\d[\w.-]*)\)?\s*")


@dataclass(frozen=True)
class ConllReader:
    """Three files (train, validation, test). The first column is the token, the last one its tag.

    Columns are separated by a tab or, in a line without one, by blanks. columns: how many every line must have; None
    takes what the file's first line has.
    scheme: `iob1` files begin an entity with I- unless it touches another one of its type; they become BIO.
    untyped: the types are dropped (B-protein becomes B).  bare_type: the type of tags that come without one.
    Lines with `-DOCSTART-` begin documents; the sentences of one form a group.
    """

    files: tuple[str, str, str]
    columns: int | None = None
    scheme: Literal["bio", "iob1"] = "bio"
    untyped: bool = False
    bare_type: str | None = None

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / name for name in self.files]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        splits = {split: self.read_file(path) for split, path in zip(SPLITS, self.raw_files(folder))}
        return RawData(protocol.given(splits), warnings=[])

    def read_file(self, path: Path) -> list[Example]:
        """One file's sentences with their tags as this reader is told to give them."""
        sentences = read_conll(path, self.columns)
        for sentence in sentences:
            if self.scheme == "iob1":
                sentence["tags"] = bio_from_iob1(sentence["tags"])
            if self.untyped:
                sentence["tags"] = [tag[:1] for tag in sentence["tags"]]
            if self.bare_type:
                sentence["tags"] = [f"{tag}-{self.bare_type}" if tag in ("B", "I") else tag for tag in sentence["tags"]]
        return sentences


def read_conll(path: Path, columns: int | None = None) -> list[Example]:
    """The sentences of one file, ids `<file stem>:<first line>`.

    Raises UserError, naming the line, where the number of columns is not the expected one, and for a file without any.
    """
    sentences: list[Example] = []
    documents: list[str] = []
    expected = columns
    is_open = False
    # Only real newlines end a line: tokens may hold Unicode separators, which str.splitlines would cut at.
    for number, line in enumerate(read_utf8(path, keep_bom=False).split("\n"), start=1):
        if line.startswith(DOCUMENT_MARK):
            name = DOCUMENT_NAME.fullmatch(line)
            documents.append(name[1] if name else f"{path.stem}:document{len(documents) + 1}")
            is_open = False
            continue
        if not line.strip():
            is_open = False
            continue
        cells = line.split("\t") if "\t" in line else re.split(" +", line.strip(" "))
        if len(cells) < 2 or not cells[0]:
            raise UserError(f"'{path}' line {number}: expected a token and a tag separated by a tab")
        expected = expected or len(cells)
        if len(cells) != expected:
            raise UserError(column_count_message(path, number, len(cells), columns, expected))
        if not is_open:
            place = {"id": f"{path.stem}:{number}", "where": f"'{path}' line {number}"}
            sentences.append(place | {"tokens": [], "tags": []} | ({"group": documents[-1]} if documents else {}))
            is_open = True
        sentences[-1]["tokens"].append(cells[0])
        sentences[-1]["tags"].append(cells[-1].strip())
    if not sentences:
        raise UserError(f"'{path}' holds no sentence; is it the whole file?")
    if len(documents) == 1:  # a mark at the head of the file only: it says nothing about documents
        for sentence in sentences:
            del sentence["group"]
    return sentences


def column_count_message(path: Path, number: int, found: int, columns: int | None, expected: int) -> str:
    """The sentence for a line with another number of columns than this task's files, or this file's lines, have."""
    if columns is None:
        return f"'{path}' line {number}: {found} columns where the lines before it have {expected}"
    return (
        f"'{path}' line {number}: {found} columns where this task's files have {columns}; is it another release of the "
        "corpus? The task's source says which one belongs here"
    )


def bio_from_iob1(tags: list[str]) -> list[str]:
    """The tags with a B- at the beginning of every entity.

    In IOB1 a B- stands only where an entity touches the one before it of the same type; every other entity begins
    with I- (Tjong Kim Sang and Veenstra 1999).
    """
    converted = []
    for previous, tag in zip(["O", *tags], tags):
        begins = tag.startswith("I") and (previous == "O" or previous[1:] != tag[1:])
        converted.append("B" + tag[1:] if begins else tag)
    return converted
