"""Multiple choice end to end: every family scores options with one output; options of different number; cut questions."""

import json
import random
from pathlib import Path

import pytest
import torch

import dataloader
from bioclinical.errors import UserError
from bioclinical.modeling.choices import score_options
from bioclinical.problems.encoding import Coder
from bioclinical.problems.multiple_choice import ChoiceCollator, MultipleChoice
from bioclinical.samples.questions import write_medqa
from bioclinical.tasks.readers.choices import ChoiceReader
from bioclinical.tasks.task import Task
from bioclinical.text.tokenization import load_tokenizer, require_padding
from bioclinical.tiny_models import build_tiny_model

FILES = ("train.jsonl", "dev.jsonl", "test.jsonl")
OWN = Task(
    name="Drugs",
    problem="multiple_choice",
    reader=ChoiceReader("medqa", tuple((name,) for name in FILES)),
    folder="drugs",
    source="Invented",
)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("choices") / "raw", random.Random(0)
    for name, questions in zip(FILES, (64, 12, 40)):
        write_medqa(folder / "drugs" / name, rng, questions)
    return folder


@pytest.fixture(scope="module")
def models(raw, tmp_path_factory):
    """family -> folder of a tiny model that knows the words of the questions."""
    rows = [json.loads(line) for line in (raw / "drugs" / "train.jsonl").open()]
    texts = [row["question"] + " " + " ".join(row["options"].values()) for row in rows]
    built = {}

    def get(family):
        if family not in built:
            folder = tmp_path_factory.mktemp(family) / family
            build = build_tiny_gpt2 if family == "gpt2" else build_tiny_model
            built[family] = build(family, texts, folder, vocab_size=400, hidden_size=48, layers=2)
        return built[family]

    return get


