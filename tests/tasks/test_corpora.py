"""Corpora with rules of their own: PubMedQA's folds, HoC's two releases, RQE, BioBERT's folds."""

import json

import pytest

from bioclinical.errors import UserError
from bioclinical.tasks.corpora.biobert_folds import BioBertFoldsReader
from bioclinical.tasks.corpora.hoc import LABELS, HocBlueReader, HocReader
from bioclinical.tasks.corpora.pubmedqa import PubmedQaReader, split_ids
from bioclinical.tasks.corpora.rqe import RqeReader
from bioclinical.tasks.splits import PAPER, SPLITS, Protocol


def sizes(raw):
    return [len(raw.splits[split]) for split in SPLITS]


def answers(examples):
    return [sum(e["labels"] == label for e in examples) for label in ("yes", "no", "maybe")]


# PubMedQA


def test_pubmedqa_folds_are_the_published_ones(real_data):
    questions = json.loads((real_data / "pubmedqa" / "ori_pqal.json").read_text())
    published = json.loads((real_data / "splits" / "pubmedqa_folds.json").read_text())
    for fold in range(10):
        test, validation, train = split_ids(questions, fold)
        assert (sorted(test), sorted(validation)) == (published["test"], sorted(published[f"fold{fold}"]["dev"]))
        assert len(train) == 450 and not set(train) & {*test, *validation}
    raw = PubmedQaReader().read(real_data / "pubmedqa")
    assert [answers(raw.splits[split]) for split in SPLITS] == [[249, 152, 49], [27, 17, 6], [276, 169, 55]]
    assert raw.splits["test"][0]["text"].endswith("?") and len(raw.splits["test"][0]["text_b"]) > 500


def test_pubmedqa_bad_files(tmp_path):
    questions, truth = tmp_path / "ori_pqal.json", tmp_path / "test_ground_truth.json"
    good = {"QUESTION": "q", "CONTEXTS": ["c"], "final_decision": "yes"}
    truth.write_text('{"1": "yes"}')
    for content, message in (
        ('{"1": {"QUESTION": "secret",\n', r"line 2: not valid JSON"),
        ("[]", "not a JSON object keyed by PMID"),
        (json.dumps({"1": good, "2": good | {"QUESTION": None}}), "PMID 2: it lacks the key QUESTION"),
        (json.dumps({"1": good | {"CONTEXTS": "secret"}}), "PMID 1: it lacks the key CONTEXTS"),
        (json.dumps({"1": good | {"final_decision": "secret"}}), "PMID 1: its final_decision is none of maybe, no, yes"),
        (json.dumps({str(i): good for i in range(40)}), "its 1 PMIDs are not those"),
    ):  # fmt: skip
        questions.write_text(content)
        with pytest.raises(UserError, match=message) as caught:
            PubmedQaReader().read(tmp_path)
        assert "secret" not in str(caught.value)


# HoC


def test_hoc_counts(real_data):
    sentences, abstracts = (HocReader(whole_abstracts=whole).read(real_data / "hoc") for whole in (False, True))
    assert sizes(sentences) == [12_119, 1_798, 3_547] and sizes(abstracts) == [1_295, 186, 371]
    labelled = [e for e in abstracts.splits["test"] if any(e["labels"])]
    assert (len(labelled), sum(map(sum, (e["labels"] for e in labelled)))) == (318, 484)


def hoc_files(tmp_path, content):
    for i, name in enumerate(("train.tsv", "dev.tsv", "test.tsv")):
        (tmp_path / name).write_text(content.replace("PMID", str(i)))
    return tmp_path


def flags(*on):
    return ",".join(f"{i}_{int(i in on)}" for i in range(10))


def test_hoc_whole_abstracts_join_sentences_and_labels(tmp_path):
    blurb = f'labels\tsentence\tindex\n{flags()}\tA "late\tPMID_s0\n{flags(2, 9)}\tB\tPMID_s1\n'
    (abstract,) = HocReader(whole_abstracts=True).read(hoc_files(tmp_path, blurb)).splits["validation"]
    assert (abstract["id"], abstract["text"]) == ("1", 'A "late B')
    assert abstract["labels"] == [int(i in (2, 9)) for i in range(10)]


