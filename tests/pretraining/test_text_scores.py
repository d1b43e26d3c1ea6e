"""Models of different vocabularies on the same texts: what is hidden, what is counted, and each figure by hand."""

import json
import math
import re
import runpy
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from repository import ROOT
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from bioclinical.errors import UserError
from bioclinical.pretraining.architectures import stored_architecture
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.evaluation.passages import encode_passage, passages_of
from bioclinical.pretraining.evaluation.text_scores import CAUSAL, HIDDEN_WORDS, PSEUDO, Scorer
from bioclinical.text.tokenization import load_tokenizer

FAMILIES = ("modernbert", "bert", "roberta", "albert")
TEXTS = ["Na\u00efve patient,  38.5 \u00b0C;\n\nno fever-like\tsigns \u6f22 today.", "Stable."]


@pytest.fixture(scope="module")
def causal(prepared, tmp_path_factory):
    """A random GPT-2 with a vocabulary of its own."""
    folder, tokenizer = tmp_path_factory.mktemp("causal"), load_tokenizer(prepared("gpt2") / "vocabulary")
    config = {"model_type": "gpt2", "vocab_size": len(tokenizer), "n_embd": 32, "n_layer": 1, "n_head": 2,
              "n_positions": 128, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}  # fmt: skip
    stored_architecture(config, Compute()).new_model(seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_passages_are_the_texts_and_hide_some_words_of_each(notes):
    passages = passages_of(notes[:30], 20, 0.15)
    assert "".join("".join(passage.text.split()) for passage in passages) == "".join("".join(notes[:30]).split())
    assert all(1 <= len(passage.words) <= 20 and passage.hidden for passage in passages)
    share = sum(len(one.hidden) for one in passages) / sum(len(one.words) for one in passages)
    assert 0.1 < share < 0.25
    assert passages_of(notes[:30], 20, 0.15) == passages and passages_of(notes[:10], 20, 0.15) == [
        one for one in passages if one in passages_of(notes[:10], 20, 0.15)]  # fmt: skip
    with pytest.raises(UserError, match="hold no words"):
        passages_of([" \n"], 20, 0.15)


@pytest.mark.parametrize("family", (*FAMILIES, "gpt2"))
def test_every_letter_belongs_to_its_word(family, tiny_model, causal):
    tokenizer = load_tokenizer(causal if family == "gpt2" else tiny_model(family))
    for passage in passages_of(TEXTS, 50, 0.15):
        encoded = encode_passage(passage, tokenizer)
        spans = tokenizer(passage.text, return_offsets_mapping=True)["offset_mapping"]
        for number, (start, end) in enumerate(passage.words):
            letters = set(range(start, end))
            covered = {
                one for one, (first, last) in enumerate(spans) if first < last and letters & set(range(first, last))
            }
            assert covered and set(np.flatnonzero(encoded.word == number)) == covered
        assert not encoded.is_text[encoded.ids == tokenizer.sep_token_id].any()


@pytest.mark.parametrize("family", ("modernbert", "bert"))
def test_hidden_words_and_token_by_token_are_hugging_faces_figures(family, tiny_model, notes):
    folder = tiny_model(family)
    passages = passages_of(notes[:3], 12, 0.3)[:4]
    scorer = Scorer(str(folder), passages, Compute())
    model, tokenizer = AutoModelForMaskedLM.from_pretrained(folder).eval(), load_tokenizer(folder)

    def surprise(ids, masked, asked):
        given = torch.tensor(np.where(masked, tokenizer.mask_token_id, ids))[None]
        logits = model(input_ids=given).logits[0].log_softmax(-1)
        return -sum(float(logits[place, ids[place]]) for place in asked)

    nats, pseudo, tokens = 0.0, 0.0, 0
    with torch.inference_mode():
        for passage in passages:
            one = encode_passage(passage, tokenizer)
            hidden = np.array([word in passage.hidden for word in one.word])
            nats += surprise(one.ids, hidden, np.flatnonzero(hidden))
            for place in np.flatnonzero(one.is_text):
                rest = [p for p in range(place, len(one.ids)) if p == place or (one.word[p] == one.word[place] >= 0)]
                pseudo += surprise(one.ids, np.isin(np.arange(len(one.ids)), rest), [place])
                tokens += 1
    score, slow = scorer.score(HIDDEN_WORDS), scorer.score(PSEUDO)
    assert score.nats == pytest.approx(nats, rel=1e-5) and slow.nats == pytest.approx(pseudo, rel=1e-5)
    assert slow.tokens == tokens == scorer.passes(PSEUDO)
    assert slow.bytes == sum(len(one.text.encode()) for one in passages)
    assert score.bytes == sum(len(one.text[slice(*one.words[n])].encode()) for one in passages for n in one.hidden)
    assert score.bits_per_byte == pytest.approx(score.nats / math.log(2) / score.bytes)


def test_causal_models_predict_every_byte(causal, notes):
    passages = passages_of(notes[:3], 12, 0.3)
    (measure,) = (scorer := Scorer(str(causal), passages, Compute())).measures(pseudo=True, causal=False)
    score = scorer.score(measure)
    model, tokenizer, nats = AutoModelForCausalLM.from_pretrained(causal).eval(), load_tokenizer(causal), 0.0
    for passage in passages:
        ids = torch.tensor([tokenizer.eos_token_id, *tokenizer(passage.text)["input_ids"]])[None]
        nats += float(model(input_ids=ids, labels=ids).loss.detach()) * (ids.shape[1] - 1)
    assert measure == CAUSAL and score.nats == pytest.approx(nats, rel=1e-5) and score.kept == 1.0
    assert score.bytes == sum(len(one.text.encode()) for one in passages)


def test_a_vocabulary_that_loses_letters_says_so(tiny_model):
    kept = {
        family: Scorer(str(tiny_model(family)), passages_of(TEXTS, 50, 0.15), Compute()).kept
        for family in ("bert", "modernbert")
    }
    assert kept["modernbert"] == 1.0 and kept["bert"] < 1.0


def test_the_table(tiny_model, causal, notes, tmp_path, monkeypatch, capsys):
    """Masked and causal models of four vocabularies side by side; equal bytes for all that answer the same questions."""
    pd.DataFrame({"notes": notes[:4]}).to_csv(tmp_path / "notes.csv", index=False)
    models = [str(tiny_model(family)) for family in ("modernbert", "roberta")] + [str(causal)]
    script = str(ROOT / "pretraining_resources" / "evaluate_mlm.py")
    monkeypatch.setattr(sys, "argv", [script, "--texts", str(tmp_path / "notes.csv"), "--words", "10", "--pseudo", "--causal", "--documents", "3",
                                      "--output", str(tmp_path / "scores.json"), "--models", *models])  # fmt: skip
    runpy.run_path(script, run_name="__main__")
    out = capsys.readouterr().out
    assert "passes, " in out and out.count(HIDDEN_WORDS + " ") == 2 and out.count(CAUSAL + " ") == 2
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores[models[0]][HIDDEN_WORDS]["bytes"] == scores[models[1]][HIDDEN_WORDS]["bytes"]
    assert (
        scores[models[0]][PSEUDO]["bytes"] == scores[models[2]][CAUSAL]["bytes"] == scores[models[0]][CAUSAL]["bytes"]
    )
    assert list(scores[models[1]]) == [HIDDEN_WORDS, PSEUDO]  # RoBERTa has no causal form here


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "give either a recipe .* or --texts"),
    (["a.yaml", "--pseudo"], "--pseudo has no effect without --texts"),
    (["--texts", "no.csv", "--words", "0"], "--words 0 must be 1 or more"),
    (["--texts", "no.csv", "--hidden_share", "1.5"], "--hidden_share 1.5 must be between 0 and 1"),
])  # fmt: skip
def test_wrong_arguments_are_one_sentence(arguments, message, monkeypatch, capsys):
    script = str(ROOT / "pretraining_resources" / "evaluate_mlm.py")
    monkeypatch.setattr(sys, "argv", [script, *arguments, "--models", "somewhere"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(script, run_name="__main__")

    assert stop.value.code == 2 and re.search(message, capsys.readouterr().err)


def test_a_passage_longer_than_a_model_reads_is_refused(causal, notes):
    with pytest.raises(UserError, match="takes 128 tokens, a passage has up to .*; lower --words"):
        Scorer(str(causal), passages_of([" ".join(notes[:9])], 500, 0.15), Compute())
