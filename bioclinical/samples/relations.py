"""Invented sentences with two mentions in the files of BLURB, BLUE and BioBERT."""

import csv
import io
import random
from pathlib import Path

from bioclinical.files import write_text

CHEMPROT_VERBS = {
    "CPR:3": "activates", "CPR:4": "inhibits", "CPR:5": "is an agonist of", "CPR:6": "is an antagonist of",
    "CPR:9": "is a substrate of", "false": "was given before",
}  # fmt: skip
DDI_VERBS = {
    "DDI-advise": "should not be taken with", "DDI-effect": "increases the effect of", "DDI-int": "interacts with",
    "DDI-mechanism": "reduces the clearance of", "DDI-false": "and",
}  # fmt: skip
ASSOCIATIONS = {"1": "is associated with", "0": "was not found to cause"}
ENDINGS = ("in vivo .", 'in the "late" phase .', "at low doses .")
SIZES = {"train": 60, "dev": 18, "test": 30}


def rows_of(rng: random.Random, count: int, verbs: dict[str, str], first: str, second: str, name: str):
    """[id, sentence, label]s; the verb decides the label."""
    rows = []
    for i in range(count):
        label = rng.choice(list(verbs))
        rows.append([f"{name}{i // 2}.s{i}.p0", f"{first} {verbs[label]} {second} {rng.choice(ENDINGS)}", label])
    return rows


def write_blurb(
    folder: Path, rng: random.Random, verbs: dict[str, str], first: str, second: str, prefix: str = ""
) -> None:
    """No header, nothing quoted. prefix: of the ids."""
    for split, count in SIZES.items():
        rows = rows_of(rng, count, verbs, first, second, f"{prefix}{split}")
        write_text(folder / f"{split}.tsv", "".join("\t".join(row) + "\n" for row in rows))


def write_blue(
    folder: Path, rng: random.Random, verbs: dict[str, str], first: str, second: str, prefix: str = ""
) -> None:
    """A header, minimal quoting. prefix: of the ids."""
    for split, count in SIZES.items():
        rows = rows_of(rng, count, verbs, first, second, f"{prefix}{split}")
        text = io.StringIO()
        csv.writer(text, delimiter="\t", lineterminator="\n").writerows([["index", "sentence", "label"], *rows])
        write_text(folder / f"{split}.tsv", text.getvalue())


def write_gad(folder: Path, rng: random.Random) -> None:
    """A header, nothing quoted, ids that are row numbers."""
    for split, count in SIZES.items():
        rows = rows_of(rng, count, ASSOCIATIONS, "@GENE$", "@DISEASE$", "")
        lines = [f"{i}\t{text}\t{label}" for i, (_, text, label) in enumerate(rows)]
        write_text(folder / f"{split}.tsv", "index\tsentence\tlabel\n" + "\n".join(lines) + "\n")


def write_folds(folder: Path, rng: random.Random, folds: int = 10) -> None:
    """BioBERT's ten folds: train files without header and ids, test files with both."""
    parts = [rows_of(rng, 6, ASSOCIATIONS, f"Study {fold} : @GENE$", "@DISEASE$", "") for fold in range(folds)]
    for fold in range(folds):
        train = [row for other, part in enumerate(parts) if other != fold for row in part]
        write_text(folder / str(fold + 1) / "train.tsv", "".join(f"{text}\t{label}\n" for _, text, label in train))
        test = [f"{i}\t{text}\t{label}\n" for i, (_, text, label) in enumerate(parts[fold])]
        write_text(folder / str(fold + 1) / "test.tsv", "index\tsentence\tlabel\n" + "".join(test))
