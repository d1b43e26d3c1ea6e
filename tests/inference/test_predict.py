"""bioclinical.predict: the saved model on raw text, offsets that index the input, redaction, resumption, bad input."""

import csv
import functools
import json
import shutil
import sys
from pathlib import Path

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from bioclinical import predict
from bioclinical.inference import resumable
from bioclinical.inference.predictor import Predictor
from bioclinical.inference.redact import stretches
from bioclinical.text.words import token_offsets

QUICK = ("--limit", 12, "--batch_size", 8, "--epochs", 1)


@pytest.fixture(scope="module")
def saved(sample, tiny_model, tmp_path_factory):
    """(dataset, protocol) -> folder of a barely trained model and its result."""
    import main

    done = {}

    def get(dataset, protocol="strict", *arguments):
        if (dataset, protocol, *arguments) not in done:
            out = tmp_path_factory.mktemp("saved")
            common = ["--dataset", dataset, "--model", tiny_model(), "--protocol", protocol, *arguments, *QUICK]
            files = ["--data_dir", sample / "raw", "--output_dir", out / "outputs", "--save_model", out / "model"]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["main.py", *map(str, [*common, *files])])
                main.main()
            (result,) = (out / "outputs").rglob("seed=42_????????.json")
            done[dataset, protocol, *arguments] = out / "model", result
        return done[dataset, protocol, *arguments]

    return get


@pytest.fixture
def run_predict(run_command):
    return functools.partial(run_command, predict)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_entities_are_those_of_the_evaluation_at_offsets_of_the_input(run_predict, saved, sample, tmp_path, protocol):
    model, result = saved("SocialHistory", protocol, "--max_length", 24)
    predictions = lines(result.with_suffix(".predictions.jsonl"))[:4]
    texts = [(sample / "raw" / "SocialHistory" / f"{p['id']}.txt").read_text() for p in predictions]
    rows = "".join(json.dumps({"n": p["id"], "note": t}) + "\n" for p, t in zip(predictions, texts))
    (tmp_path / "in.jsonl").write_text(rows)
    arguments = ("--input", tmp_path / "in.jsonl", "--text_column", "note", "--id_column", "n")
    code, out, err = run_predict("--model", model, *arguments, "--output", tmp_path / "out.jsonl")
    assert code == 0 and f"SocialHistory, protocol {protocol}" in out and "windows of 24" in out, err
    pattern = r"\S+" if protocol == "paper" else r"\w+|[^\w\s]"
    for prediction, text, found in zip(predictions, texts, lines(tmp_path / "out.jsonl")):
        offsets = token_offsets(text, pattern)
        expected = [
            (offsets[first][0], offsets[last][1], kind) for kind, first, last in get_entities(prediction["windowed"])
        ]
        assert found["id"] == prediction["id"]
        assert [(e["start"], e["end"], e["type"]) for e in found["entities"]] == expected != []
        assert all(0 < e["probability"] <= 1 for e in found["entities"])


def test_redaction_keeps_everything_else_character_for_character(run_predict, saved, tmp_path):
    model, _ = saved("DEID")
    text = "\ufeffseen by\u00a0Dr. Ann  Lee\r\n\ton 3/4,\u2003call 555-1234.\r\n"
    (tmp_path / "n.csv").write_bytes(('text\n"' + text[1:] + '"\n').encode())
    (tmp_path / "n.txt").write_bytes(text.encode())
    for name, original in (("n.txt", text), ("n.csv", text[1:])):
        output, redacted = tmp_path / f"{name}.jsonl", tmp_path / f"{name}.redacted"
        arguments = ("--model", model, "--input", tmp_path / name, "--output", output, "--redact", redacted)
        code, _, err = run_predict(*arguments)
        assert code == 0, err
        ((prediction),) = lines(output)
        content = redacted.read_bytes().decode()
        content = content if name == "n.txt" else json.loads(content)["text"]
        place, rebuilt = 0, ""
        assert prediction["entities"]
        for entity in stretches(prediction["entities"], len(original)):
            rebuilt += original[place : entity["start"]] + f"[{entity['type']}]"
            place = entity["end"]
            assert original[entity["start"] : place].strip() == original[entity["start"] : place] != ""
        assert content == rebuilt + original[place:]
    assert "Ann" not in (tmp_path / "n.csv.jsonl").read_text()


def rows_of(result: Path, sample: Path, tmp_path: Path) -> tuple[list[dict], Path]:
    """The predictions that a ChemProt score was made of, and their texts as an input of predict."""
    with open(sample / "raw" / "ChemProt" / "test.tsv", newline="") as file:
        texts = {row["index"]: row["sentence"] for row in csv.DictReader(file, delimiter="\t")}
    predictions = lines(result.with_suffix(".predictions.jsonl"))
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"id": p["id"], "text": texts[p["id"]]}) + "\n" for p in predictions))
    return predictions, path


