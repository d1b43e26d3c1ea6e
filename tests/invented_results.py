"""Invented results with predictions, and the command line called in this process."""

import dataclasses
import random
import sys

from bioclinical import problems
from bioclinical.errors import run_cli
from bioclinical.finetuning.settings import Settings
from bioclinical.metrics.metric import score_all
from bioclinical.results import __main__ as command
from bioclinical.results.identity import Identity
from bioclinical.results.store import write_result

LABELS = ["a", "b", "false"]
TAGS = ["B-x", "B-y", "I-x", "I-y", "O"]
DRAWN_TAGS = ("O", "O", "B-x", "I-x", "B-y", "I-y")


def identity(seed=42, **changes):
    values = {
        "dataset": "ChemProt",
        "model": "org/model",
        "model_sha256": "a" * 64,
        "raw_sha256": "b" * 64,
        "protocol": "paper",
        "settings": Settings(seed=seed).identity() | {"max_length": 512},
        "seed": seed,
    }
    return Identity(**(values | changes))


def result(who, score, status="finished"):
    """A result without predictions. score: of weighted_f1."""
    metrics = {"test": {"weighted_f1": score, "words": 7, "per_class": {}}, "baseline": {"weighted_f1": 0.1}}
    return {
        "dataset": who.dataset,
        "model": who.model,
        "model_name": who.model_name,
        "protocol": who.protocol,
        "seed": who.seed,
        "status": status,
        "problem": "single_label_classification",
        "labels": LABELS,
        "metric": "weighted_f1",
        "selection_metric": "weighted_f1",
        "config": dataclasses.asdict(Settings()) | who.settings,
        "metrics": metrics if status == "finished" else {},
        "identity": {"model_sha256": who.model_sha256, "raw_sha256": who.raw_sha256, "group": who.group},
    }


def finished(who, problem, labels, predictions, negative=None, official=None):
    """A result with the scores of these predictions."""
    kind = problems.get(problem)
    metrics = kind.metrics(labels, negative, official)
    test = score_all(metrics, predictions) | kind.details(predictions, tuple(labels))
    stored = {"problem": problem, "labels": labels, "negative_label": negative, "metric": metrics[0].name}
    baseline = {metric.name: 0.0 for metric in metrics}
    return result(who, 0.5) | stored | {"metrics": {"test": test, "baseline": baseline}}, predictions


def single_label_run(who, share_right, documents=60, negative="false"):
    """Two sentences a document, a share of them right."""
    rng = random.Random(sum(map(ord, who.model)) + who.seed)
    predictions = []
    for i in range(2 * documents):
        gold = LABELS[i % 3]
        predicted = gold if rng.random() < share_right else rng.choice(LABELS)
        shares = [0.8 if label == predicted else 0.1 for label in LABELS]
        about = {"id": str(i), "group": str(i // 2), "gold": gold, "predicted": predicted, "probabilities": shares}
        predictions.append(about)
    return finished(who, "single_label_classification", LABELS, predictions, negative)


def token_run(who, documents=20, salt=0):
    """Nine words a document, six of them seen; half the documents with tags from windows."""
    rng, gold_rng = random.Random(who.seed + salt), random.Random(0)
    predictions = []
    for i in range(documents):
        gold, predicted, windowed = ([r.choice(DRAWN_TAGS) for _ in range(9)] for r in (gold_rng, rng, rng))
        predictions.append({"id": str(i), "gold": gold, "predicted": predicted[:6] + ["O"] * 3, "seen": list(range(6))})
        if i % 2:
            predictions[-1]["windowed"] = windowed
    return finished(who, "token_classification", TAGS, predictions)


def store(folder, model, share, seeds=(42, 43), **changes):
    """Runs of one model over seeds."""
    for seed in seeds:
        who = identity(seed, **({"model": model, "model_sha256": f"{sum(map(ord, model)):064x}"} | changes))
        write_result(who.path(folder), *single_label_run(who, share))


def store_tokens(folder, model, length, seeds=(42, 43)):
    """Runs of one model with one context length, under the strict protocol."""
    for seed in seeds:
        settings = identity().settings | {"max_length": length, "seed": seed}
        changes = {"model": model, "model_sha256": f"{sum(map(ord, model)):064x}", "protocol": "strict"}
        who = identity(seed, dataset="DEID", settings=settings, **changes)
        run, predictions = token_run(who, salt=length + sum(map(ord, model)))
        cost = {"times_s": {"training_steps": 3.0 * length}, "peak_memory_bytes": 2**30}
        write_result(who.path(folder), run | cost, predictions)


def run_results(monkeypatch, capsys, *arguments):
    """(exit code, stdout, stderr) of python -m bioclinical.results."""
    monkeypatch.setattr(sys, "argv", ["results", *map(str, arguments)])
    try:
        run_cli(command.main)
        code = 0
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err
