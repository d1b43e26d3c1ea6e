"""Rows of BLUE's files (header, quoted) and of BLURB's (none, or unquoted), pairs, and one release under another's name."""

import pytest

from bioclinical.errors import UserError
from bioclinical.tasks.readers.delimited import DelimitedReader

FILES = ("train.tsv", "dev.tsv", "test.tsv")
BLUE = DelimitedReader(FILES, "sentence", "label", id_column="index", delimiter="\t")
BLURB = DelimitedReader(
    FILES, "sentence", "label", id_column="index", delimiter="\t", header=("index", "sentence", "label"), quoted=False
)


def read(reader, tmp_path, content):
    (tmp_path / "train.tsv").write_text(content, encoding="utf-8")
    return reader.read_file(tmp_path / "train.tsv")


def test_quotes_are_quoting_in_blue_and_characters_in_blurb(tmp_path):
    (blue,) = read(BLUE, tmp_path, 'index\tsentence\tlabel\n1\t"a ""late"" phase"\tfalse\n')
    (blurb,) = read(BLURB, tmp_path, '1\t"late" phase, 5" long\tfalse\n')
    assert (blue["text"], blurb["text"]) == ('a "late" phase', '"late" phase, 5" long')
    assert blurb["id"] == "1" and blurb["where"].endswith("line 1")


def test_pairs(tmp_path):
    reader = DelimitedReader(FILES, "sentence1", "score", delimiter="\t", text_b_column="sentence2")
    (pair,) = read(reader, tmp_path, "sentence1\tsentence2\tscore\nx\ty\t2.4\n")
    assert (pair["text"], pair["text_b"], pair["labels"]) == ("x", "y", "2.4")
    reader = DelimitedReader(("a.jsonl",) * 3, "sentence1", "gold_label", id_column="pairID", text_b_column="sentence2")
    path = tmp_path / "a.jsonl"
    path.write_text('{"pairID": "p", "sentence1": "x", "sentence2": "y", "gold_label": "neutral", "more": [1]}\n')
    assert [e["text_b"] for e in reader.read_file(path)] == ["y"]


@pytest.mark.parametrize(
    "reader, content, message",
    [
        (BLURB, "index\tsentence\tlabel\n1\tsecret words\tfalse\n", "line 1: this line names columns"),
        (BLURB, "1\tsecret words\tfalse\n2\tsecret words\n", "line 2: 2 cells where this format has 3"),
        (BLUE, "1\tsecret words\tfalse\n", "does not look like column names"),
        (BLUE, "index\tsentence\tlabel\n1\tsecret words\tfalse\tx\n", "line 2: 4 cells where the header has 3"),
        (BLUE, 'index\tsentence\tlabel\n1\tok\tx\n2\t"secret\tfalse\n', "begins at line 3"),
    ],
)
def test_another_release_is_one_sentence(tmp_path, reader, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read(reader, tmp_path, content)
    assert "secret" not in str(caught.value)


def test_real_files_read_without_quoting(real_data):
    for folder, header, expected in (
        ("ddi", ("index", "sentence", "label"), {"dev": 2_496, "test": 5_716}),
        ("gad", None, {"train": 4_261, "dev": 535, "test": 534}),
    ):
        reader = DelimitedReader(FILES, "sentence", "label", delimiter="\t", header=header, quoted=False)
        for split, count in expected.items():
            assert len(reader.read_file(real_data / folder / f"{split}.tsv")) == count
