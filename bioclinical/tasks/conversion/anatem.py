"""AnatEM from its repository: a CoNLL file a document below conll/{train,devel,test}, joined to a file a part."""

from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.tasks.conversion.common import only, write_parts

PARTS = ("train", "devel", "test")


def convert(release: Path, ids: Path | None, out: Path) -> None:
    """Writes train.tsv, devel.tsv and test.tsv, documents by name, each behind a `-DOCSTART- (name)` line."""
    contents = {}
    for part in PARTS:
        paths = sorted(only(release, f"conll/{part}").glob("*.conll"))
        if not paths:
            raise UserError(f"'{release}' has no documents in conll/{part}; is it the whole release?")
        documents = (f"-DOCSTART- ({path.stem})\n\n{read_utf8(path).strip(chr(10))}\n\n" for path in paths)
        contents[f"{part}.tsv"] = "".join(documents)
    write_parts(out, contents)