def test_hoc_of_blue_has_another_first_line_and_names_of_labels(tmp_path):
    rows = f"PMID_s0\tA\t{LABELS[2]},{LABELS[9]}\nPMID_s1\tB\t\n"
    for first in ("index\tsentence1\tsentence2\tlabel\n", "index\tsentence\tlabels\n", ""):
        first_part = HocBlueReader().read(hoc_files(tmp_path, first + rows)).splits["train"]
        assert [e["labels"] for e in first_part] == [[int(i in (2, 9)) for i in range(10)], [0] * 10]
        assert {e["group"] for e in first_part} == {"0"}


@pytest.mark.parametrize(
    "reader, content, message",
    [
        (HocReader(), f"labels\tsentence\tindex\n{flags()},10_1\tsecret\tPMID_s0\n", "line 2: the labels are not of the form"),
        (HocReader(), f"labels\tsentence\tindex\n{flags()}\tsecret\tPMID\n", "line 2: the sentence's id is not of the form"),
        (HocReader(), "PMID_s0\tsecret text\tresisting cell death\n", "has no column 'labels', 'sentence', 'index'"),
        (HocReader(), f"labels\tsentence\tindex\n{flags()}\tsecret\t7_s0\n", "the abstract 7 is in the train split, too"),
        (HocBlueReader(), f"labels\tsentence\tindex\n{flags()}\tsecret\tPMID_s0\n", "this is BLURB's file of HoC"),
        (HocBlueReader(), "x\nPMID_s0\tsecret\tsecret label\n", "line 2: an unknown label of 12 characters"),
        (HocBlueReader(), "x\nPMID_s0\tsecret\n", "line 2: 2 cells where this format has 3"),
    ],
)  # fmt: skip
def test_hoc_bad_files(tmp_path, reader, content, message):
    with pytest.raises(UserError, match=message) as caught:
        reader.read(hoc_files(tmp_path, content))
    assert "secret" not in str(caught.value)


# RQE


def test_rqe_counts(real_data):
    raw = RqeReader().read(real_data / "rqe")
    train, validation, test = (raw.splits[split] for split in SPLITS)
    assert len(train) + len(validation) == 8_588 - 1 and len(test) == 302
    assert sum(e["labels"] == "true" for e in test) == 129
    assert not {e["group"] for e in train} & {e["group"] for e in validation}
    assert "1445 pair(s) of two equal questions" in raw.warnings


@pytest.mark.parametrize(
    "pair, message",
    [
        ('<pair pid="1" value="true"><chq>secret</chq></pair>', r"\(pair 1\): it lacks a <chq> or a <faq>"),
        ('<pair pid="1" value="secret"><chq>a</chq><faq>b</faq></pair>', r"\(pair 1\): its value is neither true nor false"),
        ('<pair pid="1"><chq>a</chq><faq>b</faq></pair>', "lacks the attribute 'value'"),
        ("\n<pair>", "line 2: not well-formed XML"),
    ],
)  # fmt: skip
def test_rqe_bad_files(tmp_path, pair, message):
    (tmp_path / "t.xml").write_text(f"<RQE>{pair}</RQE>")
    with pytest.raises(UserError, match=message) as caught:
        RqeReader(train="t.xml", test="t.xml").read(tmp_path)
    assert "secret" not in str(caught.value)


# BioBERT's folds


def test_euadr_counts(real_data):
    reader = BioBertFoldsReader()
    rows = {}
    for fold in range(1, 11):
        train, validation, test = (reader.read(real_data / "euadr", Protocol(fold=fold)).splits[s] for s in SPLITS)
        assert len(train) in range(318, 321) and len(test) in range(35, 38)
        assert [e["text"] for e in validation] == [e["text"] for e in test]
        rows |= {(fold, e["id"]): e["labels"] for e in test}
    assert (len(rows), sum(label == "1" for label in rows.values())) == (355, 262)


def test_strict_never_selects_on_the_test_fold(real_data):
    strict = BioBertFoldsReader().read(real_data / "euadr", Protocol("strict", fold=3))
    paper = BioBertFoldsReader().read(real_data / "euadr", Protocol(PAPER.name, fold=3))
    assert strict.splits["test"] == paper.splits["test"]
    texts = [{e["text"].replace("@GENE$", "").replace("@DISEASE$", "") for e in strict.splits[s]} for s in SPLITS]
    assert not texts[0] & texts[1] and len(strict.splits["validation"]) >= 20
    assert len(strict.splits["train"]) + len(strict.splits["validation"]) == len(paper.splits["train"])
