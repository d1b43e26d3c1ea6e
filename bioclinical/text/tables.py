"""Rows of a .csv, .tsv or .jsonl file (also .gz), read in order, one at a time, with nothing altered."""

import codecs
import csv
import gzip
import hashlib
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from bioclinical.errors import UserError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*DELIMITERS, ".jsonl")
# A cell beyond this is not a note: one unbalanced quote makes a cell of the whole rest of the file.
LONGEST_CELL = 100_000_000


@dataclass(frozen=True)
class Format:
    """How the rows of an input are to be read."""

    text_column: str = "notes"
    key_column: str | None = None
    encoding: str = "utf-8"
    on_bad_rows: str = "error"


@dataclass(frozen=True)
class Row:
    """A usable row: its number in the file (from 0, skipped rows included), its text and its split key."""

    number: int
    text: str
    key: str | None


def stem_and_suffix(path: Path) -> tuple[str, str]:
    """('notes', '.csv') of notes.csv.gz. Raises UserError where the kind of file is unknown."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    stem, suffix = Path(name).stem, Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"'{path}' is of an unknown kind; allowed: {', '.join(SUFFIXES)}, each also with .gz")
    return stem, suffix


# Anything else may be a patient's name or date in a file without a header, and is not printed.
COLUMN_NAME = re.compile(r"|[^\W\d][\w .:/()-]{0,39}")


class HashedFile(io.FileIO):
    """A file read once from start to end: bytes read so far, and their SHA-256."""

    def __init__(self, path: Path):
        super().__init__(path)
        self.sha256 = hashlib.sha256()
        self.bytes_read = 0

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer) or 0
        self.sha256.update(memoryview(buffer)[:count])
        self.bytes_read += count
        return count


class RowReader:
    """Iterates over the usable rows of one file, once.

    Cells that are absent, blank or not text are skipped and counted in `skipped`. A row whose text cannot be trusted
    (NUL, bytes outside the encoding, a wrong number of cells, broken JSON) raises UserError with its line, or is
    counted where `on_bad_rows` is "skip". Broken quoting always raises, because nobody knows where such a row ends.
    """

    def __init__(self, path: Path, format: Format):
        self.path = Path(path)
        self.format = format
        self.suffix = stem_and_suffix(self.path)[1]
        self.row_count = 0
        self.skipped: Counter[str] = Counter()
        try:
            self.raw = HashedFile(self.path)
        except FileNotFoundError as error:
            raise UserError(f"there is no file '{path}'; give the path of a {', '.join(SUFFIXES)} file") from error
        except IsADirectoryError as error:
            raise UserError(f"'{path}' is a folder; name the files in it, e.g. --dataset '{path}/*.csv'") from error

    def close(self) -> None:
        self.raw.close()

    def check_columns(self) -> None:
        """Raises UserError where the file is empty or lacks a needed column; reads only its beginning."""
        next(self.records(), None)

    def __iter__(self) -> Iterator[Row]:
        for line, text, key in self.records():
            number = self.row_count
            self.row_count += 1
            if self.is_usable(text, line):
                yield Row(number, text, None if key is None else str(key))

    def is_usable(self, text: Any, line: int) -> bool:
        """True for text worth a document; everything else is counted, or raised as a bad row."""
        if text is None:
            self.skipped["absent"] += 1
        elif not isinstance(text, str):
            self.skipped["not_text"] += 1
        elif not text or text.isspace():
            self.skipped["blank"] += 1
        elif "\0" in text:
            self.bad_row("nul_byte", line, "the text holds a NUL byte")
        elif not is_unicode(text):
            self.bad_row("invalid_encoding", line, f"the text is not valid {self.format.encoding} (see --encoding)")
        else:
            return True
        return False

    def bad_row(self, reason: str, line: int, sentence: str) -> None:
        """Counts a bad row, or raises UserError for it."""
        if self.format.on_bad_rows == "error":
            raise UserError(
                f"'{self.path}' line {line}: {sentence}; repair the file, or leave such rows out, counted, "
                "with --on_bad_rows skip"
            )
        self.skipped[reason] += 1

    def records(self) -> Iterator[tuple[int, Any, Any]]:
        """(first line, text cell, key cell) of every row, unchecked. Raises UserError where the file is unreadable."""
        if self.path.stat().st_size == 0:
            raise UserError(f"'{self.path}' is empty")
        buffered: BinaryIO = io.BufferedReader(self.raw, 1 << 20)
        if self.path.name.lower().endswith(".gz"):
            buffered = gzip.GzipFile(fileobj=buffered)
        # utf-8-sig drops the mark that Excel puts first; undecodable bytes are kept apart, to be reported by row.
        encoding = "utf-8-sig" if self.format.encoding.lower() in ("utf-8", "utf8") else self.format.encoding
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise UserError(f"--encoding {encoding} is unknown; e.g. utf-8, latin-1, cp1252") from error
        newline = "" if self.suffix in DELIMITERS else "\n"
        try:
            lines = io.TextIOWrapper(buffered, encoding=encoding, errors="surrogateescape", newline=newline)
            yield from self.cells(lines) if self.suffix in DELIMITERS else self.objects(lines)
        except UnicodeDecodeError as error:
            raise UserError(f"'{self.path}' is not valid {self.format.encoding}; pass its --encoding") from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"'{self.path}' is damaged or not gzip ({error}); fetch it again") from error

    def cells(self, lines: TextIO) -> Iterator[tuple[int, Any, Any]]:
        """The records of a .csv or .tsv."""
        csv.field_size_limit(LONGEST_CELL)
        reader = csv.reader(lines, delimiter=DELIMITERS[self.suffix], strict=True)
        header: list[str] | None = None
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                raise UserError(self.broken_quoting(line, reader.line_num, error)) from error
            if header is None:
                header = cells
                text_index = self.column(header, self.format.text_column)
                key_index = None if self.format.key_column is None else self.column(header, self.format.key_column)
            elif not cells:
                yield line, None, None
            elif len(cells) != len(header):
                self.row_count += 1
                self.bad_row("wrong_cell_count", line, f"{len(cells)} cells where the header has {len(header)}")
            else:
                yield line, cells[text_index], None if key_index is None else cells[key_index]

    def broken_quoting(self, first: int, last: int, error: csv.Error) -> str:
        """The sentence for a row whose quotes do not pair up."""
        kind = "a cell is too long" if "field larger" in str(error) else "quotes do not pair up"
        return (
            f"'{self.path}': {kind} in the row that begins at line {first} (noticed at line {last}: {error}); "
            "double every quote inside a quoted cell, or export the file again"
        )

    def objects(self, lines: TextIO) -> Iterator[tuple[int, Any, Any]]:
        """The records of a .jsonl; the first object must name the columns."""
        known = False
        for line, content in enumerate(lines, start=1):
            if not content.strip():
                continue
            try:
                value = json.loads(content)
            except (json.JSONDecodeError, RecursionError):
                value = None
            if not isinstance(value, dict):
                self.row_count += 1
                self.bad_row("invalid_json", line, "not a JSON object")
                continue
            if not known:
                for name in filter(None, (self.format.text_column, self.format.key_column)):
                    self.column(list(value), name)
                known = True
            yield line, value.get(self.format.text_column), value.get(self.format.key_column)

    def column(self, names: list[str], wanted: str) -> int:
        """The index of a column. Raises UserError naming those present (but no text of a file without a header)."""
        if names.count(wanted) == 1:
            return names.index(wanted)
        if wanted in names:
            raise UserError(f"'{self.path}' has {names.count(wanted)} columns named '{wanted}'; rename all but one")
        if any("\0" in name or not is_unicode(name) for name in names):
            raise UserError(f"'{self.path}' is not {self.format.encoding} text; pass its --encoding, e.g. utf-16")
        if all(COLUMN_NAME.fullmatch(name) for name in names):
            present = f"its first line names: {', '.join(map(repr, names[:20]))}. Choose with --text_column"
        else:
            present = f"its first line has {len(names)} cells and does not look like column names; add a header line"
        raise UserError(f"'{self.path}' has no column '{wanted}'; {present}")


def is_unicode(text: str) -> bool:
    """False where the text holds lone surrogates: bytes that could not be decoded, or broken JSON escapes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
