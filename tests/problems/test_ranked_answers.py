"""BioASQ: answers of snippets merged to those of a question, tasks from its own JSON, and the submission file."""

import json
import random
import sys

import pytest

from bioclinical import bioasq
from bioclinical.errors import UserError, run_cli
from bioclinical.metrics.bioasq import bioasq_scores
from bioclinical.problems.merged_answers import (
    Candidate,
    asked_number,
    cleaned,
    factoid_answers,
    list_answers,
    without_conjunctions,
)
from bioclinical.samples.questions import DRUGS, write_squad
from bioclinical.tasks.corpora.bioasq import BioasqReader, places
from bioclinical.tasks.readers.bioasq import read_gold, read_system
from bioclinical.tasks.readers.squad import SquadReader
from bioclinical.tasks.task import Task

BATCHES = [f"7B{batch}" for batch in range(1, 6)]
SCORES = {
    "factoid": {"strict_accuracy": "Factoid Strict Acc", "lenient_accuracy": "Factoid Lenient Acc", "mrr": "Factoid MRR"},
    "list": {"precision": "List Prec", "recall": "List Rec", "f1": "List F1"},
    "yesno": {"accuracy": "YesNo Acc", "macro_f1": "YesNo macroF1"},
}  # fmt: skip


def candidate(text, probability, snippet=0):
    return Candidate(text, probability, (snippet, 0, len(text)))


# Merging


@pytest.mark.parametrize(
    "text, expected",
    [
        ("IL-6,", "IL-6"), ("IL-6.", "IL-6"), ("IL-6 ", "IL-6"), ("IL-6.,", "IL-6."), ("(IL-6)", "IL-6"),
        ("(IL-6),", "(IL-6)"), ("[IL-6]", "IL-6"), ("IL-6 (human", None), ("", None), (".", None), ("a" * 101, None),
        ("a" * 100, "a" * 100), (")", None), ("IL-6 (human)", "IL-6 (human)"),
    ],
)  # fmt: skip
def test_answers_are_cleaned(text, expected):
    assert cleaned(text) == expected


def test_equal_answers_add_their_probabilities_and_five_are_kept():
    found = [candidate("aspirin", 0.4), candidate("warfarin", 0.5), candidate("Aspirin.", 0.3, 1), candidate("(x", 0.9)]
    best = factoid_answers([*found, *(candidate(f"other {i}", 0.01) for i in range(9))])
    assert [(one.text, one.count) for one in best[:2]] == [("aspirin", 2), ("warfarin", 1)] and len(best) == 5
    assert best[0].probability == pytest.approx(0.7) and best[0].place == (0, 0, 7)


def test_a_list_has_as_many_answers_as_asked_for_or_those_that_are_likely():
    found = [candidate(text, share) for text, share in (("a", 0.6), ("b", 0.5), ("c", 0.3), ("a", 0.1))]
    names = lambda question: [one.text for one in list_answers(found, question, 0.42)]  # noqa: E731
    assert names("Which drugs are there?") == ["b"]  # the mean of a's probabilities is 0.35
    assert names("Which three drugs are there?") == ["a", "b", "c"]
    assert [one.text for one in list_answers(found[2:3], "Which?", 0.42)] == ["c"]  # at least one
    assert list_answers([], "Which?", 0.42) == []


@pytest.mark.parametrize(
    "question, number",
    [
        ("Name 3 drugs", 3), ("Which two drugs", 2), ("Are phase 3 trials", None), ("Is a phase 2 trial of 4 drugs", None),
        ("Which of all of the two drugs", None), ("Which drugs", None), ("List 0 drugs", 1),
    ],
)  # fmt: skip
def test_numbers_in_questions(question, number):
    assert asked_number(question) == number


def test_conjunctions_of_answers_that_are_there_are_dropped():
    found = factoid_answers([candidate(text, 0.1) for text in ("salt and water", "Salt", "water", "bread and butter")])
    assert {one.text for one in without_conjunctions(found)} == {"Salt", "water", "bread and butter"}


# The reader


def write_questions(path, questions):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"questions": questions}))


def question(name, kind="factoid", answer=(("aspirin", "ASA"),), texts=("He took ASA daily.", "He slept."), **more):
    snippets = [{"text": text} for text in texts]
    return {"id": name, "type": kind, "body": "Which drug?", "snippets": snippets, "exact_answer": answer} | more


READER = BioasqReader("factoid", "training.json", ("7B1_golden.json", "7B2_golden.json"))


