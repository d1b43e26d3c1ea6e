"""COS (change of state): brat files whose `Snippet` annotations are the examples; the .txt files are not used."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bioclinical.tasks.brat import (
    WORD_AND_PUNCTUATION_TOKENS,
    TextBound,
    read_annotations,
    require_known_type,
    tag_tokens,
    token_offsets,
)
from bioclinical.tasks.splits import split_70_15_15
from bioclinical.tasks.task import Example, RawData, bio_tags, counted

TYPES = ("Attr", "Cos", "Loc", "Ref", "Val")
TAGS = bio_tags(TYPES)


@dataclass(frozen=True)
class CosReader:
    """Published protocol: files in name order, snippets in file order, split by snippet."""

    def raw_files(self, folder: Path) -> list[Path]:
        return sorted(folder.glob("*.ann")) or [folder / "*.ann"]

    def read(self, folder: Path) -> RawData:
        counts: Counter[str] = Counter()
        examples = [example for path in self.raw_files(folder) for example in read_snippets(path, counts)]
        return RawData(split_70_15_15(examples), counted(counts))


def read_snippets(path: Path, counts: Counter[str]) -> list[Example]:
    """The snippets of one file with the tags of the annotations inside each; oddities are counted."""
    snippets: list[TextBound] = []
    annotations: list[TextBound] = []
    for annotation in read_annotations(path):
        require_known_type(annotation, (*TYPES, "Snippet"))
        if annotation.is_discontinuous:
            counts["discontinuous span(s) left out"] += 1
        elif not annotation.text.strip():
            counts["annotation(s) without surface text left out"] += 1
        else:
            (snippets if annotation.type == "Snippet" else annotations).append(annotation)
    return [snippet_example(path, snippet, annotations) for snippet in snippets]


def snippet_example(path: Path, snippet: TextBound, annotations: list[TextBound]) -> Example:
    """One example from a snippet's own text.

    As published the text is stripped but its start offset is not moved, so a leading blank shifts the spans.
    """
    text = snippet.text.strip()
    offsets = token_offsets(text, WORD_AND_PUNCTUATION_TOKENS)
    spans = [
        (annotation.start - snippet.start, annotation.end - snippet.start, annotation.type)
        for annotation in annotations
        if snippet.start <= annotation.start and annotation.end <= snippet.end
    ]
    return {
        "id": f"{path.stem}:{snippet.id}",
        "tokens": [text[start:end] for start, end in offsets],
        "tags": tag_tokens(offsets, spans),
        "where": snippet.where,
    }
