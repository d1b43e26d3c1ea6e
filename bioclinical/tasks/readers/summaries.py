"""Pairs of a source text and the text to be written from it: MeQSum (JSON lines), MTS-Dialog and ACI-Bench (CSV).

An example: id, source, target. CSV cells may hold line breaks.
"""

from dataclasses import dataclass
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.tasks.example import SPLITS, Example
from bioclinical.tasks.splits import PAPER, Protocol, grouped_split
from bioclinical.tasks.task import RawData
from bioclinical.text.tables import TableReader

SHARES = (0.1, 0.1)


@dataclass(frozen=True)
class SummaryReader:
    """One file, split 80/10/10 at random (seed 42, or --split_seed), or three: train, validation, test.

    .jsonl files have the columns as keys. id_column: None numbers the rows.
    """

    files: tuple[str, ...]
    source_column: str
    target_column: str
    id_column: str | None = None

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / name for name in self.files]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        parts = [self.read_file(path) for path in self.raw_files(folder)]
        if len(parts) == 1:
            splits = grouped_split(parts[0], SHARES, protocol.split_seed)
            sizes = ", ".join(f"{len(splits[split])} {split}" for split in SPLITS)
            return RawData(splits, [f"no official split: drawn with seed {protocol.split_seed} ({sizes})"])
        return RawData(protocol.given(dict(zip(SPLITS, parts))), warnings=[])

    def read_file(self, path: Path) -> list[Example]:
        """Every row; raises UserError, naming its place, for an empty source or target."""
        columns = (self.source_column, self.target_column, *([self.id_column] if self.id_column else []))
        examples: list[Example] = []
        for row in TableReader(path, columns).rows():
            if not row.cells:
                continue
            where = f"'{path}' line {row.line}"
            cells = [row.cells[column] for column in columns]
            for column, text in zip(columns[:2], cells):
                if not isinstance(text, str) or not text.strip():
                    raise UserError(f"{where}: the {column} is empty; every row needs a source and a target")
            name = str(cells[2]) if self.id_column else f"{path.stem}:{len(examples)}"
            examples.append({"id": name, "source": cells[0], "target": cells[1], "where": where})
        return examples