@pytest.mark.parametrize("pooling", ["head", "windows"])
def test_texts_are_labelled_the_way_the_score_was_made(run_predict, saved, sample, tmp_path, pooling):
    model, result = saved("ChemProt", "paper", "--max_length", 12, "--pooling", pooling)
    predictions, path = rows_of(result, sample, tmp_path)
    output = tmp_path / "out.jsonl"
    code, out, err = run_predict("--model", model, "--input", path, "--id_column", "id", "--output", output)
    assert code == 0, err
    assert ("windows of 12 tokens" in out) == (pooling == "windows")
    assert ("12 of them cut at 12 tokens" in out) == (pooling == "head")
    for expected, found in zip(predictions, lines(output), strict=True):
        assert found["id"] == expected["id"] and found["label"] == expected["predicted"]
        assert list(found["probabilities"].values()) == pytest.approx(expected["probabilities"], abs=2e-6)


def test_pairs_and_numbers(run_predict, tiny_model, real_data, tmp_path, monkeypatch):
    """A model trained on BIOSSES gives raw pairs the numbers of its test, and wants pairs."""
    import main

    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "BIOSSES").symlink_to(real_data / "biosses")
    files = ("--data_dir", tmp_path / "raw", "--output_dir", tmp_path / "outputs", "--save_model", tmp_path / "model")
    arguments = ("--dataset", "BIOSSES", "--model", tiny_model("bert"), "--epochs", 1, "--max_length", 32, *files)
    monkeypatch.setattr(sys, "argv", ["main.py", *map(str, arguments)])
    main.main()
    (result,) = (tmp_path / "outputs").rglob("seed=42_????????.json")
    common = ("--model", tmp_path / "model", "--input", real_data / "biosses" / "test.tsv", "--text_column", "sent1")
    output = tmp_path / "out.jsonl"
    code, _, err = run_predict(*common, "--output", output)
    assert code == 2 and "was trained on pairs of texts (BIOSSES); name --text_b_column" in err
    code, _, err = run_predict(*common, "--text_b_column", "sent2", "--id_column", "pair_id", "--output", output)
    assert code == 0, err
    expected = {p["id"]: p["predicted"] for p in lines(result.with_suffix(".predictions.jsonl"))}
    assert {p["id"]: p["score"] for p in lines(output)} == pytest.approx(expected, abs=1e-5)


def test_labels_of_texts_empty_ones_too(run_predict, saved, tmp_path):
    for dataset, key in (("ChemProt", "label"), ("Phenotype", "labels")):
        model, _ = saved(dataset)
        (tmp_path / "n.csv").write_text('id,text\na,"lungs\nclear"\nb,  \nc,"' + "afebrile " * 3_000 + '"\n')
        output = tmp_path / f"{dataset}.jsonl"
        arguments = ("--model", model, "--input", tmp_path / "n.csv", "--id_column", "id", "--output", output)
        code, out, err = run_predict(*arguments)
        assert code == 0 and "3 documents, 1 of them empty" in out, err
        first, empty, long = lines(output)
        assert [p["id"] for p in (first, empty, long)] == ["a", "b", "c"] and empty[key] is None
        assert set(first["probabilities"]) >= {first[key]} if key == "label" else first[key] is not None
        assert min(long["probabilities"].values()) >= 0


