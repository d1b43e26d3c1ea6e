"""bioclinical.embed: vectors against a few lines of their own and against sentence-transformers, windows, resumption."""

import functools
import json

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from bioclinical import embed
from bioclinical.encoders.source import Source
from bioclinical.errors import UserError
from bioclinical.inference import resumable
from bioclinical.inference.documents import Document
from bioclinical.inference.embedder import Embedder
from bioclinical.inference.vector_scores import halves_scores, similarity_scores
from bioclinical.problems.encoding import token_ids

FAMILIES = ("modernbert", "bert", "roberta")


@pytest.fixture(scope="module")
def texts(notes):
    """Of many lengths, all within the tiny models' 512 tokens."""
    return [note[: 30 + 40 * i] for i, note in enumerate(notes[:12])] + ["a", "b c"]


@pytest.fixture(scope="module")
def embedder(tiny_model):
    built = {}

    def get(family="modernbert", **options):
        key = (family, *sorted(options.items()))
        if key not in built:
            built[key] = Embedder(Source(str(tiny_model(family))), 4, **options)
        return built[key]

    return get


@pytest.fixture
def run_embed(run_command):
    return functools.partial(run_command, embed)


def documents(texts):
    return [Document(str(i), text) for i, text in enumerate(texts)]


def close(a, b):
    return np.abs(a - b).max() < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_vectors_are_those_of_a_few_lines_with_the_folders_own_tokenizer(family, embedder, tiny_model, texts):
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_model(family)), AutoModel.from_pretrained(tiny_model(family))
    model.eval()
    with torch.no_grad():
        hidden = [model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy() for text in texts]
    expected = {
        "mean": np.stack([states.mean(axis=0) for states in hidden]),
        "cls": np.stack([states[0] for states in hidden]),
        "max": np.stack([states.max(axis=0) for states in hidden]),
    }
    for pooling, vectors in expected.items():
        found = embedder(family, pooling=pooling).vectors(documents(texts))
        assert found.dtype == np.float32 and close(found, vectors), pooling
    unit = embedder(family, normalize=True).vectors(documents(texts))
    assert close(unit, expected["mean"] / np.linalg.norm(expected["mean"], axis=1, keepdims=True))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_vector_does_not_depend_on_its_batch(family, embedder, texts):
    together = embedder(family).vectors(documents(texts))
    order = np.random.default_rng(0).permutation(len(texts))
    assert close(embedder(family).vectors(documents([texts[i] for i in order])), together[order])
    assert close(np.concatenate([embedder(family).vectors([d]) for d in documents(texts)]), together)


def test_each_token_of_a_long_text_counts_once_in_the_order_of_the_text(embedder, texts):
    for length in (3, 7, 10, 33):
        short = embedder("bert", max_length=length)
        split = short.encode(documents(texts))
        for i, text in enumerate(texts):
            rows = [(f, c) for f, c in zip(split.features, split.notes) if f["example_index"] == i]
            counted = [t for row, counts in rows for t, own in zip(token_ids(row), counts, strict=True) if own]
            assert counted == short.coder.tokenizer(text)["input_ids"], (length, i)
            assert all(len(counts) <= length for _, counts in rows)


def test_the_mean_of_a_long_text_is_that_over_its_tokens_whatever_the_windows(embedder, texts):
    """The windows' hidden states, gathered by a few lines of their own."""
    short = embedder("bert", max_length=16)
    text = max(texts, key=len)
    split = short.encode([Document("a", text)])
    states = []
    for row, counts in zip(split.features, split.notes):
        inputs = {k: torch.tensor([v]) for k, v in row.items() if k != "example_index"}
        with torch.no_grad():
            states.append(short.model(**inputs).last_hidden_state[0][torch.tensor(counts)].numpy())
    assert len(states) > 3
    assert close(short.vectors([Document("a", text)])[0], np.concatenate(states).mean(axis=0))


