"""The i2b2 releases: what is read, what the paper protocol keeps, and what is wrong with bad files."""

import random

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from bioclinical.errors import UserError
from bioclinical.samples.clinical import write_i2b2_2010, write_i2b2_2012, write_i2b2_2014
from bioclinical.tasks.corpora.i2b2_2010 import ConceptReader, RelationReader
from bioclinical.tasks.corpora.i2b2_xml import EVENT_READER, PHI_READER
from bioclinical.tasks.splits import PAPER, Protocol

TRAINING = "concept_assertion_relation_training_data"


@pytest.fixture
def release(tmp_path):
    """One note a hospital and one of test, as short as it can be."""
    for place, name in ((f"{TRAINING}/beth", "beth-1"), (f"{TRAINING}/partners", "p-1"), ("test", "t-1")):
        text = tmp_path / ("test_data" if place == "test" else f"{place}/txt") / f"{name}.txt"
        gold = tmp_path / ("reference_standard_for_test_data" if place == "test" else place)
        for path, content in (
            (text, "Aspirin was given for chest pain .\nNothing else\n"),
            (gold / ("concepts" if place == "test" else "concept") / f"{name}.con",
             'c="chest pain" 1:4 1:5||t="problem"\nc="aspirin" 1:0 1:0||t="treatment"\n'),
            (gold / "rel" / f"{name}.rel", 'c="aspirin" 1:0 1:0||r="TrAP"||c="chest pain" 1:4 1:5\n'),
        ):  # fmt: skip
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return tmp_path


def beth(release, kind):
    return next((release / TRAINING / "beth" / kind).iterdir())


def test_concepts_become_tags(release):
    train = ConceptReader().read(release).splits["train"] + ConceptReader().read(release).splits["validation"]
    line = next(e for e in train if e["id"] == "beth-1:1")
    assert line["tokens"] == ["Aspirin", "was", "given", "for", "chest", "pain", "."]
    assert line["tags"] == ["B-treatment", "O", "O", "O", "B-problem", "I-problem", "O"]
    assert line["group"] == "beth-1" and len(train) == 4


def test_overlapping_concepts_are_counted_and_the_later_one_wins(release):
    path = beth(release, "concept")
    path.write_text(path.read_text() + 'c="for chest" 1:3 1:4||t="test"\n')
    raw = ConceptReader().read(release)
    (line,) = (e for split in raw.splits.values() for e in split if e["id"] == "beth-1:1")
    assert line["tags"][3:6] == ["B-test", "I-test", "I-problem"]
    assert raw.warnings == ["1 overlapping concept(s): the later one in its file wins"]


def test_paper_keeps_the_markers_as_blue_writes_them_and_strict_repairs_them(release):
    for protocol, text in (
        (PAPER, "@problem$ was given for @treatment$ ."),
        (Protocol("strict"), "@treatment$ was given for @problem$ ."),
    ):
        (pair,) = RelationReader().read(release, protocol).splits["test"]
        assert (pair["text"], pair["labels"]) == (text, "TrAP")


def test_pairs_without_a_relation_and_with_two(release):
    beth(release, "rel").write_text("")
    partners = next((release / TRAINING / "partners" / "rel").iterdir())
    partners.write_text(partners.read_text() * 2)
    splits = RelationReader().read(release).splits
    labels = {e["group"]: [] for e in splits["train"] + splits["validation"]}
    for e in splits["train"] + splits["validation"]:
        labels[e["group"]].append(e["labels"])
    assert labels == {"beth-1": ["false"], "p-1": ["TrAP", "TrAP"]}


def test_overlapping_mentions_are_marked_as_one(release):
    beth(release, "concept").write_text('c="chest pain" 1:4 1:5||t="problem"\nc="for chest" 1:3 1:4||t="test"\n')
    beth(release, "rel").write_text("")
    splits = RelationReader().read(release).splits
    (text,) = (e["text"] for e in splits["train"] + splits["validation"] if e["group"] == "beth-1")
    assert text == "Aspirin was given @problem-test$ ."


@pytest.mark.parametrize(
    "kind, content, message",
    [
        ("concept", "secret\n", r"beth-1.con' line 1: not a concept of the form"),
        ("concept", '\nc="secret" 1:0 1:0||t="drug"\n', "beth-1.con' line 2: a concept of an unknown type; known: problem"),
        ("concept", 'c="secret" 9:0 9:0||t="test"\n', "line 1: the span 9:0 9:0 is outside the note"),
        ("concept", 'c="secret" 1:0 1:7||t="test"\n', "line 1: the span 1:0 1:7 is outside the note"),
        ("concept", 'c="secret" 1:5 2:0||t="test"\n', "line 1: the span runs over several lines"),
        ("rel", "secret\n", r"beth-1.rel' line 1: not a relation of the form"),
        ("rel", 'c="x" 1:0 1:0||r="Secret"||c="y" 1:4 1:5\n', "line 1: an unknown relation; known: PIP"),
        ("rel", 'c="x" 1:1 1:1||r="TrAP"||c="y" 1:4 1:5\n', "line 1: one end of the relation is no concept of 'beth-1.con'"),
    ],
)  # fmt: skip
def test_bad_gold_files_are_one_sentence(release, kind, content, message):
    beth(release, kind).write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        RelationReader().read(release)
    assert "secret" not in str(caught.value).lower()


