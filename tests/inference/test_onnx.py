"""bioclinical.export_onnx and predict --runtime onnx: the same logits, labels and offsets as torch; what is kept out."""

import json
import sys

import numpy as np
import pytest
import torch
import transformers

from bioclinical import export_onnx, predict, problems
from bioclinical.encoders.source import Source
from bioclinical.errors import run_cli
from bioclinical.finetuning.saved_model import TrainedFacts, save_model
from bioclinical.inference import onnx_export
from bioclinical.inference.documents import Document
from bioclinical.inference.predictor import Predictor
from bioclinical.text.tokenization import load_tokenizer

onnx = pytest.importorskip("onnx")
pytest.importorskip("optimum.exporters.onnx")

TAGS = ("O", "B-name", "I-name")
KINDS = {
    "token_classification": TAGS,
    "single_label_classification": ("absent", "present", "possible"),
    "span_qa": (),
}


@pytest.fixture(scope="module")
def saved(tiny_model, tmp_path_factory):
    """(family, problem) -> folder of a model with a random head, as main.py --save_model writes it."""
    built = {}

    def get(family, kind):
        if (family, kind) not in built:
            torch.manual_seed(0)
            problem, folder = problems.get(kind), tmp_path_factory.mktemp(family) / kind
            config = transformers.AutoConfig.from_pretrained(tiny_model(family), num_hidden_layers=1)
            problem.configure(config, KINDS[kind])
            model = getattr(transformers, problem.auto_class).from_config(config)
            for parameter in model.parameters():  # far from zero: tags and labels are then told apart clearly
                parameter.data *= 3
            options = {"doc_stride": 8} if kind == "span_qa" else {}
            facts = TrainedFacts(dataset="invented", protocol="paper", problem=kind, max_length=48, options=options)
            save_model(model, load_tokenizer(tiny_model(family)), facts, folder)
            built[family, kind] = folder
        return built[family, kind]

    return get


@pytest.fixture(scope="module")
def validation(notes, tmp_path_factory):
    """problem -> a file as dataloader.py --dump writes it."""

    def get(kind):
        path = tmp_path_factory.mktemp("dump") / f"{kind}.jsonl"
        with open(path, "w") as file:
            for i, note in enumerate(notes[:12]):
                words = note.split()[: 5 + 3 * i]
                example = {
                    "token_classification": {"tokens": words, "tags": [TAGS[k % 2] for k in range(len(words))]},
                    "single_label_classification": {
                        "text": " ".join(words),
                        "labels": KINDS[kind][i % 3] if KINDS[kind] else "",
                    },
                    "span_qa": {
                        "question": "why?",
                        "context": " ".join(words),
                        "answers": [{"text": words[1], "start": len(words[0]) + 1}],
                    },
                }[kind]
                file.write(json.dumps({"split": "validation" if i else "train", "id": str(i), **example}) + "\n")
        return path

    return get