def test_an_interrupted_run_continues(run_predict, saved, tmp_path, monkeypatch):
    model, _ = saved("COS")
    (tmp_path / "n.jsonl").write_text("".join(json.dumps({"text": f"mild edema {i}"}) + "\n" for i in range(10)))
    arguments = ("--model", model, "--input", tmp_path / "n.jsonl", "--output")
    run_predict(*arguments, tmp_path / "whole.jsonl")
    monkeypatch.setattr(resumable, "DOCUMENTS_PER_CHUNK", 3)
    original, seen = Predictor.predict, []

    def stop_at_the_third(self, documents, on_progress):
        seen.append([document.id for document in documents])
        if len(seen) == 3:
            raise KeyboardInterrupt
        return original(self, documents, on_progress)

    monkeypatch.setattr(Predictor, "predict", stop_at_the_third)
    assert run_predict(*arguments, tmp_path / "cut.jsonl")[0] == 130 and not (tmp_path / "cut.jsonl").exists()
    (partial,) = tmp_path.glob(".cut.jsonl.*.partial")
    with open(partial, "a") as file:
        file.write('{"id": "7", "ent')
    code, out, _ = run_predict(*arguments, tmp_path / "cut.jsonl")
    assert code == 0 and "continuing after 6 documents" in out and seen[3][0] == "7"
    assert (tmp_path / "cut.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text() and not partial.exists()


def test_a_byte_order_mark_is_no_word(run_predict, saved, tmp_path):
    model, _ = saved("COS")
    for name, mark in (("without", ""), ("with", "\ufeff")):
        (tmp_path / f"{name}.txt").write_text(mark + "mild edema , no effusion", encoding="utf-8")
        code, _, err = run_predict(
            "--model", model, "--input", tmp_path / f"{name}.txt", "--output", tmp_path / f"{name}.jsonl"
        )
        assert code == 0, err
    ((without,), (with_mark,)) = (lines(tmp_path / f"{name}.jsonl") for name in ("without", "with"))
    moved = [{**entity, "start": entity["start"] + 1, "end": entity["end"] + 1} for entity in without["entities"]]
    assert with_mark["entities"] == moved != []


@pytest.mark.parametrize(
    "key, value",
    [
        ("bioclinical", ["a"]), ("max_length", "long"), ("max_length", 0), ("token_pattern", "(["), ("pooling", "mean"),
        ("id2label", {"0": "O", "2": "B-x"}), ("num_hidden_layers", "four"), ("texts", "text"),
    ],
)  # fmt: skip
def test_a_changed_config_is_named_and_leaves_nothing(run_predict, saved, tmp_path, key, value):
    copy = tmp_path / "copy"
    shutil.copytree(saved("COS")[0], copy)
    config = json.loads((copy / "config.json").read_text())
    place = config if key in ("bioclinical", "id2label", "num_hidden_layers") else config["bioclinical"]
    place[key] = value
    (copy / "config.json").write_text(json.dumps(config))
    (tmp_path / "n.txt").write_text("mild edema")
    code, _, err = run_predict("--model", copy, "--input", tmp_path / "n.txt", "--output", tmp_path / "out")
    assert code == 2 and str(copy) in err.splitlines()[-1] and "Traceback" not in err, err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "n.txt"]


def test_damaged_rows_are_left_out_and_the_others_keep_their_numbers(run_predict, saved, tmp_path):
    model, _ = saved("SocialHistory")
    (tmp_path / "in.csv").write_bytes(b"id,text\nx,smokes\nonly one cell\ny,na\xefve\nz,\nv,drinks\n")
    common = ("--model", model, "--input", tmp_path / "in.csv", "--output", tmp_path / "out.jsonl")
    code, _, err = run_predict(*common)
    assert code == 2 and "line 3" in err
    code, out, err = run_predict(*common, "--on_bad_rows", "skip")
    assert code == 0 and "2 damaged rows left out" in out, err
    assert [prediction["id"] for prediction in lines(tmp_path / "out.jsonl")] == ["1", "4", "5"]
    (tmp_path / "in.csv").write_bytes(b"id,text\nx,na\xefve\n")
    code, _, err = run_predict(*common, "--encoding", "latin-1", "--id_column", "id", "--overwrite")
    assert code == 0 and lines(tmp_path / "out.jsonl")[0]["id"] == "x", err


def test_bad_input(run_predict, saved, tiny_model, tmp_path):
    labels, tokens = saved("ChemProt")[0], saved("COS")[0]
    (tmp_path / "n.csv").write_text("notes\nx\n")
    (tmp_path / "n.jsonl").write_text('{"text": "a"}\n["text"]\n')
    (tmp_path / "n.txt").write_text("a")
    nameless = tmp_path / "nameless"
    nameless.mkdir()
    for path in tokens.iterdir():
        (nameless / path.name).write_bytes(path.read_bytes())
    config = json.loads((nameless / "config.json").read_text())
    config["id2label"] = {i: f"LABEL_{i}" for i in config["id2label"]}
    config["label2id"] = {f"LABEL_{i}": int(i) for i in config["id2label"]}
    (nameless / "config.json").write_text(json.dumps(config))
    for model, name, more, message in (
        (labels, "n.csv", (), "has no column 'text'; its first line names: 'notes'"),
        (labels, "n.jsonl", (), "line 2: not a JSON object"),
        (labels, "n.pdf", (), "of an unknown kind; allowed: .csv"),
        (labels, "none.csv", (), "there is no file"),
        (labels, "n.txt", ("--redact", tmp_path / "r"), "--redact needs a model that finds entities"),
        (labels, "n.txt", ("--batch_size", 0), "argument --batch_size: 0 is not above zero"),
        (nameless, "n.txt", (), "has no label names"),
        (tiny_model(), "n.txt", (), "is no fine-tuned model (ModernBertForMaskedLM)"),
    ):
        code, _, err = run_predict("--model", model, "--input", tmp_path / name, "--output", tmp_path / "o", *more)
        assert code == 2 and message in err and not (tmp_path / "o").exists(), err
    (tmp_path / "o").write_text("mine")
    code, _, err = run_predict("--model", labels, "--input", tmp_path / "n.txt", "--output", tmp_path / "o")
    assert code == 2 and "exists; choose another name or add --overwrite" in err
