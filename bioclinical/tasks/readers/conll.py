"""Token data in CoNLL columns (`token<TAB>tag`, a blank line between sentences), for files of a user's own."""

from dataclasses import dataclass
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.tasks.splits import PAPER, Protocol
from bioclinical.tasks.task import SPLITS, Example, RawData


@dataclass(frozen=True)
class ConllReader:
    """Three files (train, validation, test). The first column is the token, the last one its BIO tag."""

    files: tuple[str, str, str]

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / name for name in self.files]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        splits = {split: read_conll(path) for split, path in zip(SPLITS, self.raw_files(folder))}
        return RawData(protocol.given(splits), warnings=[])


def read_conll(path: Path) -> list[Example]:
    """The sentences of one file, ids `<file stem>:<first line>`; `-DOCSTART-` lines only separate."""
    sentences: list[Example] = []
    is_open = False
    # Only real newlines end a line: tokens may hold Unicode separators, which str.splitlines would cut at.
    for number, line in enumerate(read_utf8(path, keep_bom=False).split("\n"), start=1):
        if not line.strip() or line.startswith("-DOCSTART-"):
            is_open = False
            continue
        cells = line.split("\t") if "\t" in line else line.split(" ")
        if len(cells) < 2 or not cells[0]:
            raise UserError(f"'{path}' line {number}: expected a token and a tag separated by a tab")
        if not is_open:
            sentences.append(
                {"id": f"{path.stem}:{number}", "tokens": [], "tags": [], "where": f"'{path}' line {number}"}
            )
            is_open = True
        sentences[-1]["tokens"].append(cells[0])
        sentences[-1]["tags"].append(cells[-1].strip())
    return sentences
