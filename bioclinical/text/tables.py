"""Rows of a .csv, .tsv or .jsonl file (also .gz), read in order, one at a time, with nothing altered.

`TableReader.rows()` gives the cells of any columns; `TextReader.texts()` the texts, with a key where one is wanted.
"""

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TextIO

from bioclinical.errors import UserError
from bioclinical.text.columns import require_columns

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*DELIMITERS, ".jsonl")
# A cell beyond this is not a note: one unbalanced quote makes a cell of the whole rest of the file.
LONGEST_CELL = 100_000_000


@dataclass(frozen=True)
class Format:
    """How the texts of a table are to be read: their column, that of their key, and what `TableReader` takes."""

    text_column: str = "notes"
    key_column: str | None = None
    encoding: str = "utf-8"
    on_bad_rows: Literal["error", "skip"] | None = None


@dataclass(frozen=True)
class TableRow:
    """One row: its number (from 0, rows left out included), its first line in the file (from 1), its cells by column.

    Cells of .csv and .tsv are text; those of .jsonl any JSON value, None where the key is absent. A blank line has no
    cells.
    """

    number: int
    line: int
    cells: dict[str, Any]


@dataclass(frozen=True)
class TextRow:
    """A row with a text: its number (from 0, rows left out included), the text, and its key where one was asked for."""

    number: int
    text: str
    key: str | None


class Flaw(NamedTuple):
    """Why the cells of a row cannot be trusted: the reason under which it is counted, and a sentence."""

    reason: str
    sentence: str


def stem_and_suffix(path: Path) -> tuple[str, str]:
    """('notes', '.csv') of notes.csv.gz. Raises UserError where the kind of file is unknown."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    stem, suffix = Path(name).stem, Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(f"'{path}' is of an unknown kind; allowed: {', '.join(SUFFIXES)}, each also with .gz")
    return stem, suffix


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


class TableReader:
    """Reads the rows of one file, once, from its first line to its last.

    columns: the cells wanted of each row.
    delimiter: of the cells, whatever the file's name; None: by the suffix, which must then be a known one.
    header: the names of all columns, for a file whose first line is a row.  skip_lines: passed over before it.
    quoted: False where a quote is a character like any other.
    on_bad_rows: a row that cannot be trusted (bytes outside the encoding, a wrong number of cells, broken JSON) raises
        UserError with its line ("error", None), or is left out and counted in `skipped` by reason ("skip"). None: the
        user was not asked, so the sentences name no flag. Broken quoting always raises, because nobody knows where such
        a row ends.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        *,
        delimiter: str | None = None,
        header: Sequence[str] | None = None,
        skip_lines: int = 0,
        quoted: bool = True,
        encoding: str = "utf-8",
        on_bad_rows: Literal["error", "skip"] | None = None,
    ):
        self.path = Path(path)
        self.columns = tuple(columns)
        self.delimiter = delimiter or DELIMITERS.get(stem_and_suffix(self.path)[1])  # None: JSON lines
        self.header = None if header is None else list(header)
        self.skip_lines = skip_lines
        self.quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
        self.encoding = encoding
        self.on_bad_rows = on_bad_rows
        self.row_count = 0
        self.skipped: Counter[str] = Counter()
        check_encoding(encoding)
        try:
            self.raw = HashedFile(self.path)
        except FileNotFoundError as error:
            raise UserError(f"there is no file '{path}'; give the path of a {', '.join(SUFFIXES)} file") from error
        except IsADirectoryError as error:
            raise UserError(f"'{path}' is a folder; name the files in it, e.g. '{path}/*.csv'") from error

    def close(self) -> None:
        self.raw.close()

    def check_columns(self) -> None:
        """Raises UserError where the file is empty or lacks a column; reads only its beginning."""
        next(self.records(), None)

    def rows(self) -> Iterator[TableRow]:
        """Every row that can be trusted."""
        for line, cells in self.records():
            number = self.row_count
            self.row_count += 1
            if isinstance(cells, Flaw):
                self.leave_out(line, cells)
            elif not all(is_unicode(cell) for cell in cells.values() if isinstance(cell, str)):
                self.leave_out(line, Flaw("invalid_encoding", f"the text is not valid {self.encoding}"))
            else:
                yield TableRow(number, line, cells)

    def leave_out(self, line: int, flaw: Flaw) -> None:
        """Counts a bad row, or raises UserError for it."""
        if self.on_bad_rows == "skip":
            self.skipped[flaw.reason] += 1
            return
        way_out = f"repair the file{'' if flaw.reason != 'invalid_encoding' else f' or {self.way_to_decode()}'}"
        if self.on_bad_rows == "error":
            way_out += ", or leave such rows out, counted, with --on_bad_rows skip"
        raise UserError(f"'{self.path}' line {line}: {flaw.sentence}; {way_out}")

    def way_to_decode(self) -> str:
        """What to do about a file in another encoding."""
        return "convert it to UTF-8" if self.on_bad_rows is None else "pass its --encoding, e.g. cp1252 or utf-16"

    def records(self) -> Iterator[tuple[int, dict[str, Any] | Flaw]]:
        """(first line, cells or what is wrong with them) of every row. Raises UserError for an unreadable file."""
        if self.path.is_file() and self.path.stat().st_size == 0:
            raise UserError(f"'{self.path}' is empty")
        buffered: BinaryIO = io.BufferedReader(self.raw, 1 << 20)
        if self.path.name.lower().endswith(".gz"):
            buffered = gzip.GzipFile(fileobj=buffered)
        # utf-8-sig drops the mark that Excel puts first; undecodable bytes are kept apart, to be reported by row.
        encoding = "utf-8-sig" if self.encoding.lower() in ("utf-8", "utf8") else self.encoding
        newline = "\n" if self.delimiter is None else ""
        try:
            lines = io.TextIOWrapper(buffered, encoding=encoding, errors="surrogateescape", newline=newline)
            yield from self.json_records(lines) if self.delimiter is None else self.delimited_records(lines)
        except UnicodeError as error:
            raise UserError(f"'{self.path}' is not valid {self.encoding}; {self.way_to_decode()}") from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UserError(f"'{self.path}' is damaged or not gzip ({error}); fetch it again") from error

    def delimited_records(self, lines: TextIO) -> Iterator[tuple[int, dict[str, Any] | Flaw]]:
        """The records of a .csv or .tsv, below the line that names the columns."""
        csv.field_size_limit(LONGEST_CELL)
        for _ in range(self.skip_lines):
            next(lines, None)
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True, quoting=self.quoting)
        header = self.header
        places = {column: header.index(column) for column in self.columns} if header else {}
        while True:
            line = self.skip_lines + reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                break
            except csv.Error as error:
                raise UserError(self.broken_quoting(line, self.skip_lines + reader.line_num, error)) from error
            if header is None:
                header = cells
                self.require_columns(header)
                places = {column: header.index(column) for column in self.columns}
            elif not cells:
                yield line, {}
            elif len(cells) != len(header):
                yield (
                    line,
                    Flaw("wrong_cell_count", f"{len(cells)} cells where {self.described} {len(header)}"),
                )
            else:
                yield line, {column: cells[place] for column, place in places.items()}
        if header is None:
            raise UserError(f"'{self.path}' is empty")

    @property
    def described(self) -> str:
        """What says how many cells a row has."""
        return "the header has" if self.header is None else "this format has"

    def broken_quoting(self, first: int, last: int, error: csv.Error) -> str:
        """The sentence for a row whose quotes do not pair up."""
        kind = "a cell is too long" if "field larger" in str(error) else "quotes do not pair up"
        return (
            f"'{self.path}': {kind} in the row that begins at line {first} (noticed at line {last}: {error}); "
            "double every quote inside a quoted cell, or export the file again"
        )

    def json_records(self, lines: TextIO) -> Iterator[tuple[int, dict[str, Any] | Flaw]]:
        """The records of a .jsonl; the first object must name the columns."""
        are_known = False
        for line, content in enumerate(lines, start=1):
            if not content.strip():
                continue
            try:
                value = json.loads(content)
            except (ValueError, RecursionError):  # ValueError: also a number of thousands of digits
                value = None
            if not isinstance(value, dict):
                yield line, Flaw("invalid_json", "not a JSON object")
                continue
            if not are_known:
                self.require_columns(list(value))
                are_known = True
            yield line, {column: value.get(column) for column in self.columns}

    def require_columns(self, present: list[str]) -> None:
        """Raises UserError where a wanted column is absent, or there several times."""
        if any("\0" in name or not is_unicode(name) for name in present):
            raise UserError(f"'{self.path}' is not {self.encoding} text; {self.way_to_decode()}")
        require_columns(self.path, present, self.columns)


