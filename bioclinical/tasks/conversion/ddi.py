"""DDI-BLURB from the XML of DDIExtraction 2013 and BLURB's lists of files."""

import re
from pathlib import Path
from xml.etree.ElementTree import Element

from bioclinical.errors import UserError
from bioclinical.tasks.conversion.common import existing, marked, read_ids, write_parts
from bioclinical.tasks.readers.xml import attribute, read_xml

# The lists say train_dataset/DrugBank/X.xml; releases keep the files in folders of other names above these two.
KEPT_PARTS = 2


def convert(release: Path, ids: Path, out: Path) -> None:
    """Writes train.tsv, dev.tsv and test.tsv without header: id of the pair, sentence, label."""
    # The release of the challenge also holds its test files for entities alone, without pairs and by the same names.
    paths = (path for path in sorted(release.rglob("*.xml")) if "DrugNER" not in str(path.relative_to(release)))
    by_name = {"/".join(path.parts[-KEPT_PARTS:]): path for path in paths}
    contents = {}
    for part, files in read_ids(ids, "DDI", "_files.tsv").items():
        names = ["/".join(name.split("/")[-KEPT_PARTS:]) for name in files]
        paths = [existing(by_name.get(name, release / name)) for name in names]
        contents[f"{part}.tsv"] = "".join("\t".join(row) + "\n" for path in paths for row in pairs(path))
    write_parts(out, contents)


def pairs(path: Path) -> list[tuple[str, str, str]]:
    """The pairs of one document, in its order."""
    rows = []
    for sentence in read_xml(path).iter("sentence"):
        text = attribute(sentence, "text", path)
        entities = {attribute(e, "id", path): span(e, text, path) for e in sentence.iter("entity")}
        for pair in sentence.iter("pair"):
            ends = [attribute(pair, name, path) for name in ("e1", "e2")]
            if not set(ends) <= set(entities):
                raise UserError(f"'{path}': a <pair> of an entity that its sentence does not have")
            rows.append((attribute(pair, "id", path), flat(marked(text, [entities[end] for end in ends])), label(pair)))
    return rows


def label(pair: Element) -> str:
    """The type; a true pair without one is an `int`, the guidelines' word for an interaction that is only stated."""
    return f"DDI-{pair.get('type', 'int')}" if pair.get("ddi") == "true" else "DDI-false"


def span(entity: Element, text: str, path: Path) -> tuple[int, int, str]:
    """[start, end) of a mention, from the first to the last fragment where it has several, as public derivatives of
    BLURB's generator have it. Raises UserError for one outside its sentence."""
    match = re.fullmatch(r"(\d+)-(?:.*-)?(\d+)", attribute(entity, "charOffset", path))
    if match is None or not int(match[1]) <= int(match[2]) < len(text):
        raise UserError(f"'{path}': an <entity> whose charOffset is malformed or outside its sentence")
    return int(match[1]), int(match[2]) + 1, "DRUG"


def flat(text: str) -> str:
    """Without the characters that the file's columns and rows are made of."""
    return re.sub(r"[\t\r\n]", " ", text)
