"""Invented files in the raw formats of the i2b2 challenges. Every name and finding is made up."""

import random
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import quoteattr

from bioclinical.files import write_text

PROBLEMS = ("chest pain", "mild fever", "renal failure", "an old fracture", "dyspnea")
TESTS = ("an ECG", "blood cultures", "a CT scan", "the biopsy")
TREATMENTS = ("aspirin", "oxygen therapy", "a stent", "warfarin")
DOCTORS = ("Abend", "Birke", "Castor", "Dorn")
PLACES = ("Northfield", "Oakmere", "Pinewood")
# relation -> first type, second type, and the words between that give it away
RELATION_PATTERNS = {
    "TrAP": ("treatment", "was given for", "problem"),
    "TrIP": ("treatment", "quickly improved", "problem"),
    "TrCP": ("treatment", "may have caused", "problem"),
    "TrWP": ("treatment", "only worsened", "problem"),
    "TrNAP": ("treatment", "was withheld because of", "problem"),
    "TeRP": ("test", "revealed", "problem"),
    "TeCP": ("test", "was ordered to look for", "problem"),
    "PIP": ("problem", "is due to", "problem"),
    "false": ("test", "was done before", "treatment"),
}
MENTIONS = {"problem": PROBLEMS, "test": TESTS, "treatment": TREATMENTS}


def write_i2b2_2010(folder: Path, rng: random.Random, notes: int = 12) -> None:
    """Concept and relation files of two hospitals and a test part, as the n2c2 release unpacks."""
    training = folder / "concept_assertion_relation_training_data"
    for hospital, share in (("beth", notes // 2), ("partners", notes - notes // 2)):
        for i in range(share):
            text, concepts, relations = i2b2_2010_note(rng)
            name = f"{hospital}-{i}"
            write_text(training / hospital / "txt" / f"{name}.txt", text)
            write_text(training / hospital / "concept" / f"{name}.con", concepts)
            write_text(training / hospital / "rel" / f"{name}.rel", relations)
    for i in range(notes // 2):
        text, concepts, relations = i2b2_2010_note(rng)
        write_text(folder / "test_data" / f"{i:04d}.txt", text)
        write_text(folder / "reference_standard_for_test_data" / "concepts" / f"{i:04d}.con", concepts)
        write_text(folder / "reference_standard_for_test_data" / "rel" / f"{i:04d}.rel", relations)


def i2b2_2010_note(rng: random.Random, lines: int = 9) -> tuple[str, str, str]:
    """(text, concept file, relation file) of one note; a line a sentence."""
    texts, concepts, relations = [], [], []
    for number in range(1, lines + 1):
        label = rng.choice(list(RELATION_PATTERNS))
        first_type, words, second_type = RELATION_PATTERNS[label]
        first = rng.choice(MENTIONS[first_type])
        second = rng.choice([mention for mention in MENTIONS[second_type] if mention != first])
        opening = rng.choice(("Today", "On arrival", "As noted ,"))
        texts.append(f"{opening} {first} {words} {second} .")
        start = len(opening.split())
        places = []
        for mention, kind, begin in (
            (first, first_type, start),
            (second, second_type, start + len(first.split()) + len(words.split())),
        ):
            place = f'c="{mention.lower()}" {number}:{begin} {number}:{begin + len(mention.split()) - 1}'
            places.append(place)
            concepts.append(f'{place}||t="{kind}"')
        if label != "false":
            relations.append(f'{places[0]}||r="{label}"||{places[1]}')
    rng.shuffle(concepts)  # the release keeps no order either
    return "\n".join(texts) + "\n", "\n".join(concepts) + "\n", "\n".join(relations) + "\n"


@dataclass
class XmlDocument:
    """Text under construction with the spans laid over it: (element, type, start, end)."""

    text: str = "\n"
    spans: list[tuple[str, str, int, int]] = field(default_factory=list)

    def add(self, text: str, element: str = "", span_type: str = "") -> None:
        if element:
            self.spans.append((element, span_type, len(self.text), len(self.text) + len(text)))
        self.text += text

    def xml(self, root: str, type_attribute: str) -> str:
        tags = [
            f'<{element} id="S{i}" start="{start}" end="{end}" text={quoteattr(self.text[start:end])} '
            f'{type_attribute}="{span_type}" />'
            for i, (element, span_type, start, end) in enumerate(self.spans)
        ]
        return (
            f'<?xml version="1.0" encoding="UTF-8" ?>\n<{root}>\n<TEXT><![CDATA[{self.text}]]></TEXT>\n<TAGS>\n'
            + "\n".join(tags)
            + f"\n</TAGS>\n</{root}>\n"
        )


def write_i2b2_2012(folder: Path, rng: random.Random, documents: int = 12) -> None:
    """Event files: texts as tokens, EVENT elements, and a TIMEX3 that is no event."""
    for i in range(documents + documents // 2):
        document = XmlDocument()
        document.add("Admission", "EVENT", "OCCURRENCE")
        document.add(" Date :\n")
        document.add("09/29/2093", "TIMEX3", "DATE")
        for _ in range(6):
            document.add("\nThe patient had ")
            document.add(rng.choice(PROBLEMS), "EVENT", "PROBLEM")
            document.add(" , ")
            document.add(rng.choice(TESTS), "EVENT", "TEST")
            document.add(" showed nothing and ")
            document.add(rng.choice(TREATMENTS), "EVENT", "TREATMENT")
            document.add(" was ordered by ")
            document.add("the intensive care unit", "EVENT", "CLINICAL_DEPT")
            document.add(" .")
        place = (
            "2012-07-15.original-annotation.release"
            if i < documents
            else "2012-08-08.test-data.event-timex-groundtruth/xml"
        )
        write_text(folder / place / f"{i + 1}.xml", document.xml("ClinicalNarrativeTemporalAnnotation", "type"))


def write_i2b2_2014(folder: Path, rng: random.Random, patients: int = 10) -> None:
    """PHI files: three records of each patient, running text."""
    for patient in range(patients + patients // 2):
        for record in range(1, 4):
            document = XmlDocument()
            document.add("Record date: ")
            document.add(f"20{rng.randint(60, 99)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}", "DATE", "DATE")
            for _ in range(4):
                document.add("\nSeen by Dr. ")
                document.add(rng.choice(DOCTORS), "NAME", "DOCTOR")
                document.add(" at ")
                document.add(f"{rng.choice(PLACES)} Hospital", "LOCATION", "HOSPITAL")
                document.add(f" for {rng.choice(PROBLEMS)}; a ")
                document.add(str(rng.randint(20, 89)), "AGE", "AGE")
                document.add("-year-old ")
                document.add(rng.choice(("carpenter", "teacher")), "PROFESSION", "PROFESSION")
                document.add(", call ")
                document.add(f"555-{rng.randint(1000, 9999)}", "CONTACT", "PHONE")
                document.add(".")
            place = f"training-PHI-Gold-Set{1 + patient % 2}" if patient < patients else "testing-PHI-Gold-fixed"
            write_text(folder / place / f"{patient + 110:03d}-{record:02d}.xml", document.xml("deIdi2b2", "TYPE"))
