"""i2b2/VA 2010 from the n2c2 release as unpacked: clinical concepts as tags, and relations between them.

    concept_assertion_relation_training_data/{beth,partners}/{txt/*.txt, concept/*.con, rel/*.rel}
    test_data/*.txt   reference_standard_for_test_data/{concepts/*.con, rel/*.rel}

A line of a note is a sentence. Places are line:token, lines counted from 1 and tokens from 0.
"""

import itertools
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.tasks.corpora.i2b2 import HELD_OUT_SHARE, by_document, require_documents
from bioclinical.tasks.example import Example
from bioclinical.tasks.gold_spans import count_spans, gold_span
from bioclinical.tasks.splits import PAPER, Protocol, held_out
from bioclinical.tasks.task import RawData, bio_tags, counted

TYPES = ("problem", "test", "treatment")
TAGS = bio_tags(TYPES)
RELATIONS = ("PIP", "TeCP", "TeRP", "TrAP", "TrCP", "TrIP", "TrNAP", "TrWP", "false")

TRAINING = "concept_assertion_relation_training_data"
HOSPITALS = ("beth", "partners")
TEST_TEXTS, TEST_GOLD = "test_data", "reference_standard_for_test_data"

PLACE = r'c=".*?" (\d+):(\d+) (\d+):(\d+)'
CONCEPT_LINE = re.compile(rf'{PLACE}\|\|t="([^"]*)".*')
RELATION_LINE = re.compile(rf'{PLACE}\|\|r="([^"]*)"\|\|{PLACE}')


@dataclass(frozen=True)
class Concept:
    """tokens [first, last] of a line (from 0)."""

    line: int
    first: int
    last: int
    type: str


@dataclass(frozen=True)
class Note:
    """One document's files."""

    name: str
    text: Path
    concepts: Path
    relations: Path


def training_notes(folder: Path) -> dict[str, list[Note]]:
    """Hospital -> its notes."""
    return {name: notes_of(folder / TRAINING / name / "txt", folder / TRAINING / name, "concept") for name in HOSPITALS}


def test_notes(folder: Path) -> list[Note]:
    return notes_of(folder / TEST_TEXTS, folder / TEST_GOLD, "concepts")


def notes_of(texts: Path, gold: Path, concepts: str) -> list[Note]:
    """The notes of a folder of texts, by name."""
    return [
        Note(path.stem, path, gold / concepts / f"{path.stem}.con", gold / "rel" / f"{path.stem}.rel")
        for path in sorted(texts.glob("*.txt"))
    ]


def files_of(folder: Path, with_relations: bool) -> list[Path]:
    """All files of the release that are read; a folder without notes is named by its pattern."""
    by_hospital = training_notes(folder)
    notes = [note for group in (*by_hospital.values(), test_notes(folder)) for note in group]
    gold = [note.relations for note in notes] if with_relations else []
    missing = [
        require_documents([note.text for note in group], place / "*.txt")[0]
        for group, place in (
            *((by_hospital[name], folder / TRAINING / name / "txt") for name in HOSPITALS),
            (test_notes(folder), folder / TEST_TEXTS),
        )
        if not group
    ]
    return [*missing, *(note.text for note in notes), *(note.concepts for note in notes), *gold]


def split_notes(folder: Path) -> dict[str, list[Note]]:
    """train, validation, test: a tenth of each hospital's notes is held out (see HELD_OUT_SHARE)."""
    by_hospital = training_notes(folder)
    by_document(note.text for group in (*by_hospital.values(), test_notes(folder)) for note in group)
    splits: dict[str, list[Note]] = {"train": [], "validation": [], "test": test_notes(folder)}
    for notes in by_hospital.values():
        chosen = held_out((note.name for note in notes), HELD_OUT_SHARE)
        for note in notes:
            splits["validation" if note.name in chosen else "train"].append(note)
    return splits


@dataclass(frozen=True)
class ConceptReader:
    """One line of a note an example; the tags are the concepts' types."""

    def raw_files(self, folder: Path) -> list[Path]:
        return files_of(folder, with_relations=False)

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        counts: Counter[str] = Counter()
        splits = {
            split: [example for note in notes for example in tagged_note(note, counts)]
            for split, notes in split_notes(folder).items()
        }
        return RawData(protocol.given(splits), counted(counts))


def tagged_note(note: Note, counts: Counter[str]) -> list[Example]:
    """The lines of one note that hold a token. Of overlapping concepts the later one in the file wins; counted."""
    lines = read_lines(note.text)
    tags = [["O"] * len(tokens) for tokens in lines]
    gold = [[] for _ in lines]
    for concept in read_concepts(note, lines):
        gold[concept.line].append(gold_span(concept.first, concept.last + 1, concept.type))
        run = tags[concept.line][concept.first : concept.last + 1]
        counts["overlapping concept(s): the later one in its file wins"] += any(tag != "O" for tag in run)
        names = [f"B-{concept.type}"] + [f"I-{concept.type}"] * (len(run) - 1)
        tags[concept.line][concept.first : concept.last + 1] = names
    return [
        {
            "id": f"{note.name}:{number}",
            "tokens": [token for token in tokens if token],
            "tags": [tag for token, tag in zip(tokens, line_tags) if token],
            "gold_spans": count_spans([(i, i + 1) for i in range(len(tokens))], line_gold, line_tags),
            "group": note.name,
            "where": f"'{note.text}' line {number}",
        }
        for number, (tokens, line_tags, line_gold) in enumerate(zip(lines, tags, gold), start=1)
        if any(tokens)
    ]


