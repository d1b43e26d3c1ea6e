"""The strict protocol: alignment of DEID, spans of brat data, groups that stay together."""

import csv
import dataclasses
import random
import time
from collections import Counter

import pytest

from bioclinical.errors import UserError
from bioclinical.tasks.corpora.cos import read_snippets
from bioclinical.tasks.corpora.deid import DeidReader, tag_strictly
from bioclinical.tasks.corpora.phenotype import LABELS, PhenotypeReader
from bioclinical.tasks.corpora.social_history import STRICT_TAGS, STRICT_TYPES
from bioclinical.tasks.example import SPLITS
from bioclinical.tasks.loading import load_task
from bioclinical.tasks.readers.brat import BratReader, tag_covered_spans
from bioclinical.tasks.readers.delimited import DelimitedReader
from bioclinical.tasks.splits import Protocol, group_of, grouped_split
from dataloader import get_task

STRICT = Protocol("strict")


def tag(text, masked):
    tagged = tag_strictly(text, masked, Counter())
    return tagged and list(zip(tagged["tokens"], tagged["tags"]))


@pytest.mark.parametrize(
    "text, masked, entities",
    [
        ("Dr. Ann Marie Lee 3/4 ok", "Dr. [**Name 1**] [**3-4**] ok", ["Ann Marie Lee:name", "3 / 4:date"]),
        ("A Lee 3/4 ok", "A [**Name 1**][**3-4**] ok", ["Lee:name", "3 / 4:date"]),
        ("seen  by\tAnn B. Lee today.", "seen by [**Name 1**]today .", ["Ann B . Lee:name"]),
        ("by Ann Lee", "by [**First Name 1**] [**Last Name 2**]", ["Ann:name", "Lee:name"]),
        ("at Oak Hill, Ann", "at [**Hospital 1**], [**Name 2**]", ["Oak Hill:location", "Ann:name"]),
        ("DrLee's wife", "Dr[**Name 1**]'s wife", ["DrLee:name"]),
        ("on 03-14-2001", "on [**03-14-2001**]", ["03 - 14 - 2001:date"]),
        ("is ninety-four, seen May", "is [**Age over 90 1**], seen [**5-5**]", ["ninety - four:age", "May:date"]),
        ("no mask", "no mask", []),
    ],
)
def test_alignment(text, masked, entities):
    tagged = tag(text, masked)
    assert "".join(token for token, _ in tagged) == "".join(text.split())  # every token once, in order
    found = []
    for token, label in tagged:
        if label.startswith("B-"):
            found.append(f"{token}:{label[2:]}")
        elif label.startswith("I-"):
            token_so_far, kind = found[-1].rsplit(":", 1)
            found[-1] = f"{token_so_far} {token}:{kind}"
    assert found == entities


@pytest.mark.parametrize(
    "text, masked",
    [
        ("a Ann b Lee b Kay c", "a [**Name 1**] b [**Name 2**] c"),  # two readings
        ("by Ann B Lee", "by [**First Name 1**] [**Last Name 2**]"),
        ("on March 3rd ninety-four", "on [**3-4**] [**Age over 90 1**]"),  # an age of 94, or a third of 94
        ("by Ann Easter Monday", "by [**Name 1**] [**3-4**]"),
        ("by John Lee 3rd March 4", "by [**Name 1**] [**3-4**]"),
        ("other words", "these [**Name 1**]"),
        ("Lee", "Lee [**Name 1**]"),
    ],
)
def test_what_cannot_be_aligned_is_not_guessed(text, masked):
    assert tag(text, masked) is None


def test_alignment_of_invented_records_is_exact_or_refused():
    rng = random.Random(7)
    values = {
        "Name 1": ("name", ["Ann", "Ann Marie Lee", "O'Hara", "May", "June"]),
        "3-4": ("date", ["3/4", "March 4th", "March 3rd", "Easter Monday", "the third of March", "summer of '94"]),
        "Age over 90 1": ("age", ["92", "ninety-four", "94 years old", "a hundred"]),
        "Hospital 2": ("location", ["Oak Hill", "St. Ann's"]),
        "Telephone/Fax (1) 5": ("phone_nb", ["555-1234", "555 99 ext 3"]),
    }
    plains = [" seen by ", ", ", " ", " and ", ". Then\n", ""]
    aligned = 0
    for _ in range(300):
        text, masked, truth = "note ", "note ", []
        for _ in range(rng.randint(1, 6)):
            mask, (kind, surfaces) = rng.choice(list(values.items()))
            surface, plain = rng.choice(surfaces), rng.choice(plains)
            truth.append((len(text), len(text) + len(surface), kind))
            text += surface + plain
            masked += f"[**{mask}**]" + (plain if rng.random() < 0.8 else plain.replace(" ", "  "))
        tagged = tag_strictly(text, masked, Counter())
        if tagged is None:
            continue
        aligned += 1
        from bioclinical.text.words import token_offsets

        expected = tag_covered_spans(token_offsets(text, r"\w+|[^\w\s]"), truth)
        assert tagged["tags"] == expected, masked
    assert aligned > 100


