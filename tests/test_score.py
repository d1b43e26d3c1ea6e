"""`python -m bioclinical.score`: the table, the last line, and one sentence for bad files, without torch."""

import json
import subprocess
import sys

import pytest
from repository import ROOT

from bioclinical import score
from bioclinical.errors import run_cli


@pytest.fixture
def run_score(monkeypatch, capsys, tmp_path):
    """Runs the command on files given as values (JSON, or text); returns (exit code, last line or None, stderr)."""

    def run(task, gold, predictions, *options):
        paths = []
        for name, value in (("gold", gold), ("predictions", predictions)):
            paths.append(tmp_path / f"{name}.jsonl")
            text = value if isinstance(value, str) else json.dumps(value)
            paths[-1].write_text(text, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["score", task, *map(str, paths), *map(str, options)])
        try:
            run_cli(score.main)
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, json.loads(captured.out.splitlines()[-1]) if code == 0 else None, captured.err

    return run


def squad(*questions):
    """SQuAD's form with one paragraph; a question is (id, answer texts)."""
    qas = [
        {"id": i, "question": "What?", "answers": [{"text": a, "answer_start": 0} for a in answers]}
        for i, answers in questions
    ]
    return {"data": [{"title": "t", "paragraphs": [{"context": "heart failure", "qas": qas}]}]}


def lines(*rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_squad(run_score, tmp_path):
    gold = squad(("q1", ["heart"]), ("q2", []))
    values = tmp_path / "values.json"
    values.write_text('{"q1": 0.1, "q2": 0.9}')
    code, found, _ = run_score("squad2", gold, {"q1": "The heart", "q2": "failure"}, "--na_prob", values)
    assert (code, found["exact"], found["best_exact"], found["best_exact_thresh"]) == (0, 50.0, 100.0, 0.1)
    assert list(found)[:4] == ["exact", "f1", "total", "HasAns_exact"]
    _, found, _ = run_score("squad2", gold, {"q1": "heart", "q2": "failure"}, "--na_prob", values, "--threshold", 0.5)
    assert found["exact"] == 100.0
    _, found, _ = run_score("squad1", squad(("q1", ["heart"])), {"q1": "heart failure"})
    assert found == {"exact_match": 0.0, "f1": pytest.approx(200 / 3)}


def test_rouge_choice_and_ner(run_score):
    gold = lines({"id": "a", "reference": ["migraine headaches", "a fever"]})
    predictions = lines({"id": "a", "prediction": "migraines headache"})
    assert run_score("rouge", gold, predictions)[1]["rouge1"] == 0.0
    assert run_score("rouge", gold, predictions, "--stem")[1]["rouge1"] == 1.0

    gold = lines({"id": 1, "options": ["flu", "influenza A", "a common cold virus"], "answer": "C"})
    _, found, _ = run_score("choice", gold, lines({"id": 1, "prediction": [-4, -6, -9]}))
    assert found == {"acc": 0.0, "acc_norm": 1.0, "acc_bytes": 1.0, "questions": 1}
    assert run_score("choice", gold, lines({"id": 1, "prediction": "c"}))[1] == {"acc": 1.0, "questions": 1}

    gold = "heart\tB-X\nfailure\tI-X\n\nfever\tB-Y\n"
    _, found, _ = run_score("ner", gold, gold.replace("B-Y", "O"))
    assert (found["overall_precision"], found["overall_recall"], found["X"]["f1"]) == (1.0, 0.5, 1.0)


def test_hoc_by_both_rules(run_score, real_data):
    gold = (real_data / "hoc" / "test.tsv").read_text()
    all_one = "\n".join(
        "\t".join([line.split("\t")[0].replace("_0", "_1"), *line.split("\t")[1:]]) for line in gold.split("\n")
    )
    code, found, _ = run_score("hoc", gold, all_one)
    assert (code, found["sentences"], found["abstracts"]) == (0, 3547, 371)
    assert found["abstract_micro_f1"] == pytest.approx(0.23080591, abs=5e-9)
    _, found, _ = run_score("hoc", gold, all_one, "--rule", "blue")
    assert found["abstract_example_f1"] == pytest.approx(0.26419214, abs=5e-9)


@pytest.mark.parametrize(
    "task, gold, predictions, sentence",
    [
        ("squad2", squad(("q1", ["x"]), ("q1", [])), {}, "question id q1 occurs twice"),
        ("squad2", {"data": [{"paragraphs": [{"qas": []}]}]}, {}, "holds no question"),
        ("squad2", {"data": [{"paragraphs": [{"context": "c", "qas": [{"id": 1}]}]}]}, {}, "the key 'question'"),
        ("squad2", "not json", {}, "is no JSON file"),
        ("squad2", squad(("q1", ["x"])), {"q1": 3}, "the value of question q1 is not a text"),
        ("squad1", squad(("q1", ["x"])), [1], "must be one JSON object"),
        ("bioasq", {"questions": [{"id": "1", "type": "fact"}]}, {}, "type must be one of"),
        ("rouge", lines({"id": 1, "reference": "x"}), lines({"id": 2, "prediction": "x"}), "lacks 1 of 1 ids"),
        (
            "choice",
            lines({"id": 1, "options": ["a", "b"], "answer": "C"}),
            lines({"id": 1, "prediction": "A"}),
            "none of A, B",
        ),
        (
            "choice",
            lines({"id": 1, "options": ["a", "b"], "answer": "A"}),
            lines({"id": 1, "prediction": [1]}),
            "1 predicted values",
        ),
        ("ner", "a\tO\n\nb\tO\n", "a\tO\n\nc\tO\n", "from sentence 2 on"),
    ],
)
def test_bad_files_are_one_sentence(run_score, task, gold, predictions, sentence):
    code, _, stderr = run_score(task, gold, predictions)
    assert code == 2
    assert stderr.count("\n") == 1 and sentence in stderr


def test_usage_errors_import_no_model_library():
    code = (
        "import sys; sys.argv = ['score', 'squad2', 'gold.json', 'missing.json']\n"
        "from bioclinical import score\nfrom bioclinical.errors import run_cli\n"
        "try: run_cli(score.main)\n"
        "except SystemExit as stop: assert stop.code == 2\n"
        "assert not {'torch', 'transformers', 'composer'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True)
