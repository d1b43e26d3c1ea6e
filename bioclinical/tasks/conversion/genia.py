"""JNLPBA from Genia4ERtraining and Genia4ERtest (nactem.ac.uk); the development part is the training file's end."""

from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.tasks.conversion.common import only, write_parts

DOCUMENT = "###MEDLINE:"
FIRST_DEVELOPMENT_LINE = 465_497  # of Genia4ERtask1.iob2, counted from 1, as BLURB and the MTL collection cut it


def convert(release: Path, ids: Path | None, out: Path, first_development_line: int = FIRST_DEVELOPMENT_LINE) -> None:
    """Writes train.tsv, devel.tsv and test.tsv with types and `-DOCSTART- <MEDLINE id>` lines."""
    lines = read_utf8(only(release, "Genia4ERtask1.iob2")).split("\n")
    if len(lines) < first_development_line:
        raise UserError(f"'{release}': Genia4ERtask1.iob2 has {len(lines):,} lines; did the release change?")
    cut = first_development_line - 1
    test = read_utf8(only(release, "Genia4EReval1.iob2")).split("\n")
    parts = {"train.tsv": lines[:cut], "devel.tsv": lines[cut:], "test.tsv": test}
    write_parts(out, {name: "\n".join(map(converted, part)).rstrip("\n") + "\n" for name, part in parts.items()})


def converted(line: str) -> str:
    """A document's line becomes a -DOCSTART- of its id; everything else stays."""
    return f"-DOCSTART- {line.removeprefix(DOCUMENT)}\n" if line.startswith(DOCUMENT) else line