def test_alignment_of_a_long_note_is_quick():
    text = " ".join(f"word{i} Ann Lee," for i in range(3_000))
    masked = " ".join(f"word{i} [**Name 1**] [**Name 2**]," for i in range(3_000))
    started = time.perf_counter()
    assert tag(text, masked)[1:3] == [("Ann", "B-name"), ("Lee", "B-name")] and time.perf_counter() - started < 5


def test_a_text_of_masks_and_little_else_is_given_up_and_named(tmp_path):
    """12 kB and 1,500 masks: every mask could stand in hundreds of places."""
    for name, crowded, plain in (
        ("id.text", "ab cd ef " * 1_330, "Ann"),
        ("id.res", "[**Name 1**] " * 1_500, "[**Name 1**]"),
    ):
        with open(tmp_path / name, "w") as file:
            for patient in range(1, 9):
                words = crowded if patient == 3 else f"by {plain} ok"
                file.write(f"START_OF_RECORD={patient}||||1||||\n{words}\n||||END_OF_RECORD\n")
    started = time.perf_counter()
    raw = DeidReader().read(tmp_path, STRICT)
    assert time.perf_counter() - started < 15
    assert raw.warnings == ["1 record(s) excluded, whose masks could stand in too many places: 3-1"]


def test_records_that_cannot_be_aligned_are_excluded_and_named(tmp_path):
    for name, value in (("id.text", "Ann"), ("id.res", "[**Name 1**]")):
        with open(tmp_path / name, "w") as file:
            for patient in range(1, 9):
                for note in (1, 2):
                    words = "lost" if (patient, note, name) == (3, 2, "id.res") else f"by {value} ok"
                    file.write(f"START_OF_RECORD={patient}||||{note}||||\n{words}\n||||END_OF_RECORD\n")
    raw = DeidReader().read(tmp_path, STRICT)
    assert raw.warnings == ["1 record(s) excluded, whose masks fit in no way or in more than one: 3-2"]
    ids = {split: {e["id"].split("-")[0] for e in raw.splits[split]} for split in SPLITS}
    assert [len(ids[split]) for split in SPLITS] == [6, 1, 1] and len(set.union(*ids.values())) == 8


@pytest.mark.parametrize("name", ["Phenotype", "DEID", "COS", "SocialHistory"])
def test_no_group_on_two_sides(sample, name):
    data = load_task(get_task(name), sample / "raw", STRICT)
    paper = load_task(get_task(name), sample / "raw")
    groups = [{group_of(example) for example in data.splits[split]} for split in SPLITS]
    everything = set.union(*groups)
    assert sum(map(len, groups)) == len(everything)
    shares = (0.7, 0.1, 0.2) if name == "Phenotype" else (0.7, 0.15, 0.15)
    assert [len(part) for part in groups] == pytest.approx([share * len(everything) for share in shares], abs=1)
    assert sum(map(len, data.splits.values())) == sum(map(len, paper.splits.values()))
    other = load_task(get_task(name), sample / "raw", Protocol("strict", 7))
    assert other.splits != data.splits and (data.protocol, other.protocol) == ("strict", "strict-split7")


def test_grouped_split_does_not_depend_on_the_order_of_rows():
    examples = [{"id": str(i), "group": f"patient{i // 3}"} for i in range(90)]
    first, second = grouped_split(examples, (0.1, 0.2), 42), grouped_split(examples[::-1], (0.1, 0.2), 42)
    assert all({e["id"] for e in first[split]} == {e["id"] for e in second[split]} for split in SPLITS)
    assert [len(first[split]) for split in SPLITS] == [63, 9, 18]
    with pytest.raises(UserError, match="2 group"):
        grouped_split(examples[:6], (0.1, 0.2), 42)


def test_split_seed_where_it_has_no_effect(sample):
    with pytest.raises(UserError, match="needs --protocol strict"):
        Protocol("paper", 7)
    with pytest.raises(UserError, match="splits are given as files"):
        load_task(get_task("ChemProt"), sample / "raw", Protocol("strict", 7))
    with pytest.raises(UserError, match="unknown protocol 'lax'"):
        Protocol("lax")


def write_document(folder, text, annotations, name="a"):
    (folder / f"{name}.txt").write_bytes(text.encode())
    (folder / f"{name}.ann").write_bytes(annotations.encode())