@pytest.fixture
def run(monkeypatch, capsys):
    def call(module, *arguments):
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        try:
            run_cli(module.main)
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["modernbert", "bert"])
def test_the_same_logits_labels_and_offsets(family, kind, run, saved, validation, notes, tmp_path):
    model, out = saved(family, kind), tmp_path / "onnx"
    code, printed, err = run(export_onnx, "--model", model, "--out", out, "--validation", validation(kind))
    assert code == 0 and "of 11 validation examples" in printed, err
    facts = json.loads((out / "onnx.json").read_text())
    assert facts["largest_logit_difference_fp32"] < 1e-4 and facts["precision"] == "fp32"
    assert facts["scores"]["onnx"] == pytest.approx(facts["scores"]["torch"], abs=1e-4)
    (tmp_path / "n.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in [*notes[20:24], ""]))
    question = ("--question", "why?") if kind == "span_qa" else ()
    for name, folder, runtime in (("a", model, "torch"), ("b", out, "onnx")):
        arguments = ("--model", folder, "--input", tmp_path / "n.jsonl", "--output", tmp_path / name, *question)
        code, printed, err = run(predict, *arguments, "--runtime", runtime)
        assert code == 0 and ("onnxruntime" in printed) == (runtime == "onnx"), err
    ours, others = ([json.loads(line) for line in (tmp_path / n).read_text().splitlines()] for n in "ab")
    assert [plain(one) for one in ours] == [plain(one) for one in others] and len(ours) == 5
    if kind == "token_classification":
        assert any(one["entities"] for one in ours)


def plain(answer):
    """An answer without its probabilities, which differ in their last digits."""
    if isinstance(answer, dict):
        return {k: plain(v) for k, v in answer.items() if not k.startswith("probab") and k != "null_odds"}
    return [plain(v) for v in answer] if isinstance(answer, list) else answer


def test_int8_is_smaller_close_and_scored_before_and_after(run, saved, validation, tmp_path):
    kind = "token_classification"
    model, out, path = saved("modernbert", kind), tmp_path / "onnx", validation(kind)
    arguments = ("--model", model, "--validation", path, "--tolerance", 1)
    assert run(export_onnx, *arguments, "--out", tmp_path / "fp32")[0] == 0
    code, printed, err = run(export_onnx, *arguments, "--out", out, "--int8")
    assert code == 0 and "int8" in printed, err
    facts, whole = (json.loads((tmp_path / name / "onnx.json").read_text()) for name in ("onnx", "fp32"))
    assert set(facts["scores"]["torch"]) == set(facts["scores"]["onnx"]) and facts["precision"] == "int8"
    assert facts["bytes"] < 0.6 * whole["bytes"] and {p.suffix for p in out.iterdir()} <= {".json", ".onnx"}
    original, small = Predictor(Source(str(model)), 4), Predictor(Source(str(out)), 4, runtime="onnx")
    examples = onnx_export.read_validation(path, original)
    before, after = (onnx_export.logits_over(one, examples) for one in (original, small))
    whole, rounded = (torch.cat([logits for (logits,) in one]).flatten() for one in (before, after))
    assert onnx_export.largest_difference(before, after) > 0 and np.corrcoef(whole, rounded)[0, 1] > 0.98


def test_what_loses_too_much_is_kept_out(run, saved, validation, tmp_path, monkeypatch):
    """Gold is what the original says; a step that turns the head's weights around stands for a bad quantization."""
    kind = "single_label_classification"
    model, path = saved("bert", kind), tmp_path / "gold.jsonl"
    original = Predictor(Source(str(model)), 4)
    rows = [json.loads(line) for line in validation(kind).read_text().splitlines()]
    documents = [Document(row["id"], row["text"]) for row in rows]
    said = original.predict(documents, lambda characters: None)
    path.write_text("".join(json.dumps(row | {"labels": one["label"]}) + "\n" for row, one in zip(rows, said)))

    def turn_around(folder):
        graph = onnx.load(folder / "model.onnx")
        for tensor in graph.graph.initializer:
            if "classifier" in tensor.name:
                turned = -onnx.numpy_helper.to_array(tensor)
                tensor.CopyFrom(onnx.numpy_helper.from_array(turned, tensor.name))
        onnx.save(graph, folder / "model.onnx")

    monkeypatch.setattr(onnx_export, "quantize", turn_around)
    arguments = ("--model", model, "--validation", path, "--int8", "--out")
    code, printed, err = run(export_onnx, *arguments, tmp_path / "out")
    assert code == 1 and "more than --tolerance 0.01; nothing was written" in err, (printed, err)
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))
    assert run(export_onnx, *arguments, tmp_path / "out", "--tolerance", 1)[0] == 0


def test_bad_input_is_a_sentence(run, saved, validation, tiny_model, tmp_path, monkeypatch):
    model, path = saved("bert", "token_classification"), validation("token_classification")
    (tmp_path / "empty").mkdir()
    (tmp_path / "odd.jsonl").write_text('{"split": "validation", "id": "7", "tokens": ["secret"], "tags": ["B-x"]}\n')
    (tmp_path / "train.jsonl").write_text('{"split": "train", "id": "7"}\n')
    out = ("--out", tmp_path / "out")
    cases = [
        (("--model", model, "--out", tmp_path / "empty", "--validation", path), "exists; choose another folder"),
        (("--model", model, *out, "--validation", tmp_path / "no.jsonl"), "write it with dataloader.py"),
        (("--model", tiny_model("bert"), *out, "--validation", path), "is no fine-tuned model"),
        (("--model", model, *out, "--validation", tmp_path / "odd.jsonl"), "example 7: unknown tag"),
        (("--model", model, *out, "--validation", tmp_path / "train.jsonl"), "holds no validation examples"),
        (("--model", model, *out, "--validation", validation("single_label_classification")), "it is no example of a"),
    ]
    for arguments, sentence in cases:
        code, printed, err = run(export_onnx, *arguments)
        assert code == 2 and sentence in err and "secret" not in err + printed, err
    assert not (tmp_path / "out").exists()
    (tmp_path / "n.jsonl").write_text('{"text": "well"}\n')
    onnx_arguments = ("--input", tmp_path / "n.jsonl", "--output", tmp_path / "o", "--runtime", "onnx")
    code, _, err = run(predict, "--model", model, *onnx_arguments)
    assert code == 2 and "holds no model.onnx; make one with python -m bioclinical.export_onnx" in err
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, _, err = run(predict, "--model", model, *onnx_arguments)
    assert code == 2 and "needs onnxruntime; install it: pip install '.[onnx]'" in err
