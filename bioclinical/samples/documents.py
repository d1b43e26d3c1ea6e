"""Invented abstracts on hallmarks of cancer, in BLURB's and BLUE's files, one sentence a row."""

import random
from pathlib import Path

from bioclinical.files import write_text
from bioclinical.tasks.corpora.hoc import LABELS

SIZES = {"train": 30, "dev": 10, "test": 14}
PLAIN = "Samples were stored at room temperature ."


def abstract(rng: random.Random) -> list[tuple[str, list[int]]]:
    """(sentence, label numbers)s; a sentence names its label, and some name none."""
    sentences = []
    for _ in range(rng.randint(2, 4)):
        number = rng.randrange(len(LABELS))
        sentences.append((f"This is about {LABELS[number]} .", [number]) if rng.random() < 0.7 else (PLAIN, []))
    return sentences


def write_hoc_blurb(folder: Path, rng: random.Random) -> None:
    """Header `labels sentence index`, labels as 0_0,1_1,..."""
    for split, count in SIZES.items():
        lines = ["labels\tsentence\tindex"]
        for pmid in range(count):
            for i, (text, found) in enumerate(abstract(rng)):
                flags = ",".join(f"{n}_{int(n in found)}" for n in range(len(LABELS)))
                lines.append(f"{flags}\t{text}\t{pmid_of(split, pmid)}_s{i}")
        write_text(folder / f"{split}.tsv", "\n".join(lines) + "\n")


def write_hoc_blue(folder: Path, rng: random.Random) -> None:
    """A first line of four names over rows of three cells, labels by name."""
    for split, count in SIZES.items():
        lines = ["index\tsentence1\tsentence2\tlabel"]
        for pmid in range(count):
            for i, (text, found) in enumerate(abstract(rng)):
                lines.append(f"{pmid_of(split, pmid)}_s{i}\t{text}\t{','.join(LABELS[n] for n in found)}")
        write_text(folder / f"{split}.tsv", "\n".join(lines) + "\n")


def pmid_of(split: str, number: int) -> int:
    return 10_000 * (1 + list(SIZES).index(split)) + number
