"""COS (change of state): brat files whose `Snippet` annotations are the examples; the .txt files are not used."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bioclinical.tasks.example import Example
from bioclinical.tasks.gold_spans import count_spans
from bioclinical.tasks.readers.brat import TextBound, read_annotations, require_known_type, tag_tokens
from bioclinical.tasks.splits import PAPER, Protocol, split_70_15_15
from bioclinical.tasks.task import RawData, bio_tags, counted
from bioclinical.text.words import WORD_AND_PUNCTUATION_TOKENS, token_offsets

TYPES = ("Attr", "Cos", "Loc", "Ref", "Val")
TAGS = bio_tags(TYPES)


@dataclass(frozen=True)
class CosReader:
    """Published protocol: files in name order, snippets in file order, split by snippet.

    Strict: discontinuous spans as separate runs, offsets that follow the stripped text, split by document.
    """

    def raw_files(self, folder: Path) -> list[Path]:
        return sorted(folder.glob("*.ann")) or [folder / "*.ann"]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        counts: Counter[str] = Counter()
        strict = protocol.is_strict
        examples = [example for path in self.raw_files(folder) for example in read_snippets(path, counts, strict)]
        splits = protocol.split(examples, split_70_15_15, (0.15, 0.15))
        return RawData(splits, counted(counts), WORD_AND_PUNCTUATION_TOKENS)


def read_snippets(path: Path, counts: Counter[str], strict: bool = False) -> list[Example]:
    """The snippets of one file with the tags of the annotations inside each; oddities are counted."""
    snippets: list[TextBound] = []
    annotations: list[TextBound] = []
    left_out: list[TextBound] = []
    for annotation in read_annotations(path):
        require_known_type(annotation, (*TYPES, "Snippet"))
        if annotation.is_discontinuous and not strict:
            counts["discontinuous span(s) left out"] += 1
            left_out += [annotation] if annotation.type != "Snippet" else []
        elif not annotation.text.strip():
            counts["annotation(s) without surface text left out"] += 1
        else:
            (snippets if annotation.type == "Snippet" else annotations).append(annotation)
    return [snippet_example(path, snippet, annotations, left_out, strict) for snippet in snippets]


def snippet_example(
    path: Path, snippet: TextBound, annotations: list[TextBound], left_out: list[TextBound], strict: bool
) -> Example:
    """One example from a snippet's own text. left_out: annotations that are not tagged, but gold all the same.

    As published the text is stripped but its start offset is not moved, so a leading blank shifts the spans.
    """
    text = snippet.text if strict else snippet.text.strip()
    offsets = token_offsets(text, WORD_AND_PUNCTUATION_TOKENS)
    places = document_places(snippet) if strict else list(range(snippet.start, snippet.start + len(text)))
    words = [(places[start], places[end - 1] + 1) for start, end in offsets]
    tags = tag_tokens(words, [(*piece, a.type) for a in inside(snippet, annotations) for piece in a.fragments])
    gold = [annotation.span for annotation in inside(snippet, [*annotations, *left_out])]
    return {
        "id": f"{path.stem}:{snippet.id}",
        "group": path.stem,
        "tokens": [text[start:end] for start, end in offsets],
        "tags": tags,
        "gold_spans": count_spans(words, gold, tags),
        "where": snippet.where,
    }


def inside(snippet: TextBound, annotations: list[TextBound]) -> list[TextBound]:
    """The annotations within a snippet's ends."""
    return [one for one in annotations if snippet.start <= one.start and one.end <= snippet.end]


def document_places(snippet: TextBound) -> list[int]:
    """The offset in the document of each character of a snippet's text: fragments joined by a blank, perhaps longer."""
    places = [place for start, end in snippet.fragments for place in range(start, end + 1)][:-1]
    return places + list(range(snippet.end, snippet.end + max(0, len(snippet.text) - len(places))))