def read_strictly(folder):
    counts = Counter()
    reader = BratReader(token_pattern=r"\S+", strict_types=STRICT_TYPES)
    example = reader.read_strict_document(folder / "a.txt", counts)
    assert not counts
    return list(zip(example["tokens"], example["tags"]))


def test_strict_spans_keep_punctuation_and_fragments(tmp_path):
    write_document(
        tmp_path,
        "heavy smoker, left and right lung",
        "T1\tTobacco 0 12\theavy smoker\nT2\tDrug 14 18;29 33\tleft lung\n",
    )
    tags = dict(read_strictly(tmp_path))
    assert tags == {
        "heavy": "B-Tobacco", "smoker": "I-Tobacco", ",": "O", "left": "B-Drug", "and": "O", "right": "O",
        "lung": "B-Drug",
    }  # fmt: skip


def test_a_token_carries_the_span_that_covers_most_of_it():
    assert tag_covered_spans([(0, 6)], [(0, 2, "A"), (2, 6, "B")]) == ["B-B"]
    assert tag_covered_spans([(0, 3), (4, 7)], [(0, 3, "A"), (0, 7, "B")]) == ["B-B", "I-B"]
    assert tag_covered_spans([(0, 3)], [(0, 3, "A"), (0, 3, "B")]) == ["B-A"]
    assert tag_covered_spans([(0, 1), (2, 3), (4, 5)], [(0, 5, "A"), (2, 3, "B")]) == ["B-A", "I-A", "I-A"]


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("bom_counts", [True, False])
@pytest.mark.parametrize("crlf_counts", [True, False])
def test_bom_and_crlf_however_they_were_counted(tmp_path, bom, bom_counts, crlf_counts):
    text = bom + "ab\r\ncd ef"
    start = len(bom) * bom_counts + 3 + crlf_counts
    write_document(tmp_path, text, f"T1\tDrug {start} {start + 2}\tcd\n")
    assert read_strictly(tmp_path) == [("ab", "O"), ("cd", "B-Drug"), ("ef", "O")]


def test_strict_labels_are_complete(sample):
    data = load_task(get_task("SocialHistory"), sample / "raw", STRICT)
    assert (
        data.labels == STRICT_TAGS
        and len(STRICT_TAGS) == 53
        and {"B-LivingSituation", "I-PhysicalActivity"} < set(STRICT_TAGS)
    )


def test_strict_cos_moves_with_the_stripped_text_and_keeps_fragments(tmp_path):
    (tmp_path / "r.ann").write_text(
        "T1\tSnippet 10 23\t mild  edema.\nT2\tVal 11 15\tmild\nT3\tAttr 17 19;20 22\ted ma\n"
        "T4\tSnippet 30 34;40 44\tleft lung\nT5\tLoc 30 34;40 44\tleft lung\n"
    )
    counts = Counter()
    first, second = read_snippets(tmp_path / "r.ann", counts, strict=True)
    assert first["tokens"] == ["mild", "edema", "."] and first["tags"] == ["B-Val", "O", "O"]
    assert second["tokens"] == ["left", "lung"] and second["tags"] == ["B-Loc", "B-Loc"] and not counts


def test_phenotype_takes_a_repeated_row_once(tmp_path):
    header = ["ROW_ID", "NONE", *LABELS]
    rows = [[str(1 + i // 2), *["0"] * 15] for i in range(20)]
    with open(tmp_path / "ACTdb102003.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    notes = "".join(f"{row},{row // 2},note {copy}\n" for row in range(1, 11) for copy in (1, 2))
    (tmp_path / "NOTEEVENTS.csv").write_text("ROW_ID,SUBJECT_ID,TEXT\n" + notes)
    raw = PhenotypeReader().read(tmp_path, STRICT)
    examples = [example for split in SPLITS for example in raw.splits[split]]
    assert len(examples) == 10 and {example["text"] for example in examples} == {"note 1"}
    assert raw.warnings == ["30 example(s) of a repeated ROW_ID left out"]
    assert len(PhenotypeReader().read(tmp_path).splits["train"]) == 28


def test_own_csv_grouped_by_patient(tmp_path):
    rows = "".join(f"text {i},{'xy'[i % 2]},p{i // 4}\n" for i in range(40))
    (tmp_path / "all.csv").write_text("t,l,patient\n" + rows)
    reader = DelimitedReader(files="all.csv", text_column="t", label_column="l", group_column="patient")
    splits = reader.read(tmp_path, STRICT).splits
    assert [len({group_of(e) for e in splits[split]}) for split in SPLITS] == [6, 2, 2]
    assert dataclasses.replace(reader, group_column=None).read(tmp_path, STRICT).splits["train"][0].keys() == {
        "id", "text", "labels", "where",
    }  # fmt: skip