def test_synonyms_are_found_as_whole_words_whatever_their_case():
    assert places("Asaprol or asa, ASA", [["aspirin", "ASA"], ["none"]]) == [{"text": "asa", "start": 11}]


def test_snippets_become_examples(tmp_path):
    training = [question(f"t{i}", answer=["aspirin", "ASA"]) for i in range(9)]  # flat, as training files have it
    write_questions(
        tmp_path / "training.json", [*training, question("lost", texts=["He slept."]), question("s", "summary")]
    )
    write_questions(tmp_path / "7B1_golden.json", [question("g1", answer=[["ASA"]])])
    write_questions(tmp_path / "7B2_golden.json", [question("g2", texts=[])])
    data = READER.read(tmp_path)
    assert all(e["answers"] == [{"text": "ASA", "start": 8}] for e in data.splits["train"])
    assert [(e["id"], e["part"], len(e["answers"])) for e in data.splits["test"]] == [
        ("g1_001", "7B1", 1), ("g1_002", "7B1", 0), ("g2_001", "7B2", 0)
    ]  # fmt: skip
    assert "1 question(s) without snippets: they are asked of their own words" in data.warnings
    groups = {split: {e["group"] for e in data.splits[split]} for split in ("train", "validation")}
    assert not groups["train"] & groups["validation"] and len(groups["validation"]) == 1


def test_a_list_question_is_trained_on_once_for_each_answer(tmp_path):
    lists = [question(f"t{i}", "list", [["ASA"], ["daily"]]) for i in range(9)]
    write_questions(tmp_path / "training.json", lists)
    for batch in (1, 2):
        write_questions(tmp_path / f"7B{batch}_golden.json", [question(f"g{batch}", "list", [["ASA"]])])
    train = BioasqReader("list", "training.json", READER.golden).read(tmp_path).splits["train"]
    assert len(train) == 16 and train[1]["id"] == train[0]["id"] + "_2"
    assert [e["answers"][0]["text"] for e in train[:2]] == ["ASA", "daily"]


@pytest.mark.parametrize(
    "training, message",
    [
        (question("x", answer=None), "question x: the exact_answer of a factoid question must be"),
        (question("x", answer=[[3]]), "question x: the exact_answer of a factoid question must be"),
        (question("x", body=""), "question x: the body is empty"),
        (question("x", snippets=["secret"]), 'question x: snippets must be a list of {"text": ...}'),
        (
            question("g1"),
            "7B1_golden.json' question g1: this question is also in training; the files are of two releases",
        ),
    ],
)
def test_bad_questions_are_one_sentence(tmp_path, training, message):
    write_questions(tmp_path / "training.json", [training])
    for batch in (1, 2):
        write_questions(tmp_path / f"7B{batch}_golden.json", [question(f"g{batch}")])
    with pytest.raises(UserError) as caught:
        READER.read(tmp_path)
    assert message in str(caught.value) and "secret" not in str(caught.value)


def test_yes_no_answers(tmp_path):
    answers = ("Yes.", ["no"], "YES", "no", "no")
    write_questions(tmp_path / "t.json", [question(f"t{i}", "yesno", answer) for i, answer in enumerate(answers)])
    reader = BioasqReader("yesno", "t.json", ())
    examples = reader.read(tmp_path).splits
    found = sorted((e["id"], e["labels"]) for split in ("train", "validation") for e in examples[split])
    assert [label for _, label in found] == ["yes", "no", "yes", "no", "no"]
    assert examples["train"][0]["text_b"] == "He took ASA daily. He slept."
    write_questions(tmp_path / "t.json", [question("t", "yesno", "perhaps")])
    with pytest.raises(UserError, match="question t: the exact_answer of a yesno question must be yes or no"):
        reader.read(tmp_path)


# Training, transfer, submission


