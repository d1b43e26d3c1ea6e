import pytest

from bioclinical.errors import UserError
from bioclinical.tasks.corpora.cos import CosReader, read_snippets
from bioclinical.tasks.corpora.social_history import TAGS, TYPES
from bioclinical.tasks.readers.brat import BratReader, parse_text_bound, tag_tokens
from bioclinical.text.words import token_offsets


def write(folder, name, text, annotations):
    (folder / f"{name}.txt").write_bytes(text.encode("utf-8"))
    (folder / f"{name}.ann").write_bytes(annotations.encode("utf-8"))


def read_one(folder, reader):
    from collections import Counter

    counts = Counter()
    example = reader.read_document(folder / "a.txt", counts)
    return dict(zip(example["tokens"], example["tags"])), counts


SOCIAL = BratReader(token_pattern=r"\S+", types=TYPES)


def test_published_tag_lists():
    assert len(TAGS) == 51 and TAGS[0] == "B-Alcohol" and TAGS[24] == "B-Type" and TAGS[50] == "O"
    assert TAGS[35] == "I-LivingSituation" and "B-LivingSituation" not in TAGS and "I-PhysicalActivity" not in TAGS


def test_token_touching_punctuation_is_lost_with_white_space_tokens_and_kept_without(tmp_path):
    write(tmp_path, "a", "heavy smoker, drinks", "T1\tTobacco 0 12\theavy smoker\n")
    assert read_one(tmp_path, SOCIAL)[0] == {"heavy": "B-Tobacco", "smoker,": "O", "drinks": "O"}
    assert read_one(tmp_path, BratReader())[0]["smoker"] == "I-Tobacco"


def test_spans_are_taken_by_start_and_later_ones_overwrite(tmp_path):
    write(tmp_path, "a", "one two three", "T1\tDrug 4 13\ttwo three\nT2\tAlcohol 0 7\tone two\nR1\tx Arg1:T1 Arg2:T2\n")
    assert read_one(tmp_path, SOCIAL)[0] == {"one": "B-Alcohol", "two": "B-Drug", "three": "I-Drug"}


def test_discontinuous_spans_are_left_out_and_counted(tmp_path):
    write(tmp_path, "a", "left and right lung", "T1\tDrug 0 4;15 19\tleft lung\n")
    tags, counts = read_one(tmp_path, SOCIAL)
    assert set(tags.values()) == {"O"} and counts["discontinuous span(s) left out"] == 1


def test_crlf_counts_one_character_and_a_bom_stays_with_the_first_token(tmp_path):
    write(tmp_path, "a", "\ufeffab\r\ncd ef", "T1\tDrug 4 6\tcd\n")
    assert read_one(tmp_path, SOCIAL)[0] == {"\ufeffab": "O", "cd": "B-Drug", "ef": "O"}


@pytest.mark.parametrize("space", ["\u00a0", "\t", "  ", "\u2003"])
def test_offsets_index_the_text_whatever_the_white_space(space):
    text = f" a{space}bc,d "
    for pattern in (r"\S+", r"\w+|[^\w\s]"):
        offsets = token_offsets(text, pattern)
        assert "".join(text[s:e] for s, e in offsets) == "".join(text.split())
    assert tag_tokens([(0, 1), (1, 3)], [(0, 2, "X")]) == ["B-X", "O"]


@pytest.mark.parametrize(
    "annotations, message",
    [
        ("T1\tDrug 0 99\tx\n", "outside the text of 5 characters"),
        ("T1\tLivingSituation 0 3\tabc\n", "a type of 15 characters"),
        ("T1\tDrug 3 3\tx\n", "empty or runs backwards"),
        ("T1 Drug 0 3 abc\n", "not a brat annotation"),
        ("T1\tDrug 0\tabc\n", "not a brat annotation"),
    ],
)
def test_unusable_annotation_names_file_and_line(tmp_path, annotations, message):
    write(tmp_path, "a", "abc d", annotations)
    with pytest.raises(UserError, match="a.ann' line 1.*" + message):
        read_one(tmp_path, SOCIAL)


def test_a_text_without_annotation_file_is_skipped_and_counted(tmp_path):
    for i in range(8):
        write(tmp_path, f"d{i}", "abc", "")
    (tmp_path / "x.txt").write_text("abc")
    raw = BratReader().read(tmp_path)
    assert sum(map(len, raw.splits.values())) == 8 and raw.warnings == ["1 .txt file(s) without .ann skipped"]


def test_cos_snippets(tmp_path):
    """Order of annotations overwrites; a leading blank shifts the spans (the published fault); others are ignored."""
    (tmp_path / "r.ann").write_text(
        "T1\tSnippet 10 22\tmild  edema.\nT2\tVal 10 14\tmild\nT3\tAttr 16 21\tedema\nT4\tRef 30 33\tnow\n"
        "T5\tSnippet 30 35\t now,\nT6\tCos 40 44\t\nT7\tLoc 1 2;3 4\ta b\n"
    )
    from collections import Counter

    counts = Counter()
    first, second = read_snippets(tmp_path / "r.ann", counts)
    assert first["id"] == "r:T1" and first["tokens"] == ["mild", "edema", "."]
    assert first["tags"] == ["B-Val", "B-Attr", "O"]
    assert second["tokens"] == ["now", ","] and second["tags"] == ["B-Ref", "O"]
    assert sum(counts.values()) == 2
    assert CosReader().raw_files(tmp_path) == [tmp_path / "r.ann"]


def test_parse_keeps_fragments():
    annotation = parse_text_bound("T7\tLoc 1 2;3 9\ta b", "here")
    assert annotation.fragments == ((1, 2), (3, 9)) and (annotation.start, annotation.end) == (1, 9)
