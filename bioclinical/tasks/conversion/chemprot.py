"""ChemProt-BLURB from the corpus of BioCreative VI: every chemical with every gene of its sentence.

How BLURB cuts sentences is not published; a full stop, question or exclamation mark before a blank and a capital
letter, digit or bracket ends one here, so that counts come near the published ones and are not them (`dataloader.py
--check`).
"""

import re
from collections import defaultdict
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.tasks.conversion.common import marked, only, write_parts

RELATIONS = ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9")
RELEASE = {"train": "training", "dev": "development", "test": "test"}
SENTENCE_END = re.compile(r"(?<=[.?!])\s+(?=[A-Z0-9\[(])")

Entity = tuple[str, str, int, int]  # id, type, [start, end) in title, blank and abstract


def convert(release: Path, ids: Path | None, out: Path) -> None:
    """Writes train.tsv, dev.tsv and test.tsv without header: `<pmid>.<chemical>.<gene>`, sentence, label."""
    contents = {}
    for part, name in RELEASE.items():
        rows = part_rows(release, name)
        contents[f"{part}.tsv"] = "".join("\t".join(row) + "\n" for row in rows)
    write_parts(out, contents)


def part_rows(release: Path, name: str) -> list[tuple[str, str, str]]:
    """The rows of one part of the release; the test part's files end in `_gs`."""
    texts = {cells[0]: " ".join(cells[1:3]) for cells in table(only(release, f"chemprot_{name}_abstracts*.tsv"), 3)}
    entities: dict[str, list[Entity]] = defaultdict(list)
    for pmid, key, kind, start, end, *_ in table(only(release, f"chemprot_{name}_entities*.tsv"), 6):
        entities[pmid].append((key, kind, int(start), int(end)))
    path = only(release, f"chemprot_{name}_relations*.tsv")
    relations: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for pmid, group, *cells in table(path, 6):
        if group in RELATIONS:
            chemical, gene = (cell.removeprefix("Arg1:").removeprefix("Arg2:") for cell in cells[-2:])
            relations[pmid, chemical, gene].append(group)
    return [row for pmid, text in texts.items() for row in abstract_rows(pmid, text, entities[pmid], relations)]


def table(path: Path, columns: int) -> list[list[str]]:
    """Tab-separated rows; raises UserError naming the line that has fewer columns."""
    rows = [line.split("\t") for line in read_utf8(path, keep_bom=False).split("\n") if line]
    for number, row in enumerate(rows, start=1):
        if len(row) < columns:
            raise UserError(f"'{path}' line {number}: {len(row)} columns where {columns} are expected")
    return rows


def abstract_rows(
    pmid: str, text: str, entities: list[Entity], relations: dict[tuple[str, str, str], list[str]]
) -> list[tuple[str, str, str]]:
    """The pairs of one abstract; a pair with several relations gives several rows."""
    rows = []
    for start, end in sentence_spans(text):
        inside = [entity for entity in entities if start <= entity[2] and entity[3] <= end]
        for chemical in (entity for entity in inside if entity[1] == "CHEMICAL"):
            for gene in (entity for entity in inside if entity[1].startswith("GENE")):
                spans = [
                    (e[2] - start, e[3] - start, "CHEMICAL" if e is chemical else "GENE") for e in (chemical, gene)
                ]
                sentence = marked(text[start:end], spans).replace("@CHEMICAL-GENE$", "@CHEM-GENE$")
                for label in relations.get((pmid, chemical[0], gene[0]), ["false"]):
                    rows.append((f"{pmid}.{chemical[0]}.{gene[0]}", sentence, label))
    return rows


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """[start, end) of each sentence."""
    spans, start = [], 0
    for match in SENTENCE_END.finditer(text):
        spans.append((start, match.start()))
        start = match.end()
    return [*spans, (start, len(text))]
