"""HoC-BLURB from the corpus (github sb895/Hallmarks-of-Cancer): text/<pmid>.txt, a sentence a line, and
labels/<pmid>.txt, a `<` before the labels of each sentence, these joined by AND, with narrower topics after `--`."""

from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.tasks.conversion.common import existing, only, read_ids, write_parts
from bioclinical.tasks.corpora.hoc import LABELS


def convert(release: Path, ids: Path, out: Path) -> None:
    """Writes train.tsv, dev.tsv and test.tsv with BLURB's header."""
    texts, labels = only(release, "text"), only(release, "labels")
    contents = {}
    for part, names in read_ids(ids, "HoC", "_pmid.tsv").items():
        rows = [row for name in names for row in abstract(existing(texts / name), existing(labels / name))]
        contents[f"{part}.tsv"] = "labels\tsentence\tindex\n" + "".join("\t".join(row) + "\n" for row in rows)
    write_parts(out, contents)


def abstract(text: Path, path: Path) -> list[tuple[str, str, str]]:
    """(labels as 0_0,1_1,..., sentence, id) of each sentence."""
    sentences = [line.strip() for line in read_utf8(text).split("\n") if line.strip()]
    labels = read_utf8(path).split("<")[1:]
    if len(labels) != len(sentences):
        raise UserError(f"'{path}': labels of {len(labels)} sentences, '{text.name}' has {len(sentences)}")
    pairs = enumerate(zip(labels, sentences))
    return [(flags(label, path), sentence, f"{text.stem}_s{i}") for i, (label, sentence) in pairs]


def flags(label: str, path: Path) -> str:
    """One sentence's labels in BLURB's form; raises UserError for a topic that is none of the ten."""
    topics = {topic.split("--")[0].strip().lower() for topic in label.replace("\n", " ").split("AND")} - {"", "null"}
    if unknown := topics - set(LABELS):
        raise UserError(f"'{path}': a topic of {len(min(unknown))} characters that is none of {', '.join(LABELS)}")
    return ",".join(f"{i}_{int(name in topics)}" for i, name in enumerate(LABELS))
