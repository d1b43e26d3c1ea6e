"""PICO from ebm_nlp_2_00: documents as tokens, and a 0 or 1 for each token and element.

Where elements overlap, outcomes are kept before interventions before participants; BLURB's own rule is not published,
so the counts decide whether this is it.
"""

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
    for part, pmids in read_ids(ids, "ebmnlp", "_pmid.tsv").items():
        contents[f"{part}.tsv"] = "\n".join(abstract(documents, spans, pmid, GOLD[part]) for pmid in pmids)
    write_parts(out, contents)


def abstract(documents: Path, spans: Path, pmid: str, place: str) -> str:
    """One abstract's lines."""
    tokens = read_utf8(existing(documents / f"{pmid}.tokens")).split()
    tags = ["O"] * len(tokens)
    for element, name in ELEMENTS.items():
        folder = spans / element / place
        path = existing(folder / f"{pmid}.AGGREGATED.ann", folder / f"{pmid}_AGGREGATED.ann")
        marks = read_utf8(path).replace(",", " ").split()
        if len(marks) != len(tokens):
            raise UserError(f"'{path}': {len(marks)} marks for {len(tokens)} tokens")
        tags = [f"I-{name}" if mark != "0" else tag for mark, tag in zip(marks, tags)]
    lines = [f"{token}\t{tag}" + ("\n" if token == "." else "") for token, tag in zip(tokens, tags)]
    return f"-DOCSTART- ({pmid})\n\n" + "\n".join(lines).rstrip("\n") + "\n"
