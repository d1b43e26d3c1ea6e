"""Training vectors from pairs: the losses against sentence-transformers, what is learnt, and the folder that is saved."""

import csv
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import dataloader
from bioclinical.encoders.source import Source
from bioclinical.encoders.vector_pairs import cosent, in_batch
from bioclinical.inference.documents import Document
from bioclinical.inference.embedder import Embedder
from bioclinical.inference.predictor import Predictor
from bioclinical.tasks.readers.delimited import DelimitedReader
from bioclinical.tasks.task import Task

FILES = ("train.csv", "dev.csv", "test.csv")
READER = DelimitedReader(FILES, text_column="one", text_b_column="two", label_column="y")


@pytest.fixture
def vectors():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 6, 8, generator=generator, dtype=torch.float64)
    return first, second, torch.tensor([3.0, 0.0, 1.0, 3.0, 0.0, 2.0], dtype=torch.float64)


def test_losses_are_those_of_sentence_transformers(vectors):
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    first, second, scores = vectors
    expected = losses.CoSENTLoss(model=None).compute_loss_from_embeddings([first, second], scores)
    assert cosent(first, second, scores) == pytest.approx(float(expected), abs=1e-6)
    ranking = losses.MultipleNegativesRankingLoss(model=None)
    expected = ranking.compute_loss_from_embeddings([first, second], torch.empty(0))
    assert in_batch(first, second, torch.ones(6)) == pytest.approx(float(expected), abs=1e-6)


def test_pairs_without_a_score_are_wrong_answers_only(vectors):
    """Written out over the pairs that belong together; without any, nothing is learnt and nothing breaks."""
    first, second, scores = vectors
    cosines = 20 * torch.nn.functional.cosine_similarity(first[:, None], second[None], dim=-1)
    own = [i for i in range(6) if scores[i] > 0]
    expected = sum(float(cosines[i].logsumexp(0) - cosines[i, i]) for i in own) / len(own)
    assert in_batch(first, second, scores) == pytest.approx(expected)
    first.requires_grad_()
    in_batch(first, second, torch.zeros(6)).backward()
    assert (first.grad == 0).all()
    assert cosent(first, second, torch.ones(6)) == 0


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Pairs about one of a few complaints each: similar where it is the same, whatever the words around it."""
    monkeypatch.setattr(dataloader, "TASKS", [Task("Own", "vector_pairs", READER, "own", "own")])
    (tmp_path / "raw" / "own").mkdir(parents=True)
    rng, complaints = random.Random(0), ("edema", "fever", "cough", "pain")
    for name, count in zip(FILES, (96, 24, 24)):
        with open(tmp_path / "raw" / "own" / name, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["one", "two", "y"])
            for a, b in itertools.islice(itertools.cycle(itertools.product(complaints, repeat=2)), count):
                rows.writerow(
                    [f"{rng.choice(['patient', 'he'])} {a}", f"{b} {rng.choice(['today', 'again'])}", 2.0 * (a == b)]
                )
    return (
        "--dataset",
        "Own",
        "--data_dir",
        tmp_path / "raw",
        "--output_dir",
        tmp_path / "outputs",
        "--batch_size",
        16,
    )


@pytest.mark.parametrize(("family", "loss"), [("bert", "cosent"), ("modernbert", "in_batch")])
def test_vectors_are_learnt_saved_and_read_by_all(run_main, own, tiny_model, tmp_path, family, loss):
    model = tmp_path / "model"
    learning = ("--lr", "3e-3", "--epochs", 6, "--max_length", 32, "--option", f"loss={loss}", "--save_model", model)
    code, out, err = run_main("--model", tiny_model(family), *learning, *own)
    assert code == 0, err
    path = Path(out.splitlines()[-1])
    result = json.loads(path.read_text())
    assert result["metric"] == "pearson" and result["metrics"]["test"]["pearson"] > 0.7
    with open(tmp_path / "raw" / "own" / "test.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    embedder = Embedder(Source(str(model)), 4)
    assert (embedder.pooling, embedder.coder.max_length) == ("mean", 32)
    first, second = (embedder.vectors([Document("1", row[side]) for row in rows]) for side in ("one", "two"))
    cosines = (first * second).sum(1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)
    predicted = [
        json.loads(line)["predicted"] for line in path.with_suffix(".predictions.jsonl").read_text().splitlines()
    ]
    assert np.allclose(cosines, predicted, atol=1e-5)
    answers = Predictor(Source(str(model)), 4).predict(
        [Document("1", r["one"], r["two"]) for r in rows], lambda n: None
    )
    assert np.allclose([answer["score"] for answer in answers], predicted, atol=1e-5)
    library = pytest.importorskip("sentence_transformers")
    encoded = library.SentenceTransformer(str(model), device="cpu").encode([row["one"] for row in rows])
    assert np.allclose(encoded, first, atol=1e-5)
    code, out, err = run_main("--model", tiny_model(family), *learning, *own, "--overwrite", "--limit", 2)
    assert code == 0, err  # a folder with the files of sentence-transformers is one of ours


def test_bad_input_is_a_sentence(run_main, own, tiny_model, monkeypatch, tmp_path):
    code, _, err = run_main("--model", tiny_model("bert"), *own, "--option", "loss=triplet")
    assert code == 2 and "--option loss=triplet: allowed are cosent, in_batch" in err
    single = DelimitedReader(FILES, text_column="one", label_column="y")
    monkeypatch.setattr(dataloader, "TASKS", [Task("Own", "vector_pairs", single, "own", "own")])
    code, _, err = run_main("--model", tiny_model("bert"), *own)
    assert code == 2 and "it has no second text to compare with" in err
