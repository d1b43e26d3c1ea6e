"""What converters share: BLURB's lists of ids, marking two mentions of a sentence, writing three files at once."""

import re
from collections.abc import Mapping
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.files import atomic_path, read_utf8, write_text

PARTS = ("train", "dev", "test")


def read_ids(ids: Path, corpus: str, ending: str) -> dict[str, list[str]]:
    """Part -> the ids of BLURB's list `<corpus>/<part><ending>` anywhere below `ids`: comma-separated, or one a line.

    Raises UserError where a list is missing, or an id stands in two of them.
    """
    found: dict[str, list[str]] = {}
    for part in PARTS:
        paths = sorted(ids.rglob(f"{corpus}/{part}{ending}"))
        if not paths:
            raise UserError(
                f"there is no '{corpus}/{part}{ending}' below '{ids}'; it is part of data_generation.tar.gz"
            )
        words = [word.strip() for word in re.split(r"[,\n]", read_utf8(paths[0], keep_bom=False))]
        found[part] = [word for word in words if word]
    seen: dict[str, str] = {}
    for part, names in found.items():
        for name in names:
            if seen.setdefault(name, part) != part:
                raise UserError(f"BLURB's lists of {corpus}: {name} is in {seen[name]} and in {part}")
    return found


def only(folder: Path, pattern: str) -> Path:
    """The file or folder of that name below a folder; raises UserError where there is none, or several."""
    found = sorted(folder.rglob(pattern))
    if len(found) != 1:
        raise UserError(f"'{folder}' holds '{pattern}' {len(found)} times, not once; is it the unpacked release?")
    return found[0]


def existing(*paths: Path) -> Path:
    """The first of these files that is there; raises UserError naming the first one where none is."""
    for path in paths:
        if path.is_file():
            return path
    raise UserError(f"'{paths[0]}' is missing; is it the whole release?")


def marked(text: str, spans: list[tuple[int, int, str]]) -> str:
    """A sentence with two mentions [start, end) replaced by `@TYPE$`; overlapping ones by `@TYPE-TYPE$` together."""
    (first, second) = sorted(spans)
    if second[0] < first[1]:
        together = f"@{first[2]}-{second[2]}$" if first[2] != second[2] else f"@{first[2]}-{first[2]}$"
        return text[: first[0]] + together + text[max(first[1], second[1]) :]
    middle = text[first[1] : second[0]]
    return f"{text[: first[0]]}@{first[2]}${middle}@{second[2]}${text[second[1] :]}"


def write_parts(out: Path, contents: Mapping[str, str]) -> None:
    """File name -> content, all of them or none."""
    with atomic_path(out) as partial:
        partial.mkdir()
        for name, content in contents.items():
            write_text(partial / name, content)
