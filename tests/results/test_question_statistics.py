"""Differences between models on questions: questions are what is drawn, whole articles where several share one."""

import random

import pytest
from invented_results import finished, identity, run_results

from bioclinical import problems
from bioclinical.metrics.metric import score_all
from bioclinical.results.collection import read_results
from bioclinical.results.samples import jackknife
from bioclinical.results.store import write_result

QUESTIONS, ARTICLES = 40, 8


def span(rng, share):
    exact = float(rng.random() < share)
    return {"gold": [[0, 3]], "predicted": [0, 3], "exact": exact, "f1": max(exact, 0.5)}


def factoid(rng, share):
    strict = float(rng.random() < share)
    measures = {"strict_accuracy": strict, "lenient_accuracy": 1.0, "mrr": max(strict, 0.5)}
    return {"gold": 1, "predicted": [[0, 0, 3]], "reachable": 1.0} | measures


def listed(rng, share):
    f1 = float(rng.random() < share)
    return {"gold": 2, "predicted": [[0, 0, 3]], "reachable": 1.0, "f1": f1, "precision": f1, "recall": f1}


def choice(rng, share):
    predicted = "A" if rng.random() < share else "B"
    return {
        "gold": "A",
        "longest": "B",
        "predicted": predicted,
        "probabilities": [0.6, 0.4] if predicted == "A" else [0.4, 0.6],
    }


KINDS = {
    "COVID-QA": ("span_qa", span, ARTICLES),
    "BioASQ7b-factoid": ("factoid_qa", factoid, QUESTIONS),
    "BioASQ7b-list": ("list_qa", listed, QUESTIONS),
    "MedQA": ("multiple_choice", choice, QUESTIONS),
}


def predictions(dataset, seed, share):
    _, make, units = KINDS[dataset]
    rng = random.Random(seed)
    return [{"id": f"q{i}", "group": f"unit {i % units}"} | make(rng, share) for i in range(QUESTIONS)]


@pytest.mark.parametrize("dataset", KINDS)
def test_scores_without_each_unit_are_those_of_the_others(dataset):
    problem, _, units = KINDS[dataset]
    made = predictions(dataset, 0, 0.5)
    for metric in problems.get(problem).metrics(()):
        if metric.is_computable(made):
            names, whole, left_out = jackknife(metric, made)
            assert len(names) == units and whole == pytest.approx(score_all([metric], made)[metric.name])
            others = [one for one in made if one["group"] != names[3]]
            assert left_out[3] == pytest.approx(score_all([metric], others)[metric.name])


def test_tables_test_the_differences(tmp_path, monkeypatch, capsys):
    for dataset, (problem, *_) in KINDS.items():
        for model, share in (("base", 0.2), ("good", 0.9)):
            for seed in (42, 43, 44):
                who = identity(seed, dataset=dataset, model=model, model_sha256=f"{sum(map(ord, model)):064x}")
                write_result(who.path(tmp_path), *finished(who, problem, [], predictions(dataset, seed, share)))
    assert len(read_results(tmp_path)[0]) == 2 * 3 * len(KINDS)
    code, out, err = run_results(monkeypatch, capsys, tmp_path, "--reference", "base")
    assert code == 0, err
    for dataset in KINDS:
        assert f"{dataset}, protocol paper" in out
    assert len([line for line in out.splitlines() if line.startswith("good") and " 0.001 " in line]) == len(KINDS)