def test_two_files_of_one_document(release):
    (release / "test_data" / "p-1.txt").write_text("x\n")
    with pytest.raises(UserError, match="the document p-1 has two files"):
        ConceptReader().read(release)


def test_a_hospital_without_notes_is_missing(tmp_path):
    write_i2b2_2010(tmp_path / "a", random.Random(0))
    assert all(path.is_file() for path in RelationReader().raw_files(tmp_path / "a"))
    assert [str(p.relative_to(tmp_path)) for p in RelationReader().raw_files(tmp_path)] == [
        f"{TRAINING}/beth/txt/*.txt", f"{TRAINING}/partners/txt/*.txt", "test_data/*.txt"
    ]  # fmt: skip


def test_the_sample_gives_what_was_written(tmp_path):
    write_i2b2_2012(tmp_path / "2012", random.Random(0))
    write_i2b2_2014(tmp_path / "2014", random.Random(0))
    events, phi = EVENT_READER.read(tmp_path / "2012"), PHI_READER.read(tmp_path / "2014")
    assert events.warnings == [] and phi.warnings == []
    assert {e["group"] for e in events.splits["test"]} == {str(i) for i in range(13, 19)}
    entities = [kind for e in events.splits["test"] for kind, _, _ in get_entities(e["tags"])]
    assert len(entities) == 6 * (1 + 6 * 4) and "DATE" not in entities
    entities = [kind for e in phi.splits["test"] for kind, _, _ in get_entities(e["tags"])]
    assert len(entities) == 5 * 3 * (1 + 4 * 5) and entities.count("HOSPITAL") == 5 * 3 * 4


def test_a_patient_stays_on_one_side(tmp_path):
    write_i2b2_2014(tmp_path, random.Random(0))
    splits = PHI_READER.read(tmp_path).splits
    patients = [{e["group"][:3] for e in splits[split]} for split in ("train", "validation")]
    assert [len(p) for p in patients] == [9, 1] and not patients[0] & patients[1]


def event_file(text="\nThe biopsy was done", tags='<EVENT id="1" start="5" end="11" text="biopsy" type="TEST"/>'):
    return f'<?xml version="1.0"?>\n<R>\n<TEXT><![CDATA[{text}]]></TEXT>\n<TAGS>{tags}</TAGS></R>'


def read_event_file(tmp_path, content):
    from collections import Counter

    (tmp_path / "7.xml").write_bytes(content.encode())
    counts = Counter()
    return EVENT_READER.read_document(tmp_path / "7.xml", counts), +counts


@pytest.mark.parametrize(
    "content",
    [
        event_file(),
        event_file(text="The biopsy was done"),  # counted from 1
        event_file(text="a\r\nbiopsy", tags='<EVENT id="1" start="3" end="9" text="biopsy" type="TEST"/>'),
        event_file(text="\nThe biopsy < was & done"),
    ],
)
def test_offsets_are_read_as_the_annotators_counted(tmp_path, content):
    lines, counts = read_event_file(tmp_path, content)
    tagged = [token for line in lines for token, tag in zip(line["tokens"], line["tags"]) if tag == "B-TEST"]
    assert tagged == ["biopsy"] and not counts


def test_repaired_and_counted(tmp_path):
    tags = (
        '<EVENT id="1" start="5" end="11" text="biopsy & more" type="TEST"/>'
        '<EVENT id="2" start="1" end="11" text="The biopsy" type="TEST"/>'
        '<EVENT id="3" start="3" end="3" text="" type="TEST"/>'
    )
    lines, counts = read_event_file(tmp_path, event_file(tags=tags))
    assert lines[0]["tags"] == ["B-TEST", "I-TEST", "O", "O"]
    assert sum(counts.values()) == 4 and len(counts) == 4  # ampersand, other surface, overlap, empty span


@pytest.mark.parametrize(
    "content, message",
    [
        (event_file().replace("</TAGS>", ""), "7.xml' line 5: not well-formed XML"),
        (event_file(text="\na\nb\n").replace("</TAGS>", ""), "7.xml' line 7: not well-formed XML"),
        ('<!DOCTYPE x [<!ENTITY a "secret">]>' + event_file().split("\n", 1)[1], "it declares XML entities"),
        ("<R><TAGS/></R>", "no <TEXT> with a CDATA section"),
        (event_file().replace("TAGS", "TUGS"), "no <TAGS>"),
        (event_file(tags='<EVENT start="5" end="11" text="secret"/>'), "an element <EVENT> lacks the attribute 'type'"),
        (event_file(tags='<EVENT start="5" end="11" text="secret" type="SECRET"/>'), "a <EVENT> of an unknown type; known: CLIN"),
        (event_file(tags='<EVENT start="five" end="11" text="secret" type="TEST"/>'), "whose start or end is no number"),
        (event_file(tags='<EVENT start="5" end="99" text="secret" type="TEST"/>'), "the span 5-99 is outside the text of 20"),
        (event_file(tags='\n<EVENT id="E1" start="5" end="11" text="secret" type="TEST"/>\n<EVENT id="E2" start="9" end="5" type="TEST"/>'), "7.xml' line 7: the span 9-5 is outside"),
        (event_file(tags='\n<EVENT id="E1" start="5" end="11" text="secret" type="SECRET"/>'), "7.xml' line 6: a <EVENT> of an unknown type"),
    ],
)  # fmt: skip
def test_bad_xml_is_one_sentence(tmp_path, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read_event_file(tmp_path, content)
    assert "secret" not in str(caught.value).lower()
