"""The columns of a table: those wanted must be there; the first line of a file without a header is never printed."""

import re
from collections.abc import Sequence
from pathlib import Path

from bioclinical.errors import UserError

# What a column can be called where the line is a header beyond doubt.
COLUMN_NAME = re.compile(r"|[^\W\d][\w .:/()-]{0,39}")
# In a line that may be data all cells must be single words, and only those are shown that are written as no name of a
# person is (see is_surely_a_name).
SINGLE_WORD = re.compile(r"|[^\W\d][\w.:/-]{0,39}")
COMMON_NAMES = (
    "id", "index", "row", "key", "text", "texts", "note", "notes", "sentence", "label", "labels", "class", "split",
    "fold", "patient", "subject", "document", "date", "time", "age", "sex", "gender", "category", "title", "abstract",
    "question", "answer", "context", "source", "target",
)  # fmt: skip
MOST_SHOWN = 20


def require_columns(path: Path, present: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises UserError naming the columns that are missing or there twice, and those present that look like names."""
    for name in wanted:
        if present.count(name) > 1:
            raise UserError(f"'{path}' has {present.count(name)} columns named '{name}'; rename all but one")
    missing = [name for name in wanted if name not in present]
    if missing:
        named = ", ".join(f"'{name}'" for name in missing)
        raise UserError(f"'{path}' has no column {named}; {described(present, is_header=len(missing) < len(wanted))}")


def described(present: Sequence[str], is_header: bool) -> str:
    """The first line for an error's sentence, with no cell that may be a piece of a patient's text.

    is_header: a wanted column is among its cells, so that the others are columns as well.
    """
    shown = [name for name in present if (COLUMN_NAME.fullmatch(name) if is_header else is_surely_a_name(name))]
    holds_data = not is_header and not all(SINGLE_WORD.fullmatch(name) for name in present)
    if not shown or holds_data:
        return (
            f"its first line has {len(present)} cells and does not look like column names; add a header line, or "
            "look at it (head -n 1)"
        )
    names = ", ".join(f"'{name}'" for name in shown[:MOST_SHOWN])
    hidden = len(present) - len(shown[:MOST_SHOWN])
    return f"its first line names: {names}{f' and {hidden} more' if hidden else ''}; choose one of these"


def is_surely_a_name(cell: str) -> bool:
    """Whether a word is written as columns are: in lower case, with an underscore, or one of the common ones."""
    return cell.islower() or "_" in cell or cell.lower() in COMMON_NAMES or cell == ""
