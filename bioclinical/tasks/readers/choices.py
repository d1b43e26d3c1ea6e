"""Multiple choice: MedQA and MedMCQA (JSON lines), MMLU (CSV without header), and a CSV or JSON lines of one's own.

An example: id, question, options (their texts), answer (the gold option's position from 0), group where one is named.
Explanations (`exp`) give the answer away and are never read.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError
from bioclinical.tasks.example import SPLITS, Example
from bioclinical.tasks.readers.squad import two_way_split
from bioclinical.tasks.splits import PAPER, Protocol, grouped_split
from bioclinical.tasks.task import RawData
from bioclinical.text.tables import TableReader, TableRow, stem_and_suffix

LETTERS = "ABCDEFGHIJ"
SHARES = (0.15, 0.15)


@dataclass(frozen=True)
class ChoiceReader:
    """Files of one form (medqa, medmcqa, mmlu, table) for train, validation and test.

    files: for each split the names of its files; an empty tuple for validation takes `held_out` of train, and a single
    split is divided 70/15/15.
    """

    form: str
    files: tuple[tuple[str, ...], ...]
    held_out: float = 0.1

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / name for names in self.files for name in names]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        read_one = FORMS[self.form]
        parts = [[e for name in names for e in read_one(folder / name)] for names in self.files]
        if len(parts) == 1:
            return RawData(grouped_split(parts[0], SHARES, protocol.split_seed), warnings=[])
        train, validation, test = parts
        if not validation:
            return RawData({**two_way_split(train, self.held_out, protocol.split_seed), "test": test}, warnings=[])
        return RawData(protocol.given(dict(zip(SPLITS, parts))), warnings=[])


def choice(identity: str, question: Any, options: list[Any], answer: int, where: str) -> Example:
    """A checked example. Raises UserError for fewer than two options, an empty text or a gold outside the options."""
    if not isinstance(question, str) or not question.strip():
        raise UserError(f"{where}: the question is empty or no text")
    if len(options) < 2 or not all(isinstance(option, str) for option in options):
        raise UserError(f"{where}: {len(options)} option(s); at least two texts are needed")
    if not 0 <= answer < len(options):
        raise UserError(f"{where}: the gold answer lies outside the {len(options)} options")
    return {"id": identity, "question": question, "options": options, "answer": answer, "where": where}


def letter_position(value: Any, options: int, where: str) -> int:
    """Position of a gold given as a letter. Raises UserError where it is none of the options' letters."""
    letter = str(value).strip().upper()
    if len(letter) != 1 or letter not in LETTERS[:options]:
        raise UserError(f"{where}: the gold letter is none of {', '.join(LETTERS[:options])}")
    return LETTERS.index(letter)


def read_medqa(path: Path) -> list[Example]:
    """`question`, `options` {A: ...}, `answer_idx`; ids are `<file stem>:<line>`."""
    return [
        lettered(f"{path.stem}:{row.line}", row.cells["question"], row.cells["options"], row.cells["answer_idx"], place)
        for place, row in rows_of(path, ("question", "options", "answer_idx"))
    ]


def read_medmcqa(path: Path) -> list[Example]:
    """`question`, `opa` to `opd`, `cop` (1 to 4), `id`."""
    examples = []
    for place, row in rows_of(path, ("id", "question", "opa", "opb", "opc", "opd", "cop")):
        gold = row.cells["cop"]
        if not isinstance(gold, int) or not 1 <= gold <= 4:
            raise UserError(f"{place}: cop must be a number from 1 to 4; files without gold answers cannot be scored")
        texts = [row.cells[f"op{letter}"] for letter in "abcd"]
        examples.append(choice(str(row.cells["id"]), row.cells["question"], texts, gold - 1, place))
    return examples


def read_mmlu(path: Path) -> list[Example]:
    """Rows `question, option, option, option, option, letter` without a header; line breaks may stand inside cells."""
    examples = []
    try:
        with open(path, encoding="utf-8", newline="") as file:
            for number, cells in enumerate(csv.reader(file, strict=True), start=1):
                place = f"'{path}' row {number}"
                if len(cells) < 4:
                    raise UserError(f"{place}: {len(cells)} cells; expected a question, its options and a letter")
                question, *options, letter = cells
                answer = letter_position(letter, len(options), place)
                examples.append(choice(f"{path.stem}:{number}", question, options, answer, place))
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"'{path}': row {len(examples) + 1} cannot be read; check its quotes and encoding") from error
    return examples


def read_table(path: Path) -> list[Example]:
    """One's own. CSV, TSV: columns id, question, A, B, C, D (an empty one is no option) and answer, a letter.

    JSON lines: id, question, options (a list of texts, or {A: text, ...}) and answer.
    """
    is_json = stem_and_suffix(path)[1] == ".jsonl"
    option_columns = ("options",) if is_json else tuple(LETTERS[:4])
    examples = []
    for place, row in rows_of(path, ("id", "question", *option_columns, "answer")):
        cells = row.cells
        options = cells["options"] if is_json else [cells[letter] for letter in option_columns if cells[letter]]
        examples.append(lettered(str(cells["id"]), cells["question"], options, cells["answer"], place))
    return examples


def rows_of(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, TableRow]]:
    """(place, row) of every row that is not blank."""
    for row in TableReader(path, columns).rows():
        if row.cells:
            yield f"'{path}' line {row.line}", row


def lettered(identity: str, question: Any, options: Any, letter: Any, where: str) -> Example:
    """An example whose options are a list, or an object by letter, and whose gold answer is a letter."""
    texts = [options[key] for key in sorted(options)] if isinstance(options, dict) else options
    if not isinstance(texts, list):
        raise UserError(f'{where}: options must be a list of texts or an object {{"A": text, "B": text, ...}}')
    return choice(identity, question, texts, letter_position(letter, len(texts), where), where)


FORMS: dict[str, Callable[[Path], list[Example]]] = {
    "medqa": read_medqa,
    "medmcqa": read_medmcqa,
    "mmlu": read_mmlu,
    "table": read_table,
}
