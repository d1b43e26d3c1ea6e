"""Numbers to predict, and pairs of texts: from files through main.py, and how a pair becomes a row."""

import csv
import json
import random
from pathlib import Path

import pytest

import dataloader
from bioclinical import problems
from bioclinical.errors import UserError
from bioclinical.problems.encoding import Coder
from bioclinical.tasks.loading import load_task
from bioclinical.tasks.readers.delimited import DelimitedReader
from bioclinical.tasks.task import Task
from bioclinical.text.tokenization import load_tokenizer

FILES = ("train.csv", "dev.csv", "test.csv")
PAIR = {"text_column": "one", "text_b_column": "two"}
TASKS = {
    "Similarity": Task("Similarity", "regression", DelimitedReader(FILES, **PAIR, label_column="y"), "own", "own"),
    "Severity": Task(
        "Severity", "regression", DelimitedReader(FILES, text_column="one", label_column="y"), "own", "own"
    ),
    "Entailment": Task(
        "Entailment", "single_label_classification", DelimitedReader(FILES, **PAIR, label_column="kind"), "own", "own"
    ),
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Three tasks over the same invented rows: the number and the kind depend on both texts."""
    monkeypatch.setattr(dataloader, "TASKS", list(TASKS.values()))
    (tmp_path / "raw" / "own").mkdir(parents=True)
    rng = random.Random(0)
    for name, count in zip(FILES, (96, 24, 24)):
        with open(tmp_path / "raw" / "own" / name, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["one", "two", "y", "kind"])
            for _ in range(count):
                a, b = rng.choice(["stable", "worse"]), rng.choice(["stable", "worse"])
                rows.writerow([f"patient {a}", f"patient {b}", 1.0 * (a == "worse") + 0.25 * (b == "worse"), a])
    return ("--data_dir", tmp_path / "raw", "--output_dir", tmp_path / "outputs", "--batch_size", 8)


def read(stdout: str):
    path = Path(stdout.splitlines()[-1])
    predictions = path.with_suffix(".predictions.jsonl").read_text().splitlines()
    return json.loads(path.read_text()), [json.loads(line) for line in predictions]


def test_a_number_is_learnt(run_main, own, tiny_model):
    learning = ("--lr", "3e-3", "--epochs", 4)
    code, out, err = run_main("--dataset", "Severity", "--model", tiny_model("bert"), *learning, *own)
    assert code == 0, err
    result, predictions = read(out)
    test, baseline = result["metrics"]["test"], result["metrics"]["baseline"]
    assert result["labels"] == [] and result["metric"] == result["selection_metric"] == "pearson"
    assert test["pearson"] > 0.9 and test["rmse"] < baseline["rmse"] / 2 and baseline["pearson"] == 0.0
    assert set(predictions[0]) == {"id", "group", "gold", "predicted"} and predictions[0]["gold"] in (0, 0.25, 1, 1.25)
    (metric, *_) = problems.get(result["problem"]).metrics(result["labels"], None, result["metric"])
    assert metric.score(predictions) == test["pearson"]
    assert f"test: pearson {100 * test['pearson']:.2f}  spearman" in out and f"rmse {test['rmse']:.4g}" in out


@pytest.mark.parametrize("family", ["modernbert", "bert", "roberta", "deberta-v2"])
@pytest.mark.parametrize("dataset", ["Similarity", "Entailment"])
def test_pairs_run(run_main, own, tiny_model, dataset, family):
    quick = ("--limit", 16, "--epochs", 1)
    code, out, err = run_main("--dataset", dataset, "--model", tiny_model(family), *quick, *own)
    assert code == 0, err
    result, predictions = read(out)
    assert len(predictions) == 16 and set(result["metrics"]["test"]) >= {
        "Similarity": {"pearson", "spearman", "rmse"}, "Entailment": {"weighted_f1", "accuracy", "per_class"}
    }[dataset]  # fmt: skip


def test_pairs_have_no_windows(run_main, own, tiny_model):
    code, _, err = run_main("--dataset", "Entailment", "--model", tiny_model(), "--pooling", "windows", *own)
    assert code == 2 and "--pooling windows: Entailment has pairs of texts" in err


def coder_of(folder, arguments=("input_ids", "attention_mask", "token_type_ids"), max_length=20):
    return Coder(load_tokenizer(folder), max_length, frozenset(arguments))


def test_the_longer_text_of_a_pair_is_cut_and_segments_are_told_apart(tiny_model):
    coder = coder_of(tiny_model("bert"))
    short, long = "no pain", "the patient was stable and had no pain " * 5
    count = len(coder.tokenizer(short, add_special_tokens=False)["input_ids"])
    examples = [{"id": "a", "text": short, "text_b": long}, {"id": "b", "text": long, "text_b": short}]
    split = problems.get("regression").encode(coder, [*examples, {"id": "c", "text": short, "text_b": short}])
    assert split.cut == [0, 1] and [len(row["input_ids"]) for row in split.features[:2]] == [20, 20]
    first, second, _ = (row["token_type_ids"] for row in split.features)
    assert (first.count(0), first.count(1)) == (count + 2, 20 - count - 2)
    assert (second.count(0), second.count(1)) == (20 - count - 1, count + 1)
    assert (
        "token_type_ids" not in problems.get("regression").encode(coder_of(tiny_model("roberta")), examples).features[0]
    )


@pytest.mark.parametrize("score", ["nan", "inf", "mild pain", "1,5"])
def test_what_is_no_number_is_named_by_its_place(own, score):
    path = Path(own[1]) / "own" / "dev.csv"
    path.write_text(f'one,two,y,kind\nx,y,"{score}",k\n')
    with pytest.raises(UserError, match=r"dev.csv' line 2: its score is not a finite number") as caught:
        load_task(TASKS["Similarity"], Path(own[1]))
    assert "mild" not in str(caught.value)


def test_an_empty_second_text_is_named_by_its_place(own):
    (Path(own[1]) / "own" / "dev.csv").write_text("one,two,y,kind\nx,  ,1,k\n")
    with pytest.raises(UserError, match=r"dev.csv' line 2: the document is empty"):
        load_task(TASKS["Similarity"], Path(own[1]))


def test_real_similarities(run_main, real_data, tiny_model, tmp_path):
    """BIOSSES as the suites split it: the counts, and a score of the right kind."""
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "BIOSSES").symlink_to(real_data / "biosses")
    where = ("--data_dir", tmp_path / "raw", "--output_dir", tmp_path / "outputs")
    code, out, err = run_main("--dataset", "BIOSSES", "--model", tiny_model("bert"), "--epochs", 1, *where)
    assert code == 0 and "BIOSSES: 64 train, 16 validation, 20 test" in out, err
    result, predictions = read(out)
    assert -1 <= result["metrics"]["test"]["pearson"] <= 1 and all(0 <= p["gold"] <= 4 for p in predictions)
