"""bioclinical.predict: the saved model on raw text, offsets that index the input, redaction, resumption, bad input."""

import json
import sys
from pathlib import Path

import pytest
from seqeval.metrics.sequence_labeling import get_entities

from bioclinical import predict
from bioclinical.errors import run_cli
from bioclinical.text.words import token_offsets

QUICK = ("--limit", 12, "--batch_size", 8, "--epochs", 1)


@pytest.fixture(scope="module")
def saved(sample, tiny_model, tmp_path_factory):
    """(dataset, protocol) -> folder of a barely trained model and its result."""
    import main

    done = {}

    def get(dataset, protocol="strict", *arguments):
        if (dataset, protocol) not in done:
            out = tmp_path_factory.mktemp("saved")
            arguments = ["--dataset", dataset, "--model", tiny_model(), "--protocol", protocol, *arguments, *QUICK]
            files = ["--data_dir", sample / "raw", "--output_dir", out / "outputs", "--save_model", out / "model"]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(sys, "argv", ["main.py", *map(str, [*arguments, *files])])
                main.main()
            (result,) = (out / "outputs").rglob("seed=42_????????.json")
            done[dataset, protocol] = out / "model", result
        return done[dataset, protocol]

    return get


@pytest.fixture
def run_predict(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["predict", *map(str, arguments)])
        try:
            run_cli(predict.main)
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


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
        for entity in prediction["entities"]:
            rebuilt += original[place : entity["start"]] + f"[{entity['type']}]"
            place = entity["end"]
            assert original[entity["start"] : place].strip() == original[entity["start"] : place] != ""
        assert content == rebuilt + original[place:]
    assert "Ann" not in (tmp_path / "n.csv.jsonl").read_text()


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
    monkeypatch.setattr(predict, "DOCUMENTS_PER_CHUNK", 3)
    original, seen = predict.Predictor.predict, []

    def stop_at_the_third(self, documents, bar):
        seen.append([i for i, _ in documents])
        if len(seen) == 3:
            raise KeyboardInterrupt
        return original(self, documents, bar)

    monkeypatch.setattr(predict.Predictor, "predict", stop_at_the_third)
    assert run_predict(*arguments, tmp_path / "cut.jsonl")[0] == 130 and not (tmp_path / "cut.jsonl").exists()
    (partial,) = tmp_path.glob(".cut.jsonl.*.partial")
    with open(partial, "a") as file:
        file.write('{"id": "7", "ent')
    code, out, _ = run_predict(*arguments, tmp_path / "cut.jsonl")
    assert code == 0 and "continuing after 6 documents" in out and seen[3][0] == "7"
    assert (tmp_path / "cut.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text() and not partial.exists()


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
        (labels, "n.txt", ("--batch_size", 0), "--batch_size 0: at least 1"),
        (nameless, "n.txt", (), "has no label names"),
        (tiny_model(), "n.txt", (), "is no fine-tuned model (ModernBertForMaskedLM)"),
    ):
        code, _, err = run_predict("--model", model, "--input", tmp_path / name, "--output", tmp_path / "o", *more)
        assert code == 2 and message in err and not (tmp_path / "o").exists(), err
    (tmp_path / "o").write_text("mine")
    code, _, err = run_predict("--model", labels, "--input", tmp_path / "n.txt", "--output", tmp_path / "o")
    assert code == 2 and "exists; choose another name or add --overwrite" in err
