"""Column files of tokens: their dialects, the published counts of the real ones, and what is wrong with bad ones."""

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from bioclinical.errors import UserError
from bioclinical.tasks.readers.conll import ConllReader, bio_from_iob1, read_conll


def read(tmp_path, content, name="train.tsv", **options):
    (tmp_path / name).write_bytes(content.encode())
    return ConllReader(files=(name,) * 3, **options).read_file(tmp_path / name)


def test_dialects_give_the_same_sentences(tmp_path):
    expected = [["Naloxone", "reverses"], ["clonidine"]]
    for content in (
        "Naloxone\tB\nreverses\tO\n\nclonidine\tB\n",
        "Naloxone\tB\r\nreverses\tO\r\n\r\nclonidine\tB",
        "Naloxone B\nreverses  O\n\n\nclonidine B\n\n",
        "\ufeff-DOCSTART- -X- O\n\nNaloxone\t227508\t0\tB\nreverses\t-\t9\tO\n\nclonidine\t-\t20\tB\n",
    ):
        sentences = read(tmp_path, content)
        assert [s["tokens"] for s in sentences] == expected
        assert [s["tags"] for s in sentences] == [["B", "O"], ["B"]]
        assert not any("group" in s for s in sentences)


def test_documents_are_groups(tmp_path):
    named = "-DOCSTART- (100)\n\na\tO\n\nb\tO\n\n-DOCSTART- (PMC-7-sec-1)\n\nc\tO\n"
    assert [s["group"] for s in read(tmp_path, named)] == ["100", "100", "PMC-7-sec-1"]
    unnamed = "-DOCSTART-\tO\n\na\tO\n\n-DOCSTART-\tO\n\nb\tO\n"
    assert [s["group"] for s in read(tmp_path, unnamed)] == ["train:document1", "train:document2"]


def test_iob1_becomes_bio():
    tags = ["I-X", "I-X", "B-X", "O", "I-Y", "I-X", "B-X", "I-X"]
    assert bio_from_iob1(tags) == ["B-X", "I-X", "B-X", "O", "B-Y", "B-X", "B-X", "I-X"]
    assert get_entities(bio_from_iob1(tags)) == [("X", 0, 1), ("X", 2, 2), ("Y", 4, 4), ("X", 5, 5), ("X", 6, 7)]


def test_types_dropped_and_added(tmp_path):
    assert read(tmp_path, "a\tB-DNA\nb\tI-DNA\nc\tO\n", untyped=True)[0]["tags"] == ["B", "I", "O"]
    assert read(tmp_path, "a\tB\nb\tI\nc\tO\n", bare_type="Disease")[0]["tags"] == ["B-Disease", "I-Disease", "O"]
    assert read(tmp_path, "a\tB-Disease\nc\tO\n", bare_type="Disease")[0]["tags"] == ["B-Disease", "O"]


@pytest.mark.parametrize(
    "content, options, message",
    [
        ("a\tO\nb\t1\tO\n", {}, "train.tsv' line 2: 3 columns where the lines before it have 2"),
        ("secret\tB\n", {"columns": 4}, "line 1: 2 columns where this task's files have 4; is it another release"),
        ("a\t-\t0\tB\n", {"columns": 2}, "line 1: 4 columns where this task's files have 2"),
        ("secret\n", {}, "line 1: expected a token and a tag"),
        ("\tO\n", {}, "line 1: expected a token and a tag"),
        ("a b c\td\n\xe9\n", {}, "line 2: expected a token"),
        ("-DOCSTART- (1)\n\n", {}, "train.tsv' holds no sentence"),
    ],
)
def test_bad_lines_are_one_sentence(tmp_path, content, options, message):
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, content, **options)
    assert "secret" not in str(caught.value)


# set -> file -> (sentences, tokens, entities), from the facts the corpora are published with
COUNTS = {
    "NCBI-disease-IOB": {"train": (5_424, 135_701, 5_134), "devel": (923, 23_969, 787), "test": (940, 24_497, 960)},
    "BC5CDR-chem-IOB": {"train": (4_560, 118_170, 5_203), "devel": (4_581, 117_453, 5_347), "test": (4_797, 124_750, 5_385)},
    "BC5CDR-disease-IOB": {"train": (4_560, 118_170, 4_182), "devel": (4_581, 117_453, 4_246), "test": (4_797, 124_750, 4_424)},
    "BC2GM-IOB": {"train": (12_574, 355_405, 15_197), "devel": (2_519, 71_042, 3_061), "test": (5_038, 143_465, 6_325)},
    "linnaeus-IOB": {"train": (11_935, 280_960, 2_119), "devel": (4_078, 93_815, 711), "test": (7_142, 164_653, 1_433)},
    "JNLPBA": {"train_untyped": (16_807, 445_090, 46_750), "devel": (1_739, 47_461, 4_551), "test": (3_856, 101_039, 8_662)},
    "../anatem": {"train": (5_861, 153_823, 6_946), "devel": (2_118, 58_785, 2_139), "test": (3_830, 99_976, 4_616)},
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_real_counts(real_data, name):
    for file, expected in COUNTS[name].items():
        sentences = read_conll(real_data / "ner" / name / f"{file}.tsv", columns=2)
        entities = sum(len(get_entities(s["tags"])) for s in sentences)
        assert (len(sentences), sum(len(s["tokens"]) for s in sentences), entities) == expected
