from collections import Counter

import pytest

from bioclinical.errors import UserError
from bioclinical.tasks.corpora.deid import TAGS, DeidReader, mask_type, tag_record


def tag(text, masked):
    return list(zip(*tag_record(text, masked, Counter()).values()))


def test_published_tags():
    assert TAGS == (
        "O",
        "B-age",
        "B-date",
        "B-location",
        "B-name",
        "B-other",
        "B-phone_nb",
        "I-age",
        "I-date",
        "I-location",
        "I-name",
        "I-other",
        "I-phone_nb",
    )


@pytest.mark.parametrize(
    "content, expected",
    [
        ("Known patient lastname 1", "name"),
        ("Name (NI) 22", "name"),
        ("Company Name", "name"),
        ("E-mail address 3", "other"),
        ("Telephone/Fax (1) 5", "phone_nb"),
        ("Pager number 9", "phone_nb"),
        ("Age over 90 ", "age"),
        ("Location (un) 1", "location"),
        ("Hospital 3", "location"),
        ("Street Address(2) 4", "location"),
        ("Unit Number 1", "location"),
        ("1999", "date"),
        ("7-3", "date"),
        ("07-13", "date"),
        ("2001-03-14", "date"),
        ("Date range (1) 5", "date"),
        ("Month/Year (2) 1", "date"),
        ("", "other"),
        ("Company 4", "other"),
        ("03-14-2001", "other"),
        ("something else", "other"),
    ],
)
def test_mask_types_first_match_wins(content, expected):
    oddities = Counter()
    assert mask_type(f" {content} ", oddities) == expected
    assert sum(oddities.values()) == (content in ("03-14-2001", "something else"))


def test_simple_alignment():
    assert tag("Seen by Ann B. Lee today.", "Seen by [**Name 1**] today.") == [
        ("Seen", "O"),
        ("by", "O"),
        ("Ann", "B-name"),
        ("B.", "I-name"),
        ("Lee", "I-name"),
        ("today.", "O"),
    ]


def test_mask_at_the_end_runs_to_the_record_end():
    assert tag("call 555 1234", "call [**Telephone/Fax (1) 1**]")[1:] == [("555", "B-phone_nb"), ("1234", "I-phone_nb")]


def test_published_fault_a_single_blank_between_masks_ends_the_first_name_early():
    tokens = tag("Dr. Ann Marie Lee 3/4 ok", "Dr. [**Name 1**] [**3-4**] ok")
    # The blank inside "Ann Marie" is taken for the plain segment; "Marie Lee" shifts into the date.
    assert tokens[1:5] == [("Ann", "B-name"), ("Marie", "B-date"), ("Lee", "I-date"), ("3/4", "I-date")]


def test_published_fault_adjacent_masks_repeat_the_tail():
    tokens = tag("A Lee 3/4 ok", "A [**Name 1**][**3-4**] ok")
    assert [token for token, _ in tokens] == ["A", "Lee", "3/4", "ok", "ok"]
    assert tokens[3] == ("ok", "I-name") and tokens[4] == ("ok", "O")


def record(patient, note, text):
    return f"START_OF_RECORD={patient}||||{note}||||\n{text}\n||||END_OF_RECORD\n"


def write(folder, texts, masked):
    for name, items in (("id.text", texts), ("id.res", masked)):
        (folder / name).write_text("".join(record(*item) for item in items))
    return DeidReader()


def test_reader_ids_and_newlines(tmp_path):
    items = [(1 + i // 2, 1 + i % 2, f"note\n{i} by Ann") for i in range(10)]
    reader = write(tmp_path, items, [(p, n, t.replace("Ann", "[**Name 1**]")) for p, n, t in items])
    splits = reader.read(tmp_path).splits
    assert {name: len(split) for name, split in splits.items()} == {"train": 7, "validation": 1, "test": 2}
    example = splits["train"][0]
    assert (
        example["tokens"][0] == "note"
        and example["tags"] == ["O", "O", "O", "B-name"]
        and example["id"].count("-") == 1
    )


def test_different_record_counts_are_an_error(tmp_path):
    reader = write(tmp_path, [(1, 1, "a"), (1, 2, "b")], [(1, 1, "a")])
    with pytest.raises(UserError, match="has 2 records but .* has 1"):
        reader.read(tmp_path)


def test_a_header_without_its_end_does_not_turn_text_into_an_id(tmp_path):
    for name in ("id.text", "id.res"):
        (tmp_path / name).write_text("START_OF_RECORD=1||||secret words\n more ||||END_OF_RECORD\n")
    with pytest.raises(UserError, match="1 records start but 0 end") as caught:
        DeidReader().read(tmp_path)
    assert "secret" not in str(caught.value)


def test_too_few_records_to_split(tmp_path):
    items = [(1, 1, "a"), (1, 2, "b")]
    with pytest.raises(UserError, match="cannot be split"):
        write(tmp_path, items, items).read(tmp_path)


def test_unfinished_record_is_an_error(tmp_path):
    reader = write(tmp_path, [(1, 1, "a")], [(1, 1, "a")])
    with open(tmp_path / "id.text", "a") as file:
        file.write("START_OF_RECORD=2||||1||||\ncut short")
    with pytest.raises(UserError, match="2 records start but 1 end"):
        reader.read(tmp_path)
