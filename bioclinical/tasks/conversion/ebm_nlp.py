"""PICO from ebm_nlp_2_00: documents as tokens, and a 0 or 1 for each token and element.

Where elements overlap, outcomes are kept before interventions before participants; BLURB's own rule is not published,
so the counts decide whether this is it. A document for which an element's file is missing has none of that element.
"""

from collections import Counter
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.tasks.conversion.common import existing, only, read_ids, write_parts

ELEMENTS = {"participants": "PAR", "interventions": "INT", "outcomes": "OUT"}  # later ones win
GOLD = {"train": "train", "dev": "train", "test": "test/gold"}


def convert(release: Path, ids: Path, out: Path) -> None:
    """Writes train.tsv, dev.tsv and test.tsv: `-DOCSTART- (<pmid>)`, token and tag; a full stop ends a sentence."""
    documents, spans = only(release, "documents"), only(release, "aggregated/starting_spans")
    contents = {}
    missing: Counter[str] = Counter()
    for part, pmids in read_ids(ids, "ebmnlp", "_pmid.tsv").items():
        contents[f"{part}.tsv"] = "\n".join(abstract(documents, spans, pmid, GOLD[part], missing) for pmid in pmids)
    write_parts(out, contents)
    for element, count in missing.items():
        print(f"{count} document(s) without a file of their {element}: read as having none")


def abstract(documents: Path, spans: Path, pmid: str, place: str, missing: Counter[str]) -> str:
    """One abstract's lines. missing: counts the elements without a file. Raises UserError where all lack one."""
    tokens = read_utf8(existing(documents / f"{pmid}.tokens")).split()
    tags = ["O"] * len(tokens)
    absent: list[str] = []
    for element, name in ELEMENTS.items():
        folder = spans / element / place
        names = (f"{pmid}.AGGREGATED.ann", f"{pmid}_AGGREGATED.ann")  # releases 2 and 1
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is None:
            absent.append(element)
            continue
        marks = read_utf8(path).replace(",", " ").split()
        if len(marks) != len(tokens):
            raise UserError(f"'{path}': {len(marks)} marks for {len(tokens)} tokens")
        tags = [f"I-{name}" if mark != "0" else tag for mark, tag in zip(marks, tags)]
    if len(absent) == len(ELEMENTS):
        raise UserError(f"'{spans}' has no file of document {pmid} in {place}; is it the whole release?")
    missing.update(absent)
    lines = [f"{token}\t{tag}" + ("\n" if token == "." else "") for token, tag in zip(tokens, tags)]
    return f"-DOCSTART- ({pmid})\n\n" + "\n".join(lines).rstrip("\n") + "\n"
