"""Raw releases of BLURB's corpora, invented in their layouts, become files that the tasks read."""

import io
import re
import subprocess
import sys
import tarfile
import types
import zipfile
from xml.etree import ElementTree

import pytest
from repository import ROOT

from bioclinical.errors import UserError
from bioclinical.tasks.conversion import anatem, chemprot, ddi, ebm_nlp, genia, hoc
from bioclinical.tasks.conversion.archives import unpack_release
from bioclinical.tasks.conversion.common import marked, read_ids
from bioclinical.tasks.corpora.hoc import LABELS, HocReader
from bioclinical.tasks.readers.conll import read_conll


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def write_ids(tmp_path, corpus, ending, names, separator=","):
    for part, name in zip(("train", "dev", "test"), names):
        write(tmp_path / "ids" / "indexing" / corpus / f"{part}{ending}", name + separator)
    return tmp_path / "ids"


def rows(path):
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


def test_mentions_are_marked_in_their_order():
    text = "aspirin inhibits COX-1 gene"
    assert marked(text, [(17, 22, "GENE"), (0, 7, "CHEMICAL")]) == "@CHEMICAL$ inhibits @GENE$ gene"
    assert marked(text, [(17, 27, "GENE"), (17, 20, "CHEMICAL")]) == "aspirin inhibits @CHEMICAL-GENE$"


def test_hoc(tmp_path):
    for pmid in ("1", "2", "3"):
        write(tmp_path / "release" / "text" / f"{pmid}.txt", "A .\nB .\n\n")
        write(
            tmp_path / "release" / "labels" / f"{pmid}.txt",
            "< <Inducing angiogenesis--x AND Resisting cell death--y--z ",
        )
    ids = write_ids(tmp_path, "HoC", "_pmid.tsv", ("1.txt", "2.txt", "3.txt"))
    hoc.convert(tmp_path / "release", ids, tmp_path / "HoC-BLURB")
    first, second = HocReader().read(tmp_path / "HoC-BLURB").splits["train"]
    assert first["labels"] == [0] * 10 and second["id"] == "1_s1"
    assert [LABELS[i] for i, on in enumerate(second["labels"]) if on] == [
        "inducing angiogenesis",
        "resisting cell death",
    ]
    write(tmp_path / "release" / "labels" / "2.txt", "< secret < ")
    with pytest.raises(UserError, match="a topic of 6 characters that is none of") as caught:
        hoc.convert(tmp_path / "release", ids, tmp_path / "HoC-BLURB")
    assert "secret" not in str(caught.value)
    assert len(rows(tmp_path / "HoC-BLURB" / "dev.tsv")) == 3  # what was there stays whole


def test_hoc_real_sentences_are_blurbs(real_data):
    """A label file's form, and what BLURB made of it: abstract 11857086 of the dev part."""
    raw = (
        "< " * 8
        + "<Enabling replicative immortality--Immortalization"
        + "< " * 3
        + "<Enabling replicative immortality--Immortalization"
    )
    found = [hoc.flags(label, real_data) for label in raw.split("<")[1:]]
    published = [row[0] for row in rows(real_data / "hoc" / "dev.tsv") if row[2].startswith("11857086_")]
    assert found == published


def test_ebm_nlp(tmp_path, capsys):
    release = tmp_path / "release"
    for pmid, place in (("1", "train"), ("2", "train"), ("3", "test/gold")):
        write(release / "documents" / f"{pmid}.tokens", "Forty\nwomen\nslept\n.\nWell\n")
        for element, marks in (
            ("participants", "1 1 0 0 0"),
            ("interventions", "0 0 0 0 0"),
            ("outcomes", "0,0,1,1,0"),
        ):
            folder = release / "annotations" / "aggregated" / "starting_spans" / element / place
            write(folder / f"{pmid}.AGGREGATED.ann", marks)
    ids = write_ids(tmp_path, "ebmnlp", "_pmid.tsv", ("1", "2", "3"))
    ebm_nlp.convert(release, ids, tmp_path / "PICO")
    sentences = read_conll(tmp_path / "PICO" / "test.tsv", columns=2)
    assert [s["tags"] for s in sentences] == [["I-PAR", "I-PAR", "I-OUT", "I-OUT"], ["O"]]
    (release / "annotations" / "aggregated" / "starting_spans" / "outcomes" / "train" / "1.AGGREGATED.ann").unlink()
    ebm_nlp.convert(release, ids, tmp_path / "PICO")
    assert "1 document(s) without a file of their outcomes" in capsys.readouterr().out
    assert read_conll(tmp_path / "PICO" / "train.tsv", columns=2)[0]["tags"] == ["I-PAR", "I-PAR", "O", "O"]
    write(release / "documents" / "3.tokens", "one more token than marks , so it seems")
    with pytest.raises(UserError, match="5 marks for 9 tokens"):
        ebm_nlp.convert(release, ids, tmp_path / "PICO")