def test_sentence_transformers_reads_the_same_vectors(tiny_model, texts, tmp_path):
    """Both ways: a folder it saved asks for its pooling, length and length-one vectors here."""
    library = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    folder = tmp_path / "saved"
    encoder = Transformer(str(tiny_model("bert")))
    encoder.max_seq_length = 64
    library.SentenceTransformer(modules=[encoder, Pooling(32, "cls"), Normalize()], device="cpu").save(str(folder))
    found = Embedder(Source(str(folder)), 4)
    assert (found.pooling, found.normalize, found.coder.max_length) == ("cls", True, 64)
    short = [text for text in texts if len(found.coder.tokenizer(text)["input_ids"]) <= 64]
    expected = library.SentenceTransformer(str(folder), device="cpu").encode(short)
    assert len(short) > 3 and close(found.vectors(documents(short)), expected)


def test_files_hold_the_vectors_and_how_they_were_made(run_embed, tiny_model, tmp_path):
    table = tmp_path / "n.csv"
    table.write_text('id,note\nx,"lungs clear"\ny,"  "\nz,"well, no edema"\n')
    common = ("--model", tiny_model(), "--input", table, "--text_column", "note", "--id_column", "id")
    for suffix in ("npy", "parquet", "jsonl"):
        code, out, err = run_embed(*common, "--output", tmp_path / f"v.{suffix}")
        assert code == 0 and "3 documents, 1 of them empty" in out and "lungs" not in out + err, err
    array = np.load(tmp_path / "v.npy")
    assert array.shape == (3, 32) and np.isnan(array[1]).all() and np.isfinite(array[[0, 2]]).all()
    frame = pd.read_parquet(tmp_path / "v.parquet")
    lines = [json.loads(line) for line in (tmp_path / "v.jsonl").read_text().splitlines()]
    assert frame["id"].tolist() == [line["id"] for line in lines] == ["x", "y", "z"]
    assert frame["vector"][1] is None and lines[1]["vector"] is None
    for i in (0, 2):
        assert (np.float32(lines[i]["vector"]) == array[i]).all() and (frame["vector"][i] == array[i]).all()
    facts = json.loads((tmp_path / "v.npy.json").read_text())
    assert facts["ids"] == ["x", "y", "z"] and facts["pooling"] == "mean" and len(facts["model_sha256"]) == 64
    assert not list(tmp_path.glob(".v.*"))


def test_an_interrupted_run_continues(run_embed, tiny_model, tmp_path, monkeypatch):
    (tmp_path / "n.jsonl").write_text("".join(json.dumps({"text": f"mild edema {i}"}) + "\n" for i in range(8)))
    common = ("--model", tiny_model(), "--input", tmp_path / "n.jsonl", "--output")
    run_embed(*common, tmp_path / "whole.npy")
    monkeypatch.setattr(resumable, "DOCUMENTS_PER_CHUNK", 3)
    original, seen = Embedder.vectors, []

    def stop_at_the_third(self, documents, on_progress):
        seen.append([document.id for document in documents])
        if len(seen) == 3:
            raise KeyboardInterrupt
        return original(self, documents, on_progress)

    monkeypatch.setattr(Embedder, "vectors", stop_at_the_third)
    assert run_embed(*common, tmp_path / "cut.npy")[0] == 130 and not (tmp_path / "cut.npy").exists()
    (partial,) = tmp_path.glob(".cut.npy.*.partial")
    with open(partial, "ab") as file:
        file.write(b"half a row")
    code, out, _ = run_embed(*common, tmp_path / "cut.npy")
    assert code == 0 and "continuing after 6 documents" in out and seen[3][0] == "7"
    assert close(np.load(tmp_path / "cut.npy"), np.load(tmp_path / "whole.npy"))


