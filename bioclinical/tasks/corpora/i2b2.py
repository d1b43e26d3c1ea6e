"""What the i2b2 (n2c2) challenges have in common: documents as single files, and a training part without validation."""

from collections.abc import Iterable
from pathlib import Path

from bioclinical.errors import UserError

# bio-lm holds a tenth out as well, but shuffles an unordered set or does not seed its generator, so that nobody can
# repeat its split; here the share is the same, the seed is fixed, and the notes are others.
HELD_OUT_SHARE = 0.1


def by_document(paths: Iterable[Path]) -> dict[str, Path]:
    """Document name -> its file. Raises UserError where two files hold the same document."""
    documents: dict[str, Path] = {}
    for path in paths:
        if path.stem in documents:
            raise UserError(f"the document {path.stem} has two files: '{documents[path.stem]}' and '{path}'; keep one")
        documents[path.stem] = path
    return documents


def require_documents(paths: list[Path], pattern: Path) -> list[Path]:
    """The paths, or the pattern they were looked for with, which then is reported as missing."""
    return paths or [pattern]
