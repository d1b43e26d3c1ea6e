"""Classification data in CSV or TSV files, one example a row: ChemProt, and files of a user's own."""

import csv
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.files import invalid_utf8_message
from bioclinical.tasks.splits import PAPER, Protocol, split_70_15_15
from bioclinical.tasks.task import SPLITS, Example, RawData


@dataclass(frozen=True)
class DelimitedReader:
    """Rows with a header, csv minimal quoting.

    files: one file name, split 70/15/15 at random with seed 42, or three (train, validation, test).
    id_column: None numbers the rows. The text is kept as it stands ("NA" is text).
    group_column: names the patient or document of a row, by what group_pattern matches at the start of the cell; the
    strict protocol keeps a group on one side of the split.
    """

    files: str | tuple[str, str, str]
    text_column: str
    label_column: str
    id_column: str | None = None
    delimiter: str = ","
    group_column: str | None = None
    group_pattern: str = "(?s).*"

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / name for name in ([self.files] if isinstance(self.files, str) else self.files)]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        parts = [self.read_file(path) for path in self.raw_files(folder)]
        if len(parts) == 1:
            return RawData(protocol.split(parts[0], split_70_15_15, (0.15, 0.15)), warnings=[])
        return RawData(protocol.given(dict(zip(SPLITS, parts))), warnings=[])

    def read_file(self, path: Path) -> list[Example]:
        optional = [column for column in (self.id_column, self.group_column) if column]
        columns = [self.text_column, self.label_column, *optional]
        examples = []
        for line, row in read_rows(path, columns, self.delimiter):
            label = row[self.label_column].strip()
            if not label:
                raise UserError(
                    f"'{path}' line {line}: the column '{self.label_column}' is empty; every row needs a label"
                )
            examples.append(
                {
                    "id": row[self.id_column] if self.id_column else str(len(examples)),
                    "text": row[self.text_column],
                    "labels": label,
                    "where": f"'{path}' line {line}",
                }
            )
            if self.group_column:
                examples[-1]["group"] = re.match(self.group_pattern, row[self.group_column].strip())[0]
        return examples


def read_rows(path: Path, columns: list[str], delimiter: str) -> list[tuple[int, dict[str, str]]]:
    """(line number of the row's end, column -> cell) of every row.

    Raises UserError for a header without the columns, a short row, broken quoting, or bytes that are not UTF-8.
    """
    csv.field_size_limit(sys.maxsize)
    rows = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter=delimiter, strict=True)
            require_columns(path, reader.fieldnames or [], columns)
            for row in reader:
                if None in row or None in row.values():  # DictReader's marks of a long and of a short row
                    cells = f"{'more' if None in row else 'fewer'} cells than the header ({len(reader.fieldnames)})"
                    raise UserError(f"'{path}' line {reader.line_num}: the row has {cells}")
                rows.append((reader.line_num, row))
    except csv.Error as error:
        raise UserError(f"'{path}' line {reader.line_num}: {error}; check the quotes of this row") from error
    except UnicodeDecodeError as error:
        raise UserError(invalid_utf8_message(path)) from error
    return rows


def require_columns(path: Path, present: list[str], wanted: list[str]) -> None:
    """Raises UserError naming the missing columns and those present (column names only, never cells)."""
    missing = [column for column in wanted if column not in present]
    if missing:
        # Without a header the first row is data, which must not be printed.
        shown = (
            f"; its header has {', '.join(present)}"
            if set(present) & set(wanted)
            else "; its first line is no such header"
        )
        raise UserError(f"'{path}' lacks the column(s) {', '.join(missing)}{shown}")