def test_scores_of_vectors_that_know_and_that_do_not():
    """Vectors of counted letters: equal texts are similar, and halves of one note share its letters."""

    def letters(documents):
        return np.array([[1 + document.text.count(chr(97 + k)) for k in range(26)] for document in documents], float)

    halves = [Document(str(k), " ".join([chr(97 + k) * 5] * 30)) for k in range(10)]
    assert halves_scores(halves, letters) == {"notes": 10, "first": 1.0, "reciprocal_rank": 1.0, "first_by_chance": 0.1}
    blind = halves_scores(halves, lambda documents: np.ones((len(documents), 4)))
    assert blind["first"] == 0 and blind["reciprocal_rank"] == 0.1  # all equal: the own half comes last
    pairs = [{"text": "aaaa", "text_b": "aaaa"[:k] + "bbbb"[k:], "labels": k} for k in range(5)]
    assert similarity_scores(pairs, letters)["spearman"] == 1


def test_evaluation_of_biosses_and_of_halves(run_embed, tiny_model, real_data, notes, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "BIOSSES").symlink_to(real_data / "biosses")
    (tmp_path / "n.jsonl").write_text("".join(json.dumps({"text": note[:200]}) + "\n" for note in notes[:30]))
    arguments = ("--model", tiny_model("bert"), "--evaluate", "--data_dir", tmp_path / "raw", "--max_length", 64)
    code, out, err = run_embed(*arguments, "--input", tmp_path / "n.jsonl", "--output", tmp_path / "s.json")
    assert code == 0 and "BIOSSES, test: pairs 20" in out, err
    scores = json.loads((tmp_path / "s.json").read_text())["scores"]
    assert scores["BIOSSES, all pairs"]["pairs"] == 100 and 0 <= scores["halves of notes"]["first"] <= 1
    assert "MedSTS, test" not in scores


def test_bad_input_is_a_sentence(run_embed, tiny_model, tmp_path):
    (tmp_path / "n.csv").write_text("text\nwell\n")
    common = ("--model", tiny_model(), "--input", tmp_path / "n.csv", "--output")
    cases = [
        ((*common, tmp_path / "v.txt"), "vectors are written as .npy, .parquet, .jsonl"),
        ((*common, tmp_path / "v.npy", "--max_length", 9999), "does not fit this model"),
        (
            ("--model", tmp_path, "--input", tmp_path / "n.csv", "--output", tmp_path / "v.npy"),
            "no model could be loaded",
        ),
        ((*common, tmp_path / "s.json", "--evaluate", "--data_dir", tmp_path), "fewer than two texts of 20 words"),
        (("--model", "m", "--evaluate", "--data_dir", tmp_path, "--output", tmp_path / "s.json"), "holds neither"),
        (("--model", "m", "--output", tmp_path / "v.npy"), "--input"),
    ]
    for arguments, sentence in cases:
        code, _, err = run_embed(*arguments)
        assert code == 2 and sentence in err and "Traceback" not in err, err
    assert run_embed(*common, tmp_path / "v.npy")[0] == 0
    code, _, err = run_embed(*common, tmp_path / "v.npy")
    assert code == 2 and "exists; choose another name or add --overwrite" in err


def test_a_folder_with_steps_of_its_own_is_refused(tiny_model, tmp_path):
    for kind, sentence in (("Dense", "a step 'Dense'"), ("Pooling", "asks for a pooling 'weightedmean'")):
        folder = tmp_path / kind
        (folder / "1").mkdir(parents=True)
        for path in tiny_model("bert").iterdir():
            (folder / path.name).symlink_to(path)
        (folder / "1" / "config.json").write_text('{"pooling_mode_weightedmean": true, "pooling_mode": "weightedmean"}')
        modules = [{"type": "a.Transformer", "path": ""}, {"type": f"a.{kind}", "path": "1"}]
        (folder / "modules.json").write_text(json.dumps(modules))
        with pytest.raises(UserError, match=sentence):
            Embedder(Source(str(folder)), 4)