def test_a_discontinuous_drug_reaches_from_its_first_to_its_last_fragment(tmp_path):
    entity = ElementTree.fromstring('<entity id="e" charOffset="0-3;9-12"/>')
    assert ddi.span(entity, "some kind of drug", tmp_path) == (0, 13, "DRUG")


def test_ddi(tmp_path):
    sentence = (
        '<sentence id="d.s0" text="Aspirin &amp; ibuprofen."><entity id="e0" charOffset="0-6" type="drug" text="Aspirin"/>'
        '<entity id="e1" charOffset="10-18" type="brand" text="ibuprofen"/>'
        '<pair id="d.s0.p0" e1="e0" e2="e1" ddi="{}"/></sentence>'
    )
    names = ("Train/DrugBank/a.xml", "Train/MedLine/b.xml", "Test/DrugBank/a b.xml")
    for name, truth in zip(names, ('true" type="effect', "false", "true")):
        write(tmp_path / "release" / name, f'<document id="d">{sentence.format(truth)}</document>')
    ids = write_ids(tmp_path, "DDI", "_files.tsv", (f"x/{names[0]}", f"x/{names[1]}", f"x/{names[2]}"), "\n")
    ddi.convert(tmp_path / "release", ids, tmp_path / "DDI-BLURB")
    labels = {part: rows(tmp_path / "DDI-BLURB" / f"{part}.tsv") for part in ("train", "dev", "test")}
    assert labels == {
        "train": [["d.s0.p0", "@DRUG$ & @DRUG$.", "DDI-effect"]],
        "dev": [["d.s0.p0", "@DRUG$ & @DRUG$.", "DDI-false"]],
        "test": [["d.s0.p0", "@DRUG$ & @DRUG$.", "DDI-int"]],
    }


@pytest.fixture
def punkt(monkeypatch):
    """Stands in for NLTK with its English model, which has to be fetched: a sentence ends at every full stop."""
    tokenize = types.SimpleNamespace(
        sent_tokenize=lambda text: [part.strip() for part in re.findall(r"[^.]+\.?", text)]
    )
    monkeypatch.setitem(sys.modules, "nltk", types.SimpleNamespace(tokenize=tokenize))
    monkeypatch.setitem(sys.modules, "nltk.tokenize", tokenize)
    return tokenize


def test_who_cuts_sentences_is_said(punkt, monkeypatch, capsys):
    assert chemprot.sentence_cutter() is punkt.sent_tokenize
    assert "sentences: by NLTK's Punkt" in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "nltk.tokenize", None)  # as if it were not installed
    assert chemprot.sentence_cutter()("Ends e.g. here. Begins.") == ["Ends e.g. here.", "Begins."]
    assert "counts differ a little from BLURB's" in capsys.readouterr().out


def test_chemprot(tmp_path, punkt):
    for name, ending in (("training", ""), ("development", ""), ("test", "_gs")):
        write(
            tmp_path / f"chemprot_{name}_abstracts{ending}.tsv",
            "7\tOn COX-1.\tAspirin inhibits COX-1. Aspirin helps.\n",
        )
        entities = "7\tT1\tCHEMICAL\t10\t17\tAspirin\n7\tT2\tGENE-Y\t27\t32\tCOX-1\n7\tT3\tGENE-N\t3\t8\tCOX-1\n7\tT4\tCHEMICAL\t34\t41\tAspirin\n"
        write(tmp_path / f"chemprot_{name}_entities{ending}.tsv", entities)
        relations = "7\tCPR:9\tY \tSUBSTRATE\tArg1:T1\tArg2:T2\n7\tCPR:4\tY \tINHIBITOR\tArg1:T1\tArg2:T2\n"
        write(tmp_path / f"chemprot_{name}_relations{ending}.tsv", relations)
    chemprot.convert(tmp_path, None, tmp_path / "out")
    assert rows(tmp_path / "out" / "test.tsv") == [["7.T1.T2", "@CHEMICAL$ inhibits @GENE$.", "CPR:4"]]
    write(tmp_path / "chemprot_training_relations.tsv", relations + "7\tCPR:10\tN \tNOT\tArg1:T1\tArg2:T2\n")
    chemprot.convert(tmp_path, None, tmp_path / "out")
    assert [row[2] for row in rows(tmp_path / "out" / "train.tsv")] == ["false"]  # the last one is none of the five
    write(tmp_path / "chemprot_training_entities.tsv", "7\tT1\tCHEMICAL\t10\t99\tAspirin\n")
    with pytest.raises(UserError, match="row 1: the span of T1 lies outside the text of abstract 7"):
        chemprot.convert(tmp_path, None, tmp_path / "out")


