"""Invented sentences with entities, in the columns of the MTL collection, of BLUE's release and of PICO."""

import random
from pathlib import Path

from bioclinical.files import write_text

MENTIONS = {
    "Chemical": ("aspirin", "sodium valproate", "ethanol", "cyclosporin A"),
    "Disease": ("renal failure", "asthma", "breast cancer", "acute hepatitis"),
    "GENE": ("p53", "NF - kappa B", "insulin receptor", "BRCA1"),
    "Species": ("mice", "E . coli", "zebrafish", "patients"),
    "protein": ("IL - 2", "albumin"), "DNA": ("IL - 2 promoter",), "RNA": ("c - fos mRNA",),
    "cell_type": ("T cells", "monocytes"), "cell_line": ("HeLa cells", "Jurkat cells"),
    "Cancer": ("lymphoma", "breast tumor"), "Cell": ("hepatocytes",), "Organ": ("liver", "kidney"),
    "Tissue": ("epithelium",), "Cellular_component": ("mitochondria",),
}  # fmt: skip
FRAMES = ("We studied {} in detail .", "Levels of {} were low .", "No effect on {} was seen , as reported .")
PICO_PARTS = {
    "PAR": ("forty women", "children with asthma"),
    "INT": ("budesonide", "aerobic exercise"),
    "OUT": ("pain scores", "mortality"),
}
SIZES = {"train": 48, "devel": 16, "test": 24}


def tagged_sentence(rng: random.Random, types: tuple[str, ...]) -> list[tuple[str, str]]:
    """(token, tag)s of a sentence with one mention."""
    kind = rng.choice(types)
    before, after = rng.choice(FRAMES).split("{}")
    mention = rng.choice(MENTIONS[kind]).split()
    tagged = [(token, f"{'I' if i else 'B'}-{kind}") for i, token in enumerate(mention)]
    return [(token, "O") for token in before.split()] + tagged + [(token, "O") for token in after.split()]


def write_mtl(folder: Path, rng: random.Random, types: tuple[str, ...]) -> None:
    """Two columns, a blank line between sentences."""
    for split, count in SIZES.items():
        sentences = [tagged_sentence(rng, types) for _ in range(count)]
        lines = ["\n".join(f"{token}\t{tag}" for token, tag in sentence) for sentence in sentences]
        write_text(folder / f"{split}.tsv", "\n\n".join(lines) + "\n\n")


def write_blue(folder: Path, rng: random.Random, entity_type: str) -> None:
    """Four columns: token, document (`-` after its first token), character offset, tag without type."""
    for split, count in SIZES.items():
        blocks = []
        for number in range(count):
            offset, lines = 0, []
            for i, (token, tag) in enumerate(tagged_sentence(rng, (entity_type,))):
                lines.append(f"{token}\t{number if i == 0 else '-'}\t{offset}\t{tag[:1]}")
                offset += len(token) + 1
            blocks.append("\n".join(lines))
        write_text(folder / f"{split}.tsv", "\n\n".join(blocks) + "\n\n")


def write_pico(folder: Path, rng: random.Random) -> None:
    """Abstracts with words of participants, interventions and outcomes; every tag begins with I-."""
    for split, count in (("train", 16), ("dev", 6), ("test", 8)):
        blocks = []
        for number in range(count):
            blocks.append(f"-DOCSTART- ({1_000_000 + number})\n")
            for _ in range(3):
                lines = []
                for kind, parts in PICO_PARTS.items():
                    lines += [f"{token}\tI-{kind}" for token in rng.choice(parts).split()]
                    lines.append(f"{rng.choice(('received', 'showed', 'and'))}\tO")
                blocks.append("\n".join([*lines, ".\tO"]) + "\n")
        write_text(folder / f"{split}.tsv", "\n".join(blocks) + "\n")
