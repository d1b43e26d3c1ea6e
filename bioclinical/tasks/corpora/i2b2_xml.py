"""i2b2 2012 (events) and i2b2 2014 (protected health information) from the n2c2 releases as unpacked.

    2012-07-15.original-annotation.release/*.xml   2012-08-08.test-data.event-timex-groundtruth/xml/*.xml
    training-PHI-Gold-Set1/*.xml   training-PHI-Gold-Set2/*.xml   testing-PHI-Gold-fixed/*.xml

A file holds a TEXT and, below TAGS, one element per span with its character offsets, surface text and type.
"""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.tasks.corpora.i2b2 import HELD_OUT_SHARE, by_document, require_documents
from bioclinical.tasks.example import Example
from bioclinical.tasks.readers.spans import Span, check_spans, count_overlaps, tagged_lines
from bioclinical.tasks.readers.xml import attribute, parse_xml
from bioclinical.tasks.splits import PAPER, Protocol, held_out
from bioclinical.tasks.task import RawData, bio_tags, counted
from bioclinical.text.words import WHITESPACE_TOKENS, WORD_AND_PUNCTUATION_TOKENS

EVENT_TYPES = ("CLINICAL_DEPT", "EVIDENTIAL", "OCCURRENCE", "PROBLEM", "TEST", "TREATMENT")
EVENT_TAGS = bio_tags(EVENT_TYPES)
PHI_TYPES = (
    "AGE", "BIOID", "CITY", "COUNTRY", "DATE", "DEVICE", "DOCTOR", "EMAIL", "FAX", "HEALTHPLAN", "HOSPITAL", "IDNUM",
    "LOCATION-OTHER", "MEDICALRECORD", "ORGANIZATION", "PATIENT", "PHONE", "PROFESSION", "STATE", "STREET", "URL",
    "USERNAME", "ZIP",
)  # fmt: skip
PHI_TAGS = bio_tags(PHI_TYPES)

TEXT_BLOCK = re.compile(r"<TEXT>\s*<!\[CDATA\[(.*?)\]\]>\s*</TEXT>", re.DOTALL)
BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9a-fA-F]+);)")


@dataclass(frozen=True)
class SpanXmlReader:
    """One line of a document an example.

    train_folders, test_folder: below the task's folder.  element: the elements that are spans, None for all.
    patient: what a file's name begins with for every document of a patient; a tenth of the patients is held out.
    token_pattern: 2012's texts come as tokens; in 2014's a word and its punctuation may belong to different spans.
    """

    train_folders: tuple[str, ...]
    test_folder: str
    types: tuple[str, ...]
    type_attribute: str
    element: str | None = None
    patient: str = r".*"
    token_pattern: str = WHITESPACE_TOKENS

    def raw_files(self, folder: Path) -> list[Path]:
        places = [folder / name for name in (*self.train_folders, self.test_folder)]
        return [path for place in places for path in require_documents(sorted(place.glob("*.xml")), place / "*.xml")]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        train = by_document(path for name in self.train_folders for path in sorted((folder / name).glob("*.xml")))
        test = by_document(sorted((folder / self.test_folder).glob("*.xml")))
        by_document([*train.values(), *test.values()])
        patients = {name: re.match(self.patient, name)[0] if re.match(self.patient, name) else name for name in train}
        chosen = held_out(patients.values(), HELD_OUT_SHARE)
        counts: Counter[str] = Counter()
        splits: dict[str, list[Example]] = {"train": [], "validation": [], "test": []}
        for name, path in (*train.items(), *test.items()):
            split = "test" if name in test else "validation" if patients[name] in chosen else "train"
            splits[split] += self.read_document(path, counts)
        return RawData(protocol.given(splits), counted(counts), self.token_pattern)

    def read_document(self, path: Path, counts: Counter[str]) -> list[Example]:
        """The lines of one document, tagged. Raises UserError for broken XML, an unknown type, a span outside."""
        text, tags = read_text_and_tags(path, counts)
        found = [tag for tag in tags if self.element in (None, tag.tag)]
        spans = [self.span(tag, path) for tag in found]
        surfaces = [tag.get("text", "") for tag in found]
        text, spans = as_annotated(text, spans, surfaces)
        check_spans(spans, text, lambda i: place(path, found[i]))
        empty = [span for span in spans if span[0] == span[1]]
        counts["empty span(s) left out"] += len(empty)
        spans = [span for span in spans if span not in empty]
        counts["span(s) whose surface text differs from the document at their offsets"] += sum(
            bool(surface) and not agrees(text, span, surface) for span, surface in zip(spans, surfaces)
        )
        count_overlaps(spans, counts)
        counts["span(s) over several lines: one entity a line"] += sum("\n" in text[s:e].strip() for s, e, _ in spans)
        return tagged_lines(path, path.stem, text, spans, self.token_pattern)

    def span(self, tag: Element, path: Path) -> Span:
        """(start, end, type) of an element."""
        span_type = attribute(tag, self.type_attribute, path)
        if span_type not in self.types:
            raise UserError(
                f"{place(path, tag)}: a <{tag.tag}> of an unknown {self.type_attribute}; known: {', '.join(self.types)}"
            )
        start, end = (attribute(tag, name, path) for name in ("start", "end"))
        if not (re.fullmatch(r"\d{1,9}", start) and re.fullmatch(r"\d{1,9}", end)):
            raise UserError(f"{place(path, tag)}: a <{tag.tag}> whose start or end is no number")
        return int(start), int(end), span_type


