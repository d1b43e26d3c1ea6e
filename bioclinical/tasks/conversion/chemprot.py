"""ChemProt-BLURB from the corpus of BioCreative VI: every chemical with every gene of its sentence.

Rules as in public derivatives of BLURB's generator: NLTK's English Punkt model cuts sentences, the tab between title
and abstract always does, and of a pair with several relations the last in the file counts, also where that is none of
the five. Without NLTK's model (`python -m nltk.downloader punkt_tab`) a full stop, question or exclamation mark before
a blank and a capital letter, digit or bracket ends a sentence; counts then come near the published ones.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
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
    contents, cut = {}, sentence_cutter()
    for part, name in RELEASE.items():
        rows = part_rows(release, name, cut)
        contents[f"{part}.tsv"] = "".join("\t".join(row) + "\n" for row in rows)
    write_parts(out, contents)


def part_rows(release: Path, name: str, cut: Callable[[str], list[str]]) -> list[tuple[str, str, str]]:
    """The rows of one part of the release; the test part's files end in `_gs`."""
    abstracts = only(release, f"chemprot_{name}_abstracts*.tsv")
    texts = {cells[0]: "\t".join(cells[1:3]) for cells in table(abstracts, 3)}  # offsets count the tab as a character
    entities: dict[str, list[Entity]] = defaultdict(list)
    path = only(release, f"chemprot_{name}_entities*.tsv")
    for number, (pmid, key, kind, start, end, *_) in enumerate(table(path, 6), start=1):
        if not (start.isdecimal() and end.isdecimal() and int(start) < int(end) <= len(texts.get(pmid, ""))):
            raise UserError(f"'{path}' row {number}: the span of {key} lies outside the text of abstract {pmid}")
        entities[pmid].append((key, kind, int(start), int(end)))
    relations: dict[tuple[str, str, str], str] = {}
    for pmid, group, *cells in table(only(release, f"chemprot_{name}_relations*.tsv"), 6):
        chemical, gene = (cell.strip().removeprefix("Arg1:").removeprefix("Arg2:") for cell in cells[-2:])
        relations[pmid, chemical, gene] = group if group in RELATIONS else "false"
    return [row for pmid, text in texts.items() for row in abstract_rows(pmid, text, entities[pmid], relations, cut)]


def table(path: Path, columns: int) -> list[list[str]]:
    """Tab-separated rows; raises UserError naming the line that has fewer columns."""
    rows = [line.split("\t") for line in read_utf8(path, keep_bom=False).split("\n") if line]
    for number, row in enumerate(rows, start=1):
        if len(row) < columns:
            raise UserError(f"'{path}' line {number}: {len(row)} columns where {columns} are expected")
    return rows


def abstract_rows(
    pmid: str,
    text: str,
    entities: list[Entity],
    relations: dict[tuple[str, str, str], str],
    cut: Callable[[str], list[str]],
) -> list[tuple[str, str, str]]:
    """The pairs of one abstract, a row each."""
    rows = []
    for start, end in sentence_spans(text, cut):
        inside = [entity for entity in entities if start <= entity[2] and entity[3] <= end]
        for chemical in (entity for entity in inside if entity[1] == "CHEMICAL"):
            for gene in (entity for entity in inside if entity[1].startswith("GENE")):
                spans = [
                    (e[2] - start, e[3] - start, "CHEMICAL" if e is chemical else "GENE") for e in (chemical, gene)
                ]
                sentence = marked(text[start:end], spans).replace("@CHEMICAL-GENE$", "@CHEM-GENE$")
                label = relations.get((pmid, chemical[0], gene[0]), "false")
                rows.append((f"{pmid}.{chemical[0]}.{gene[0]}", sentence, label))
    return rows


def sentence_spans(text: str, cut: Callable[[str], list[str]]) -> Iterator[tuple[int, int]]:
    """[start, end) of each sentence; none crosses the tab."""
    end = 0
    for sentence in cut(text):
        for part in sentence.split("\t"):
            start = text.index(part, end)
            end = start + len(part)
            yield start, end


def sentence_cutter() -> Callable[[str], list[str]]:
    """NLTK's Punkt where it and its English model are installed, else our own rule; says which."""
    try:
        from nltk.tokenize import sent_tokenize

        sent_tokenize("One. Two.")
    except (ImportError, LookupError):
        print(
            "sentences: by our own rule, so that counts differ a little from BLURB's; for BLURB's: pip install nltk "
            "&& python -m nltk.downloader punkt_tab"
        )
        return SENTENCE_END.split
    print("sentences: by NLTK's Punkt")
    return sent_tokenize