def test_chemprot_sentences_end_at_the_tab_whoever_cuts_them():
    text = "On COX-1\tIt works. So"
    for cut in (chemprot.SENTENCE_END.split, lambda text: [text]):
        spans = [text[start:end] for start, end in chemprot.sentence_spans(text, cut)]
        assert "".join(spans).replace(" ", "") == "OnCOX-1Itworks.So" and "On COX-1" in spans


def test_genia(tmp_path):
    write(
        tmp_path / "r" / "Genia4ERtask1.iob2",
        "###MEDLINE:95369245\n\nIL-2\tB-DNA\ngene\tI-DNA\n\n###MEDLINE:9\n\nx\tO\n\n",
    )
    write(tmp_path / "r" / "t" / "Genia4EReval1.iob2", "###MEDLINE:8\n\ny\tO\n\n")
    genia.convert(tmp_path / "r", None, tmp_path / "JNLPBA", first_development_line=6)
    train, devel = (read_conll(tmp_path / "JNLPBA" / f"{name}.tsv", columns=2) for name in ("train", "devel"))
    assert train[0]["tags"] == ["B-DNA", "I-DNA"] and [s["tokens"] for s in devel] == [["x"]]
    with pytest.raises(UserError, match="has 10 lines; did the release change"):
        genia.convert(tmp_path / "r", None, tmp_path / "JNLPBA")


def test_anatem(tmp_path, real_data):
    """The published parts, taken apart into the release's files, come back byte for byte."""
    for part in anatem.PARTS:
        whole = (real_data / "anatem" / f"{part}.tsv").read_text(encoding="utf-8")
        for document in whole.split("-DOCSTART- (")[1:]:
            name, _, lines = document.partition(")\n\n")
            write(tmp_path / "anatem-master" / "original-data" / "conll" / part / f"{name}.conll", lines)
    anatem.convert(tmp_path / "anatem-master", None, tmp_path / "AnatEM")
    for part in anatem.PARTS:
        published = (real_data / "anatem" / f"{part}.tsv").read_bytes()
        assert (tmp_path / "AnatEM" / f"{part}.tsv").read_bytes().rstrip() == published.rstrip()
    with pytest.raises(UserError, match="holds 'conll/train' 0 times"):
        anatem.convert(tmp_path / "AnatEM", None, tmp_path / "other")


def test_lists_of_ids(tmp_path, real_data):
    sizes = {part: len(names) for part, names in read_ids(real_data / "splits", "ebmnlp", "_pmid.tsv").items()}
    assert sizes == {"train": 3_842, "dev": 960, "test": 191}
    sizes = {part: len(names) for part, names in read_ids(real_data / "splits", "DDI", "_files.tsv").items()}
    assert sizes == {"train": 624, "dev": 90, "test": 191}
    with pytest.raises(UserError, match="BLURB's lists of HoC: 1 is in train and in test"):
        read_ids(write_ids(tmp_path, "HoC", "_pmid.tsv", ("1", "2", "1")), "HoC", "_pmid.tsv")
    with pytest.raises(UserError, match="there is no 'X/train_pmid.tsv' below"):
        read_ids(tmp_path, "X", "_pmid.tsv")


def test_script_says_what_it_needs(tmp_path):
    command = [sys.executable, ROOT / "scripts" / "convert_benchmarks.py", "PICO", "--release", tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 2 and "--ids is needed" in run.stderr


# Archives


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as content:
        for name, data in files.items():
            content.writestr(name, data)
    return buffer.getvalue()


def test_a_zip_of_zips_is_unpacked_whole(tmp_path):
    (tmp_path / "c.zip").write_bytes(zipped({"corpus/part.zip": zipped({"part/a.tsv": "x"}), "corpus/readme": "y"}))
    unpack_release(tmp_path / "c.zip", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()} == {"a.tsv", "readme"}


@pytest.mark.parametrize("name", ["../evil", "/evil", "C:\\evil"])
def test_paths_that_lead_out_are_refused(tmp_path, name):
    (tmp_path / "c.zip").write_bytes(zipped({name: "x"}))
    with tarfile.open(tmp_path / "c.tar.gz", "w:gz") as content:
        content.addfile(tarfile.TarInfo(name))
    for archive in ("c.zip", "c.tar.gz"):
        with pytest.raises(UserError, match="leads out of its folder"):
            unpack_release(tmp_path / archive, tmp_path / "out" / "deep")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "out" / "evil").exists()


def test_a_damaged_archive(tmp_path):
    (tmp_path / "c.tar.gz").write_bytes(b"<html>moved</html>")
    with pytest.raises(UserError, match="'c.tar.gz' is no intact archive"):
        unpack_release(tmp_path / "c.tar.gz", tmp_path / "out")