def build_tiny_gpt2(family, texts, folder, vocab_size, hidden_size, layers):
    """GPT-2 as it is published: one special token, none for padding."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GPT2Config, GPT2LMHeadModel, GPT2TokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet)
    )
    tokenizer = GPT2TokenizerFast(tokenizer_object=backend, model_max_length=64)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=hidden_size, n_layer=layers, n_head=2, n_positions=64)
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def run(run_main, raw, models, tmp_path, monkeypatch):
    monkeypatch.setattr(dataloader, "TASKS", [*dataloader.TASKS, OWN])

    def go(family, *arguments):
        places = ("--data_dir", raw, "--output_dir", tmp_path / "outputs")
        code, out, err = run_main("--dataset", "Drugs", "--model", models(family), *places, *arguments)
        return code, json.loads(Path(out.splitlines()[-1]).read_text()) if code == 0 else None, err

    return go


def test_the_right_option_is_learnt(run):
    code, result, err = run("bert", "--epochs", "4", "--lr", "3e-3", "--batch_size", "4", "--max_length", "48")
    assert code == 0, err
    test = result["metrics"]["test"]
    assert test["accuracy"] > 0.9 > result["metrics"]["baseline"]["accuracy"]
    assert test["questions"] == 40 and 0 < test["longest_option_accuracy"] < 0.9
    assert sum(test["constant_accuracy"].values()) == pytest.approx(1)


@pytest.mark.parametrize("family", ["modernbert", "roberta", "electra", "albert", "deberta-v2", "gpt2"])
def test_every_family_scores_options(run, family):
    code, result, err = run(family, "--epochs", "1", "--limit", "4", "--max_length", "40")
    assert code == 0, err
    assert 0 <= result["metrics"]["test"]["accuracy"] <= 1
    assert result["attention"].startswith("packed") == (family == "modernbert")


def coder_of(folder, max_length=64):
    return Coder(load_tokenizer(folder), max_length, frozenset(("input_ids", "attention_mask", "token_type_ids")))


def model_of(folder):
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1).eval()


EXAMPLES = [
    {"id": "two", "question": "Which drug was it?", "options": ["aspirin", "heparin"], "answer": 1},
    {"id": "three", "question": "He took gout.", "options": ["digoxin", "warfarin", "a clot and fever"], "answer": 0},
]


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_scores_are_those_of_each_option_alone(models, family):
    coder, model = coder_of(models(family)), model_of(models(family))
    problem, tokenizer = MultipleChoice(), coder.tokenizer
    expected = [
        model(**tokenizer(e["question"], option, return_tensors="pt")).logits.item()
        for e in EXAMPLES
        for option in e["options"]
    ]
    score_options(model)
    split = problem.encode(coder, EXAMPLES)
    batch = ChoiceCollator(tokenizer)(split.features)
    batch.pop("example_index")
    output = model(**batch)
    assert output.logits.shape == (2, 3)
    assert output.logits[batch["option_mask"] == 1].tolist() == pytest.approx(expected, abs=1e-5)
    assert torch.isfinite(output.logits).all() and torch.isfinite(output.loss)
    predictions = problem.predictions(coder, split, output.logits.detach().numpy())
    assert [len(p["probabilities"]) for p in predictions] == [2, 3]
    assert [p["longest"] for p in predictions] == ["A", "C"]
    assert not any("aspirin" in str(p) for p in predictions)


def test_the_head_is_that_of_the_multiple_choice_class(models, tmp_path):
    from transformers import AutoModelForMultipleChoice

    coder, model = coder_of(models("bert")), model_of(models("bert"))
    model.save_pretrained(tmp_path)
    batch = ChoiceCollator(coder.tokenizer)(MultipleChoice().encode(coder, EXAMPLES[1:]).features)
    score_options(model)
    batch = {name: values for name, values in batch.items() if name != "example_index"}
    theirs = AutoModelForMultipleChoice.from_pretrained(tmp_path).eval()
    inputs = {name: values for name, values in batch.items() if name != "option_mask"}
    torch.testing.assert_close(theirs(**inputs).logits, model(**batch).logits)


def test_a_long_question_loses_its_beginning_and_is_counted(models):
    coder = coder_of(models("bert"), max_length=16)
    long = {
        "id": "long",
        "question": "Vital signs were stable. " * 9 + "Which drug was it?",
        "options": ["aspirin", "gout"],
        "answer": 0,
    }
    split = MultipleChoice().encode(coder, [EXAMPLES[0], long])
    assert split.cut == [1]
    text = coder.tokenizer.decode(split.features[1]["input_ids"][0])
    assert "which drug was it?" in text.lower() and len(split.features[1]["input_ids"][0]) == 16
    assert text.lower().count("vital") < 9


def test_a_causal_model_reads_the_last_real_token(models):
    """Batched with padding, an option scores what it scores alone; the vocabulary stays as it was."""
    from transformers import AutoModelForSequenceClassification

    folder = models("gpt2")
    coder = coder_of(folder)
    size = len(coder.tokenizer)
    require_padding(coder.tokenizer, folder)
    assert len(coder.tokenizer) == size and coder.tokenizer.pad_token == "<|endoftext|>"
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, num_labels=1, pad_token_id=coder.tokenizer.pad_token_id
    ).eval()
    split = MultipleChoice().encode(coder, EXAMPLES)
    rows = [row for feature in split.features for row in feature["input_ids"]]
    expected = [model(input_ids=torch.tensor([row])).logits.item() for row in rows]
    batch = ChoiceCollator(coder.tokenizer)(split.features)
    batch.pop("example_index")
    output = score_options(model)(**batch)
    assert output.logits[batch["option_mask"] == 1].tolist() == pytest.approx(expected, abs=1e-5)


def test_raw_questions_have_an_option_a_line(models):
    problem, coder = MultipleChoice(), coder_of(models("bert"))
    texts = [
        {"id": "1", "text": "Which?", "text_b": "aspirin\n\n heparin "},
        {"id": "2", "text": " ", "text_b": "a\nb"},
    ]
    split = problem.encode_raw(coder, [problem.raw_example(text, None) for text in texts], "head")
    answers = problem.answers(coder, split, [[0.0, 2.0]])
    assert (answers[0]["answer"], answers[1]["answer"]) == ("B", None)
    with pytest.raises(UserError, match="question 3 has 1 options"):
        problem.raw_example({"id": "3", "text": "Which?", "text_b": "aspirin"}, None)


def test_bad_examples():
    problem = MultipleChoice()
    assert "1 options" in problem.fault({"question": "q", "options": ["a"], "answer": 0}, ())
    assert "outside" in problem.fault({"question": "q", "options": ["a", "b"], "answer": 2}, ())
    assert problem.fault(EXAMPLES[0], ()) is None
