"""Readers of questions, choices and summaries: counts of the real files, odd offsets, and one sentence for bad rows."""

import json
from collections import Counter

import pytest

from bioclinical.errors import UserError
from bioclinical.tasks.readers.choices import ChoiceReader, read_medmcqa, read_medqa, read_mmlu, read_table
from bioclinical.tasks.readers.squad import SquadReader, read_squad, with_positions
from bioclinical.tasks.readers.summaries import SummaryReader
from bioclinical.tasks.splits import Protocol


def write_squad(path, *articles):
    """articles: (context, [(id, [(answer, start)])])."""
    data = [
        {
            "title": f"t{n}",
            "paragraphs": [
                {
                    "context": context,
                    "qas": [
                        {"id": i, "question": "What?", "answers": [{"text": t, "answer_start": s} for t, s in answers]}
                        for i, answers in questions
                    ],
                }
            ],
        }
        for n, (context, questions) in enumerate(articles)
    ]
    path.write_text(json.dumps({"data": data}))
    return path


def test_counts_of_the_real_question_files(real_data):
    for name, questions, answered, articles in (
        ("squad/dev-v2.0_cs224n_half.json", 6078, 2910, 16),
        ("squad/xquad.en.json", 1190, 1190, 48),
        ("covidqa/covidqa_200423_offsets_fixed.json", 1380, 1380, 98),
    ):
        oddities = Counter()
        examples = with_positions(read_squad(real_data / name), oddities)
        assert len(examples) == questions
        assert sum(bool(example["answers"]) for example in examples) == answered
        assert len({example["group"] for example in examples}) == articles
        assert not oddities


def test_counts_of_the_real_choice_files(real_data):
    def golds(examples):
        return [round(100 * Counter(e["answer"] for e in examples)[k] / len(examples), 2) for k in range(4)]

    assert golds(read_medqa(real_data / "medqa/phrases_no_exclude_test.jsonl")) == [27.73, 24.27, 27.18, 20.82]
    medmcqa = read_medmcqa(real_data / "medmcqa/dev.jsonl")
    assert (len(medmcqa), golds(medmcqa)) == (4183, [32.23, 25.94, 22.11, 19.72])
    assert not any("exp" in example for example in medmcqa)
    subjects = {path.stem: read_mmlu(path) for path in (real_data / "mmlu/test").glob("*.csv")}
    assert sum(map(len, subjects.values())) == 1794
    assert golds(subjects["professional_medicine_test"])[3] == 45.04
    assert [sum(len(read_mmlu(p)) for p in (real_data / f"mmlu/{s}").glob("*.csv")) for s in ("dev", "val")] == [
        45,
        197,
    ]


def test_counts_of_the_real_summaries(real_data):
    meqsum = SummaryReader(("meqsum.jsonl",), "chq", "summary", "file").read(real_data / "meqsum")
    assert {split: len(rows) for split, rows in meqsum.splits.items()} == {"train": 800, "validation": 100, "test": 100}
    assert "seed 42 (800 train" in meqsum.warnings[0]
    names = ("TrainingSet", "ValidationSet", "TestSet-1-MEDIQA-Chat-2023")
    reader = SummaryReader(tuple(f"MTS-Dialog-{name}.csv" for name in names), "dialogue", "section_text", "ID")
    assert [len(rows) for rows in reader.read(real_data / "mts_dialog").splits.values()] == [1201, 100, 200]
    reader = SummaryReader(("train.csv", "valid.csv", "clef_taskC_test3.csv"), "dialogue", "note", "encounter_id")
    assert [len(rows) for rows in reader.read(real_data / "aci_bench").splits.values()] == [67, 20, 40]


def test_offsets_off_by_a_blank_are_repaired_and_answers_elsewhere_counted(tmp_path):
    articles = [("The heart fails.", [("q1", [("heart", 3)]), ("q2", [("lung", 4)]), ("q3", [])])]
    path = write_squad(tmp_path / "a.json", *articles)
    oddities = Counter()
    examples = with_positions(read_squad(path), oddities)
    assert [answer["start"] for e in examples for answer in e["answers"]] == [4, -1]
    repaired, outside = sorted(oddities, key=len)
    assert "off by a blank" in repaired and outside.endswith("The first: q2")


