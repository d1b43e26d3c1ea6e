"""Hallmarks of Cancer: ten labels per sentence of an abstract, or per whole abstract.

BLURB's files: header `labels sentence index`, labels `0_0,1_1,...`, nothing quoted; 1,852 abstracts.
BLUE's files: a first line of names that does not fit, then `<pmid>_s<n>`, sentence, names of labels; 1,580 abstracts.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.tasks.example import SPLITS, Example
from bioclinical.tasks.splits import PAPER, Protocol
from bioclinical.tasks.task import RawData
from bioclinical.text.tables import TableReader

LABELS = (
    "activating invasion and metastasis",
    "avoiding immune destruction",
    "cellular energetics",
    "enabling replicative immortality",
    "evading growth suppressors",
    "genomic instability and mutation",
    "inducing angiogenesis",
    "resisting cell death",
    "sustaining proliferative signaling",
    "tumor promoting inflammation",
)
FILES = ("train.tsv", "dev.tsv", "test.tsv")
SENTENCE_ID = re.compile(r"(\d+)_s\d+")
FLAGS = re.compile(",".join(rf"{i}_[01]" for i in range(len(LABELS))))


@dataclass(frozen=True)
class HocReader:
    """BLURB's files; the group of a sentence is its abstract. whole_abstracts: an abstract an example, its sentences
    joined by blanks and its labels those of any of them."""

    whole_abstracts: bool = False

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / name for name in FILES]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        splits = {split: list(read_blurb(path)) for split, path in zip(SPLITS, self.raw_files(folder))}
        require_own_abstracts(splits)
        if self.whole_abstracts:
            splits = {split: joined_abstracts(examples) for split, examples in splits.items()}
        return RawData(protocol.given(splits), [])


@dataclass(frozen=True)
class HocBlueReader:
    """BLUE's files; the group of a sentence is its abstract."""

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / name for name in FILES]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        splits = {split: list(read_blue(path)) for split, path in zip(SPLITS, self.raw_files(folder))}
        require_own_abstracts(splits)
        return RawData(protocol.given(splits), [])


def read_blurb(path: Path) -> Iterator[Example]:
    """The sentences of one of BLURB's files. Raises UserError naming the line of a malformed one."""
    for row in TableReader(path, ("labels", "sentence", "index"), delimiter="\t", quoted=False).rows():
        where = f"'{path}' line {row.line}"
        if not FLAGS.fullmatch(row.cells["labels"]):
            raise UserError(f"{where}: the labels are not of the form 0_0,1_1,...,{len(LABELS) - 1}_0")
        flags = [int(cell.endswith("1")) for cell in row.cells["labels"].split(",")]
        yield sentence(row.cells["index"], row.cells["sentence"], flags, where)


def read_blue(path: Path) -> Iterator[Example]:
    """The sentences of one of BLUE's files. Raises UserError for an unknown label, and for one of BLURB's files."""
    names = ("index", "sentence", "labels")
    for row in TableReader(path, names, delimiter="\t", header=names, skip_lines=named_lines(path)).rows():
        where = f"'{path}' line {row.line}"
        if FLAGS.fullmatch(row.cells["index"]):
            raise UserError(f"{where}: this is BLURB's file of HoC; the task HoC reads it")
        found = [name.strip() for name in row.cells["labels"].split(",") if name.strip()]
        if unknown := set(found) - set(LABELS):
            raise UserError(f"{where}: an unknown label of {len(min(unknown))} characters; known: {', '.join(LABELS)}")
        yield sentence(row.cells["index"], row.cells["sentence"], [int(name in found) for name in LABELS], where)


def named_lines(path: Path) -> int:
    """1 where the first line of one of BLUE's files names columns (four of them, where the rows have three), else 0."""
    with open(path, encoding="utf-8", errors="replace") as file:
        first = file.readline()
    return 0 if SENTENCE_ID.fullmatch(first.split("\t")[0]) else 1


def sentence(index: str, text: str, flags: list[int], where: str) -> Example:
    """One sentence; raises UserError where its id is not `<pmid>_s<n>`."""
    match = SENTENCE_ID.fullmatch(index)
    if match is None:
        raise UserError(f"{where}: the sentence's id is not of the form <pmid>_s<number>")
    return {"id": index, "text": text, "labels": flags, "group": match[1], "where": where}


def require_own_abstracts(splits: dict[str, list[Example]]) -> None:
    """Raises UserError where an abstract stands in two splits: metrics go by abstract."""
    seen: dict[str, str] = {}
    for split, examples in splits.items():
        for example in examples:
            pmid = example["group"]
            if seen.setdefault(pmid, split) != split:
                raise UserError(f"{example['where']}: the abstract {pmid} is in the {seen[pmid]} split, too")


def joined_abstracts(sentences: list[Example]) -> list[Example]:
    """An example per abstract, in the order of their first sentences."""
    abstracts: dict[str, list[Example]] = {}
    for example in sentences:
        abstracts.setdefault(example["group"], []).append(example)
    return [
        {
            "id": pmid,
            "text": " ".join(part["text"] for part in parts),
            "labels": [max(flags) for flags in zip(*(part["labels"] for part in parts))],
            "where": parts[0]["where"],
        }
        for pmid, parts in abstracts.items()
    ]
