"""Generation end to end: causal and encoder-decoder models learn to write; batches, cuts, options, raw texts, errors."""

import csv
import json
import random
import sys
from pathlib import Path

import pytest
import torch
import transformers

import dataloader
from bioclinical import predict
from bioclinical.errors import UserError, run_cli
from bioclinical.metrics.rouge import first_words, mean_scores, rouge_scores, typical_text
from bioclinical.modeling.writing import left_padded
from bioclinical.problems.encoding import Coder, arguments_of
from bioclinical.problems.generation import Generation, WritingOptions, texts_of
from bioclinical.tasks.readers.summaries import SummaryReader
from bioclinical.tasks.task import Task
from bioclinical.text.tokenization import load_tokenizer, require_padding
from bioclinical.tiny_models import build_tiny_model

FILES = ("train.csv", "dev.csv", "test.csv")
OWN = Task("Drugs", "generation", SummaryReader(FILES, "question", "summary"), folder="drugs", source="Invented")
SHORT = {"max_new_tokens": 8, "target_length": 16, "num_beams": 2, "min_new_tokens": 1}
QUICK = [word for name, value in SHORT.items() for word in ("--option", f"{name}={value}")]
GREETINGS = ("hello doctor", "i am worried", "thank you")
DRUGS = ("aspirin", "heparin", "warfarin", "digoxin")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Questions that end with a drug, and what is to be written: the drug and "dose"."""
    folder, rng = tmp_path_factory.mktemp("writing") / "raw", random.Random(0)
    (folder / "drugs").mkdir(parents=True)
    for name, count in zip(FILES, (96, 8, 16)):
        with open(folder / "drugs" / name, "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["question", "summary"])
            for drug in rng.choices(DRUGS, k=count):
                rows.writerow([f"{rng.choice(GREETINGS)} {drug}", f"{drug} dose"])
    return folder


@pytest.fixture(scope="module")
def models(raw, tmp_path_factory):
    """family -> folder of a tiny model that knows the words; larger weights than usual learn in fewer steps."""
    texts = (raw / "drugs" / "train.csv").read_text().splitlines()
    built = {}

    def get(family):
        if family not in built:
            folder = tmp_path_factory.mktemp(family) / family
            built[family] = build_tiny_model(family, texts, folder, vocab_size=400, hidden_size=32, layers=1)
            if family in ("gpt2", "bart"):
                model = auto_class(family).from_pretrained(folder)
                for weights in model.parameters():
                    weights.data.mul_(5 if weights.dim() > 1 else 1)
                model.save_pretrained(folder)
        return built[family]

    return get


def auto_class(family):
    return transformers.AutoModelForCausalLM if family == "gpt2" else transformers.AutoModelForSeq2SeqLM


@pytest.fixture
def run(run_main, raw, models, tmp_path, monkeypatch):
    monkeypatch.setattr(dataloader, "TASKS", [*dataloader.TASKS, OWN])

    def go(family, *arguments):
        places = ("--data_dir", raw, "--output_dir", tmp_path / "outputs", "--batch_size", 8)
        code, out, err = run_main("--dataset", "Drugs", "--model", models(family), *places, *arguments)
        return code, Path(out.splitlines()[-1]) if code == 0 else None, out + err

    return go


@pytest.fixture
def parts(models):
    """family, options -> (problem, coder, model in evaluation)."""

    def get(family, max_length=64, **options):
        tokenizer = load_tokenizer(models(family))
        require_padding(tokenizer, family)
        model = auto_class(family).from_pretrained(models(family)).eval()
        coder = Coder(tokenizer, max_length, arguments_of(model), (), WritingOptions(**SHORT | options))
        return Generation(), coder, Generation().adapt(model, coder)

    return get


@pytest.mark.parametrize("family, least", [("gpt2", 0.9), ("bart", 0.9), ("t5", 0.45)])  # T5 would need more steps
def test_it_learns_to_write_and_writes_for_raw_texts(run, family, least, tmp_path, monkeypatch, capsys):
    saved = tmp_path / "model"
    code, path, output = run(family, "--epochs", 6, "--lr", "1e-2", *QUICK, "--save_model", saved)
    assert code == 0, output
    result = json.loads(path.read_text())
    test, more = result["metrics"]["test"], result["metrics"]["more_baselines"]["first 2 words"]
    assert test["rougeL"] >= least > more["rougeL"] and 0 < result["metrics"]["baseline"]["rougeL"] < 0.9
    assert test["texts"] == 16 and test["empty_texts"] == 0 and test["mean_words_wanted"] == 2
    assert result["options"] == {"prefix": "", "no_repeat_ngram_size": 6, "length_penalty": -0.5, **SHORT}
    assert "missing keys" not in output  # the head that is saved as the table of embeddings
    assert not any(drug in path.with_suffix(".predictions.jsonl").read_text() for drug in DRUGS)

    notes, answers = tmp_path / "notes.csv", tmp_path / "answers.jsonl"
    notes.write_text("text\nhello doctor digoxin\n \n" + "thank you heparin " * 200 + "\n")
    monkeypatch.setattr(
        sys, "argv", ["predict", "--model", str(saved), "--input", str(notes), "--output", str(answers)]
    )
    run_cli(predict.main)
    lines = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [line["id"] for line in lines] == ["1", "2", "3"] and lines[1]["text"] is None
    assert family == "t5" or lines[0]["text"] == "digoxin dose"
    assert "1 of them empty" in (out := capsys.readouterr().out)
    assert "1 of them cut at 512 tokens" in out or family == "t5"  # whose tokenizer has a token for the whole phrase


def test_results_show_rouge_beside_both_baselines(run, monkeypatch, capsys, tmp_path):
    from bioclinical.results.__main__ import main

    code, path, output = run("gpt2", "--epochs", 1, "--limit", 4, *QUICK)
    assert code == 0, output
    code, again, output = run("gpt2", "--epochs", 1, "--limit", 4, *QUICK)
    assert again == path and "finished already" in output
    monkeypatch.setattr(sys, "argv", ["results", str(tmp_path / "outputs")])
    run_cli(main)
    table = capsys.readouterr().out
    for shown in ("rouge1", "rougeLsum_stemmed", "(constant text)", "(first 2 words)", "over documents"):
        assert shown in table


@pytest.mark.parametrize("family", ["gpt2", "t5", "bart"])
def test_texts_do_not_depend_on_the_batch(parts, family):
    """Prompts of different length, with and without the wanted text behind them, give what each gives alone."""
    problem, coder, model = parts(family)
    sources = ["aspirin", "hello doctor i am worried thank you heparin", "thank you warfarin"]
    raw = problem.encode(coder, [{"id": s, "source": s} for s in sources])
    gold = problem.encode(
        coder, [{"id": s, "source": s, "target": "digoxin dose " * n} for n, s in enumerate(sources, 1)]
    )
    collate = problem.collator(coder)

    def written(rows):
        batch = collate([{k: v for k, v in row.items() if k != "example_index"} for row in rows])
        return texts_of(coder, problem.generate(coder, model, batch).numpy())

    alone = [written([row])[0] for row in raw.features]
    assert written(raw.features) == alone == written(gold.features)


def test_loss_is_that_of_the_target_alone(parts):
    problem, coder, model = parts("gpt2")
    split = problem.encode(coder, [{"id": "1", "source": "hello doctor", "target": "aspirin dose"}])
    row = split.features[0]
    end = coder.tokenizer.eos_token_id
    source, target = (
        coder.tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("hello doctor", "aspirin dose")
    )
    assert row["input_ids"] == [*source, end, *target, end]
    logits = model(input_ids=torch.tensor([row["input_ids"]])).logits[0].log_softmax(-1)
    wanted = [*target, end]
    expected = -sum(logits[len(source) + k, token].item() for k, token in enumerate(wanted)) / len(wanted)
    batch = problem.collator(coder)([{k: v for k, v in row.items() if k != "example_index"}])
    assert model(**batch).loss.item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_long_sources_keep_their_beginning_and_are_counted(parts, family):
    problem, coder, _ = parts(family, max_length=24)
    long = {"id": "long", "source": "hello doctor " + "thank you " * 40, "target": "aspirin dose " * 40}
    split = problem.encode(coder, [{"id": "short", "source": "aspirin", "target": "dose"}, long])
    assert split.cut == [1]
    row = split.features[1]
    assert coder.tokenizer.decode(row["input_ids"], skip_special_tokens=True).strip().startswith("hello doctor")
    assert len(row["input_ids"]) <= 24 and row["labels"][-1] == coder.tokenizer.eos_token_id
    assert len([label for label in row["labels"] if label >= 0]) <= 16
    prompt = problem.encode(coder, [{"id": "long", "source": long["source"]}])
    assert prompt.cut == [0] and "labels" not in prompt.features[0]
    if family == "gpt2":  # the prompt leaves room for what is to be written
        assert len(prompt.features[0]["input_ids"]) == 24 - 8


def test_the_search_is_decided_by_the_options_alone(parts):
    _, _, model = parts("bart", num_beams=3, length_penalty=0.5)
    search = model.generation_config
    assert (search.num_beams, search.length_penalty, search.max_new_tokens, search.do_sample) == (3, 0.5, 8, False)
    assert search.min_length == 0 and search.eos_token_id == model.config.eos_token_id


def test_a_greedy_model_can_be_saved(parts, tmp_path):
    _, _, model = parts("gpt2", num_beams=1)
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "generation_config.json").read_text())["max_new_tokens"] == 8


def test_prompts_are_moved_to_the_right():
    ids, mask = left_padded(
        torch.tensor([[5, 6, 7, 0], [8, 0, 0, 0]]), torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]]).bool(), 9
    )
    assert ids.tolist() == [[5, 6, 7], [9, 9, 8]] and mask.tolist() == [[1, 1, 1], [0, 0, 1]]


@pytest.mark.parametrize(
    "family, options, sentence",
    [
        ("gpt2", ("--option", "max_new_tokens=600"), "no room for a source beside --option max_new_tokens=600"),
        ("bart", ("--option", "max_new_tokens=600"), "writes at most 511 tokens"),
        ("gpt2", ("--option", "num_beams=0"), "at least 1"),
        ("gpt2", ("--option", "beams=3"), "there is no such option; known: prefix, target_length"),
        ("bert", (), "is of type 'bert', which writes no text; use a causal model (GPT-2) or an encoder-decoder"),
        ("modernbert", (), "is of type 'modernbert', which writes no text"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, tmp_path, family, options, sentence):
    code, _, output = run(family, *options)
    assert code == 2 and sentence in output and "Traceback" not in output
    assert not list((tmp_path / "outputs").rglob("*.json"))


def test_empty_texts_are_refused():
    assert "target is empty" in Generation().fault({"id": "1", "source": "a", "target": " "}, ())
    with pytest.raises(UserError, match="target_length=1: at least 2"):
        WritingOptions(target_length=1)
    with pytest.raises(UserError, match="min_new_tokens=5 is more than max_new_tokens=4"):
        WritingOptions(max_new_tokens=4)


def test_trivial_systems_on_meqsum(real_data):
    """Golden values of all 1,000 rows, made by rouge-score with stemming."""
    rows = [json.loads(line) for line in (real_data / "meqsum" / "meqsum.jsonl").open()]
    constant = "What are the treatments for the disease?"
    for text_of, golden in (
        (lambda row: first_words(row["chq"], 10), (0.219672, 0.084866, 0.189273)),
        (lambda row: constant, (0.287143, 0.177469, 0.283533)),
    ):
        scores = mean_scores([rouge_scores(text_of(row), [row["summary"]], stem=True) for row in rows])
        assert (scores["rouge1"], scores["rouge2"], scores["rougeL"]) == pytest.approx(golden, abs=1e-6)


def test_the_constant_is_the_most_typical_training_text():
    assert typical_text(["a b", "a c", "a d", "x y"]) == "a b"
    assert first_words("one two\nthree", 2) == "one two"