def run_bioasq(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["bioasq", *map(str, arguments)])
    try:
        run_cli(bioasq.main)
        code = 0
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(scope="module")
def saved(sample, tiny_model, tmp_path_factory):
    """Kind of question -> (result, saved model, predictions); the factoid model starts from one of span answers, kept in `span`."""
    import dataloader
    import main

    folder = tmp_path_factory.mktemp("bioasq")
    (folder / "raw").symlink_to(sample / "raw")
    for name, articles in (("train", 12), ("dev", 3), ("test", 3)):
        write_squad(folder / "squad" / "own" / f"{name}.json", random.Random(0), articles, with_impossible=False)
    own = Task("own", "span_qa", SquadReader(("train.json", "dev.json", "test.json")), folder="own", source="")
    found = {}
    patch = pytest.MonkeyPatch()
    patch.setattr(dataloader, "TASKS", [*dataloader.TASKS, own])
    for kind, dataset in (("span", "own"), *((kind, f"BioASQ7b-{kind}") for kind in SCORES)):
        model = folder / "span" if kind == "factoid" else tiny_model("bert")
        data = folder / ("squad" if kind == "span" else "raw")
        command = ["--dataset", dataset, "--model", model, "--data_dir", data, "--output_dir", folder / "outputs"]
        command += ["--epochs", 2, "--lr", 3e-3, "--max_length", 200, "--save_model", folder / kind]
        patch.setattr(sys, "argv", ["main.py", *map(str, command)])
        main.main()
        (path,) = (folder / "outputs" / dataset).glob("*/seed=*_????????.json")
        found[kind] = (json.loads(path.read_text()), folder / kind, path.with_suffix(".predictions.jsonl"))
    patch.undo()
    return found


def test_a_submission_scores_what_the_runs_scored_pooled_and_by_batch(saved, sample, tmp_path, monkeypatch, capsys):
    models = [argument for kind in SCORES for argument in ("--model", saved[kind][1])]
    golds, systems = {}, {}
    for batch in BATCHES:
        gold = sample / "raw" / "BioASQ7b" / f"{batch}_golden.json"
        code, _, err = run_bioasq(monkeypatch, capsys, "--questions", gold, "--output", tmp_path / batch, *models)
        assert code == 0, err
        golds[batch] = read_gold(gold)
        systems[batch] = read_system(tmp_path / batch, golds[batch])
        for kind, names in SCORES.items():
            official = bioasq_scores(golds[batch], systems[batch])
            ours = saved[kind][0]["metrics"]["test"]["by_part"][batch]
            assert {name: ours[name] for name in names} == pytest.approx({n: official[o] for n, o in names.items()})
    questions = [question for gold in golds.values() for question in gold]
    pooled = bioasq_scores(questions, {name: answer for system in systems.values() for name, answer in system.items()})
    for kind, names in SCORES.items():
        ours = saved[kind][0]["metrics"]["test"]
        assert {name: ours[name] for name in names} == pytest.approx({n: pooled[o] for n, o in names.items()}), kind
    assert all(len(one.entries) <= 5 for system in systems.values() for one in system.values() if one.kind == "factoid")
    assert sorted(path.name for path in tmp_path.iterdir()) == BATCHES  # nothing half-done is left


def test_results_hold_no_text_and_say_what_can_be_reached(saved):
    result, _, predictions = saved["factoid"]
    assert result["metrics"]["test"]["reachable"] == 1.0 and result["metric"] == "mrr"
    assert result["metrics"]["baseline"]["mrr"] > 0  # the most frequent answers are right now and then
    assert not [drug for drug in DRUGS if drug in predictions.read_text() + json.dumps(result)]
    lines = [json.loads(line) for line in predictions.open()]
    assert len(lines) == 20 and all(1 <= len(line["predicted"]) <= 5 for line in lines)


def test_the_head_of_span_answers_is_kept(saved, sample, tmp_path, run_main):
    arguments = (
        "--data_dir",
        sample / "raw",
        "--output_dir",
        tmp_path,
        "--epochs",
        1,
        "--limit",
        4,
        "--max_length",
        64,
    )
    _, out, _ = run_main("--dataset", "BioASQ7b-list", "--model", saved["span"][1], *arguments)
    assert "head: kept from" in out and "test, 7B1: f1 " in out


def test_misuse_is_one_sentence(saved, sample, tiny_model, tmp_path, monkeypatch, capsys):
    gold = sample / "raw" / "BioASQ7b" / "7B1_golden.json"
    for models, message in (
        ([saved["factoid"][1]] * 2, "both answer factoid questions; name one"),
        ([saved["span"][1]], "was trained for own (span_qa); models of BioASQ7b-factoid"),
    ):
        arguments = [argument for model in models for argument in ("--model", model)]
        code, _, err = run_bioasq(monkeypatch, capsys, "--questions", gold, "--output", tmp_path / "s.json", *arguments)
        assert code == 2 and message in err and not (tmp_path / "s.json").exists()
    code, out, _ = run_bioasq(
        monkeypatch, capsys, "--questions", gold, "--output", tmp_path / "s.json", "--model", saved["yesno"][1]
    )
    assert code == 0 and "factoid: 0 of" in out
    rows = json.loads((tmp_path / "s.json").read_text())["questions"]
    assert all(row.get("exact_answer") == [] for row in rows if row["type"] == "factoid")