def test_articles_stay_together_and_a_second_file_is_the_test_set(tmp_path):
    articles = [("The heart.", [(f"{n}-{k}", [("heart", 4)]) for k in range(3)]) for n in range(20)]
    write_squad(tmp_path / "train.json", *articles)
    write_squad(tmp_path / "dev.json", ("The lung.", [("d", [("lung", 4)])]))
    one = SquadReader(("train.json",)).read(tmp_path).splits
    assert [len(one[split]) for split in ("train", "validation", "test")] == [42, 9, 9]
    assert not {e["group"] for e in one["train"]} & {e["group"] for e in one["test"]}
    other = SquadReader(("train.json",)).read(tmp_path, Protocol("strict", 1)).splits
    assert [e["id"] for e in one["test"]] != [e["id"] for e in other["test"]]
    two = SquadReader(("train.json", "dev.json")).read(tmp_path).splits
    assert [len(two[split]) for split in ("train", "validation", "test")] == [57, 3, 1]


def test_choices_without_a_validation_file_take_it_from_training(tmp_path):
    row = '{"id": "%s", "question": "q", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 2}\n'
    (tmp_path / "train.jsonl").write_text("".join(row % n for n in range(40)))
    (tmp_path / "dev.jsonl").write_text(row % "t")
    splits = ChoiceReader("medmcqa", (("train.jsonl",), (), ("dev.jsonl",))).read(tmp_path).splits
    assert [len(splits[split]) for split in ("train", "validation", "test")] == [36, 4, 1]
    assert splits["test"][0]["answer"] == 1


def test_own_table_of_choices(tmp_path):
    (tmp_path / "own.csv").write_text('id,question,A,B,C,D,answer\n7,"a ""b"",\nc",one,two,,,b\n')
    (tmp_path / "own.jsonl").write_text('{"id": "x", "question": "q", "options": ["one", "two"], "answer": "A"}\n')
    (row,) = read_table(tmp_path / "own.csv")
    assert (row["question"], row["options"], row["answer"]) == ('a "b",\nc', ["one", "two"], 1)
    assert read_table(tmp_path / "own.jsonl")[0]["id"] == "x"


@pytest.mark.parametrize(
    "form, name, content, sentence",
    [
        ("medqa", "a.jsonl", {"question": "q", "options": {"A": "x", "B": "y"}, "answer_idx": "C"}, "none of A, B"),
        ("medqa", "a.jsonl", {"question": "q", "options": {"A": "x"}, "answer_idx": "A"}, "1 option"),
        ("medqa", "a.jsonl", {"question": "q"}, "has no column 'options', 'answer_idx'"),
        (
            "medmcqa",
            "a.jsonl",
            {"id": 1, "question": "q", "opa": "a", "opb": "b", "opc": "c", "opd": "d", "cop": 0},
            "cop must be a number from 1 to 4",
        ),
        ("medqa", "a.jsonl", "broken", "line 1: not a JSON object"),
        ("mmlu", "a.csv", "secret,x,y,Q\n", "none of A, B"),
        ("mmlu", "a.csv", 'secret,"x\n', "cannot be read"),
        ("table", "a.csv", "id,question,A,B,C,D,answer\n1, ,x,y,,,A\n", "the question is empty"),
    ],
)
def test_bad_choices_name_their_place_and_no_text(tmp_path, form, name, content, sentence):
    (tmp_path / name).write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UserError) as error:
        ChoiceReader(form, ((name,),)).read(tmp_path)
    assert sentence in str(error.value) and "secret" not in str(error.value)


def test_an_empty_target_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("dialogue,note\r\nhello,\r\n", newline="")
    with pytest.raises(UserError, match=r"line 2: the note is empty"):
        SummaryReader(("a.csv",), "dialogue", "note").read(tmp_path)