def read_lines(path: Path) -> list[list[str]]:
    """The tokens of each line; a line that begins with a blank has an empty first token, as the annotators counted."""
    lines = read_utf8(path, keep_bom=False).split("\n")
    return [([""] if line[:1].isspace() else []) + line.split() for line in lines]


def read_concepts(note: Note, lines: list[list[str]]) -> list[Concept]:
    """The concepts of a note. Raises UserError for a malformed line, an unknown type, or a place outside the note."""
    concepts = []
    for number, line in numbered_lines(note.concepts):
        where = f"'{note.concepts}' line {number}"
        match = CONCEPT_LINE.fullmatch(line)
        if match is None:
            raise UserError(f'{where}: not a concept of the form c="..." 1:0 1:2||t="problem"')
        if match[5] not in TYPES:
            raise UserError(f"{where}: a concept of an unknown type; known: {', '.join(TYPES)}")
        concepts.append(Concept(*place(match.groups()[:4], lines, where), match[5]))
    return concepts


def place(numbers: tuple[str, ...], lines: list[list[str]], where: str) -> tuple[int, int, int]:
    """(line from 0, first token, last token); raises UserError for a place that is not in one line of the note."""
    first_line, first, last_line, last = map(int, numbers)
    if first_line != last_line:
        raise UserError(f"{where}: the span runs over several lines ({first_line} to {last_line}); concepts do not")
    if not 1 <= first_line <= len(lines) or not 0 <= first <= last < len(lines[first_line - 1]):
        raise UserError(f"{where}: the span {first_line}:{first} {last_line}:{last} is outside the note")
    return first_line - 1, first, last


def numbered_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a gold file that hold anything, numbered from 1."""
    lines = enumerate(read_utf8(path, keep_bom=False).split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


@dataclass(frozen=True)
class RelationReader:
    """Every pair of concepts of a line an example, its label the relation between them or `false`.

    Mentions become `@problem$`, `@test$`, `@treatment$`, overlapping ones `@problem-test$`. A pair with two relations
    gives two examples, as in BLUE. Paper: where a pair's second mention comes first in the line, BLUE writes the two
    types in the wrong places; strict: each where it belongs. The validation part is a tenth of each hospital's notes:
    BLUE's own (96 rows) is the accident of a comparison that matched one note only.
    """

    def raw_files(self, folder: Path) -> list[Path]:
        return files_of(folder, with_relations=True)

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        splits = {
            split: [example for note in notes for example in related_pairs(note, protocol.is_strict)]
            for split, notes in split_notes(folder).items()
        }
        return RawData(protocol.given(splits), [])


def related_pairs(note: Note, is_strict: bool) -> list[Example]:
    """The pairs of one note in the order of its concept file."""
    lines = read_lines(note.text)
    concepts = read_concepts(note, lines)
    relations = read_relations(note, lines, concepts)
    examples = []
    for (i, first), (j, second) in itertools.combinations(enumerate(concepts), 2):
        if first.line != second.line:
            continue
        for label in relations.get(frozenset((spot(first), spot(second))), ["false"]):
            examples.append(
                {
                    "id": f"{note.name}.l{i}.l{j}",
                    "text": marked(lines[first.line], first, second, is_strict),
                    "labels": label,
                    "group": note.name,
                    "where": f"'{note.concepts}' (concepts {i + 1} and {j + 1})",
                }
            )
    return examples


def spot(concept: Concept) -> tuple[int, int, int]:
    return concept.line, concept.first, concept.last


def read_relations(
    note: Note, lines: list[list[str]], concepts: list[Concept]
) -> dict[frozenset[tuple[int, int, int]], list[str]]:
    """The places of two concepts -> the relations between them.

    Raises UserError for a malformed line, an unknown relation, or a relation of something that is no concept.
    """
    known = {spot(concept) for concept in concepts}
    relations: dict[frozenset[tuple[int, int, int]], list[str]] = {}
    for number, line in numbered_lines(note.relations):
        where = f"'{note.relations}' line {number}"
        match = RELATION_LINE.fullmatch(line)
        if match is None:
            raise UserError(f'{where}: not a relation of the form c="..." 1:0 1:2||r="TrAP"||c="..." 1:4 1:5')
        if match[5] not in RELATIONS[:-1]:
            raise UserError(f"{where}: an unknown relation; known: {', '.join(RELATIONS[:-1])}")
        ends = [place(numbers, lines, where) for numbers in (match.groups()[:4], match.groups()[5:])]
        if not known.issuperset(ends):
            raise UserError(f"{where}: one end of the relation is no concept of '{note.concepts.name}'")
        relations.setdefault(frozenset(ends), []).append(match[5])
    return relations


def marked(tokens: list[str], first: Concept, second: Concept, is_strict: bool) -> str:
    """A line with its two mentions replaced by their types."""
    if first.first <= second.last and second.first <= first.last:
        start, end = min(first.first, second.first), max(first.last, second.last)
        return " ".join([*tokens[:start], f"@{first.type}-{second.type}$", *tokens[end + 1 :]]).strip()
    (left, left_type), (right, right_type) = (first, first.type), (second, second.type)
    if left.first > right.first:
        left, right = right, left
        if is_strict:
            left_type, right_type = right_type, left_type
    middle = tokens[left.last + 1 : right.first]
    return " ".join(
        [*tokens[: left.first], f"@{left_type}$", *middle, f"@{right_type}$", *tokens[right.last + 1 :]]
    ).strip()