def place(path: Path, tag: Element) -> str:
    """File and, where its id tells, line of an element: the parser does not keep it."""
    lines = read_utf8(path, keep_bom=False).split("\n")
    own = (number for number, line in enumerate(lines, start=1) if f'id="{tag.get("id")}"' in line)
    line = next(own, None) if tag.get("id") else None
    return f"'{path}'" if line is None else f"'{path}' line {line}"


EVENT_READER = SpanXmlReader(
    train_folders=("2012-07-15.original-annotation.release",),
    test_folder="2012-08-08.test-data.event-timex-groundtruth/xml",
    types=EVENT_TYPES,
    type_attribute="type",
    element="EVENT",
)
PHI_READER = SpanXmlReader(
    train_folders=("training-PHI-Gold-Set1", "training-PHI-Gold-Set2"),
    test_folder="testing-PHI-Gold-fixed",
    types=PHI_TYPES,
    type_attribute="TYPE",
    patient=r"\d{3}",
    token_pattern=WORD_AND_PUNCTUATION_TOKENS,
)


def read_text_and_tags(path: Path, counts: Counter[str]) -> tuple[str, list[Element]]:
    """The text and the elements below TAGS.

    The text is taken out before the rest is parsed, and an ampersand that was left as it is counts as text: both are
    known faults of the 2012 files. What is still not well-formed raises UserError naming file and line.
    """
    content = read_utf8(path, keep_bom=False)
    block = TEXT_BLOCK.search(content)
    if block is None:
        raise UserError(f"'{path}': no <TEXT> with a CDATA section; is it an annotated document of the release?")
    rest = content[: block.start(1)] + "\n" * block[1].count("\n") + content[block.end(1) :]  # lines keep their numbers
    rest, repaired = BARE_AMPERSAND.subn("&amp;", rest)
    counts["file(s) with an ampersand that is no XML, read as text"] += repaired > 0
    root = parse_xml(path, re.sub(r"<\?xml.*?\?>", lambda match: "\n" * match[0].count("\n"), rest, count=1))
    tags = root.find("TAGS")
    if tags is None:
        raise UserError(f"'{path}': no <TAGS>; is it an annotated document of the release?")
    return block[1], list(tags)


def as_annotated(text: str, spans: list[Span], surfaces: list[str]) -> tuple[str, list[Span]]:
    """Text and spans as the annotation tool counted: from 0 or from 1, a line break as one or two characters.

    The reading in which most spans agree with their surface texts; the plain one where several do.
    """
    readings = [(reading, shift) for reading in (text, text.replace("\n", "\r\n")) for shift in (0, -1)]

    def agreeing(reading: tuple[str, int]) -> int:
        return sum(agrees(reading[0], shifted(span, reading[1]), surface) for span, surface in zip(spans, surfaces))

    best, shift = max(readings, key=agreeing)
    return best, [shifted(span, shift) for span in spans]


def shifted(span: Span, by: int) -> Span:
    return max(0, span[0] + by), max(0, span[1] + by), span[2]


def agrees(text: str, span: Span, surface: str) -> bool:
    """Whether the surface text stands at the span, whatever the white space."""
    return text[span[0] : span[1]].split() == surface.split()
