"""The texts that a model is asked about, and their ids."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bioclinical.files import read_utf8
from bioclinical.text.tables import Flaw, TableReader


@dataclass(frozen=True)
class Columns:
    """Where a table's documents stand, and how it is read."""

    text: str = "text"
    text_b: str | None = None
    id: str | None = None
    patient: str | None = None
    encoding: str = "utf-8"
    on_bad_rows: Literal["error", "skip"] = "error"


@dataclass(frozen=True)
class Document:
    """An id and the text exactly as it stands; of a pair also the second text; whom it is of, where a column says."""

    id: str
    text: str
    text_b: str | None = None
    patient: str | None = None

    @property
    def texts(self) -> dict[str, str]:
        """What is there, by name."""
        return {"text": self.text} | ({} if self.text_b is None else {"text_b": self.text_b})

    @property
    def is_empty(self) -> bool:
        """Whether the text, or one of a pair, holds blanks at most."""
        return not all(text.strip() for text in self.texts.values())


def read_documents(path: Path, columns: Columns) -> tuple[list[Document], int]:
    """The documents of a .txt (one) or of a table (one a row, ids from 1 where no column has them), and how many
    damaged rows were left out.

    Rows without a text are documents without a text. Raises UserError for an unreadable file or, unless these are to be
    left out, a damaged row; row numbers count those left out.
    """
    if path.suffix == ".txt" and path.is_file():
        return [Document(path.stem, read_utf8(path, newline=""))], 0
    names = [name for name in (columns.text, columns.text_b, columns.id, columns.patient) if name is not None]
    reader = TableReader(path, list(dict.fromkeys(names)), encoding=columns.encoding, on_bad_rows=columns.on_bad_rows)
    documents = []
    for row in reader.rows():
        text = as_text(row.cells.get(columns.text))
        text_b = None if columns.text_b is None else as_text(row.cells.get(columns.text_b))
        key = None if columns.id is None else row.cells.get(columns.id)
        if "\0" in text + (text_b or ""):
            reader.leave_out(row.line, Flaw("nul_byte", "the text holds a NUL byte"))
        else:
            patient = None if columns.patient is None else row.cells.get(columns.patient)
            name = str(row.number + 1 if key is None else key)
            documents.append(Document(name, text, text_b, None if patient is None else str(patient).strip()))
    return documents, reader.skipped.total()


def as_text(cell: object) -> str:
    """A cell that is absent, or no text, is an empty text."""
    return cell if isinstance(cell, str) else ""