class TextReader(TableReader):
    """Reads the rows of one file that hold a text."""

    def __init__(self, path: Path, format: Format = Format()):
        columns = [format.text_column, *([format.key_column] if format.key_column else [])]
        super().__init__(path, columns, encoding=format.encoding, on_bad_rows=format.on_bad_rows)
        self.format = format

    def texts(self, keep_empty: bool = False) -> Iterator[TextRow]:
        """The texts as they stand. Cells that are absent, blank or not text are left out, and counted in `skipped`.

        keep_empty: such rows are given, too (absent and not text as ""), and not counted.
        """
        for row in self.rows():
            text, key = row.cells.get(self.format.text_column), row.cells.get(self.format.key_column)
            reason = why_no_text(text)
            if reason and not keep_empty:
                self.skipped[reason] += 1
            elif isinstance(text, str) and "\0" in text:
                self.leave_out(row.line, Flaw("nul_byte", "the text holds a NUL byte"))
            else:
                yield TextRow(row.number, text if isinstance(text, str) else "", None if key is None else str(key))


def why_no_text(cell: Any) -> str | None:
    """None for a text worth a document, else the reason why it is none."""
    if cell is None:
        return "absent"
    if not isinstance(cell, str):
        return "not_text"
    return None if cell and not cell.isspace() else "blank"


def check_encoding(name: str) -> None:
    """Raises UserError for an encoding that Python does not know as one of texts."""
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=name)
    except (LookupError, ValueError) as error:  # ValueError: a NUL in the name
        raise UserError(f"--encoding {name} is unknown; e.g. utf-8, latin-1, cp1252") from error


def is_unicode(text: str) -> bool:
    """False where the text holds lone surrogates: bytes that could not be decoded, or broken JSON escapes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
