"""Classification data in CSV, TSV or JSON lines files, one example a row: ChemProt, and files of a user's own."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError
from bioclinical.tasks.example import SPLITS, Example
from bioclinical.tasks.splits import PAPER, Protocol, split_70_15_15
from bioclinical.tasks.task import RawData
from bioclinical.text.columns import is_surely_a_name
from bioclinical.text.tables import TableReader


@dataclass(frozen=True)
class DelimitedReader:
    """Rows with a header and csv's minimal quoting, or (in a .jsonl file) JSON objects; each also with .gz.

    files: one file name, split 70/15/15 at random with seed 42, or three (train, validation, test).
    id_column: None numbers the rows. The text is kept as it stands ("NA" is text).  text_b_column: of a pair's second.
    header: the names of all columns, for files without a line that names them.  quoted: False where a quote is a
    character like any other (BLURB's files; BLUE's are quoted).
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
    text_b_column: str | None = None
    header: tuple[str, ...] | None = None
    quoted: bool = True

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / name for name in ([self.files] if isinstance(self.files, str) else self.files)]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        parts = [self.read_file(path) for path in self.raw_files(folder)]
        if len(parts) == 1:
            return RawData(protocol.split(parts[0], split_70_15_15, (0.15, 0.15)), warnings=[])
        return RawData(protocol.given(dict(zip(SPLITS, parts))), warnings=[])

    def read_file(self, path: Path) -> list[Example]:
        """One example a row; blank lines are passed over. Raises UserError naming the line of a row that is none."""
        optional = [column for column in (self.text_b_column, self.id_column, self.group_column) if column]
        columns = dict.fromkeys([self.text_column, self.label_column, *optional])
        delimiter = None if is_json_lines(path) else self.delimiter
        examples: list[Example] = []
        table = TableReader(path, tuple(columns), delimiter=delimiter, header=self.header, quoted=self.quoted)
        for row in table.rows():
            if not row.cells:
                continue
            where = f"'{path}' line {row.line}"
            if self.header and row.number == 0 and all(map(is_surely_a_name, row.cells.values())):
                raise UserError(
                    f"{where}: this line names columns, and the files of this task have none; is it another release?"
                )
            cells = {column: as_text(row.cells[column], column, where) for column in columns}
            label = cells[self.label_column].strip()
            if not label:
                raise UserError(f"{where}: the column '{self.label_column}' is empty; every row needs a label")
            example: Example = {
                "id": cells[self.id_column] if self.id_column else str(len(examples)),
                "text": cells[self.text_column],
                "labels": label,
                "where": where,
            }
            if self.text_b_column:
                example["text_b"] = cells[self.text_b_column]
            if self.group_column:
                example["group"] = re.match(self.group_pattern, cells[self.group_column].strip())[0]
            examples.append(example)
        return examples


def is_json_lines(path: Path) -> bool:
    """Whether the file holds a JSON object a line; any other name means delimited cells."""
    return path.name.lower().removesuffix(".gz").endswith(".jsonl")


def as_text(cell: Any, column: str, where: str) -> str:
    """A cell as text; numbers of JSON lines are written out. Raises UserError for any other JSON value."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return str(cell)
    raise UserError(f"{where}: the column '{column}' holds no text; every row needs one")
