"""A trained model under another vocabulary: same vectors for same texts, everything else untouched."""

import runpy
import sys

import pytest
import torch
from repository import ROOT
from transformers import AutoModelForMaskedLM, AutoTokenizer

from bioclinical.encoders.vocabulary_swap import swap_vocabulary
from bioclinical.errors import UserError
from bioclinical.text.tokenization import load_tokenizer
from bioclinical.text.train_tokenizer import TokenizerSettings, save_tokenizer, train_tokenizer
from bioclinical.text.vocabulary_match import match_by_pieces

SCRIPT = ROOT / "pretraining_resources" / "swap_vocabulary.py"


@pytest.fixture(scope="module")
def new_folder(notes, tmp_path_factory):
    """family -> folder of a new tokenizer."""

    def make(family):
        settings, folder = TokenizerSettings(family, 380), tmp_path_factory.mktemp("new") / family
        save_tokenizer(train_tokenizer(settings, lambda: notes[:200]), settings, folder, [])
        return folder

    return make


@pytest.mark.parametrize("family", ["modernbert", "roberta", "bert", "albert", "electra"])
def test_the_same_vocabulary_gives_the_same_model(tiny_model, family):
    tokenizer = load_tokenizer(tiny_model(family))
    model = AutoModelForMaskedLM.from_pretrained(tiny_model(family))
    torch.nn.init.normal_(model.get_output_embeddings().bias)
    swapped, report = swap_vocabulary(model, tokenizer, match_by_pieces(tokenizer, tokenizer))
    assert report.copied == report.entries == len(tokenizer) and report.table_rows % 64 == 0
    batch = tokenizer("chest pain and fever", return_tensors="pt")
    with torch.no_grad():
        before, after = model(**batch).logits, swapped(**batch).logits
    assert torch.equal(before, after[..., : before.shape[-1]])


def test_rows_are_copied_mixed_and_drawn(tiny_model, new_folder):
    old, new = load_tokenizer(tiny_model("bert")), load_tokenizer(new_folder("modernbert"))
    model = AutoModelForMaskedLM.from_pretrained(tiny_model("bert"))
    torch.nn.init.normal_(model.get_output_embeddings().bias)
    match = match_by_pieces(old, new)
    swapped, report = swap_vocabulary(model, new, match)
    before, after = model.get_input_embeddings().weight, swapped.get_input_embeddings().weight
    mixed = next(i for i, sources in match.sources.items() if len(sources) > 1)
    ids = [source for source, _ in match.sources[mixed]]
    assert torch.allclose(after[mixed], before[ids].mean(0), atol=1e-7)
    assert torch.equal(after[new.mask_token_id], before[old.mask_token_id])
    output, old_bias = swapped.get_output_embeddings(), model.get_output_embeddings().bias
    assert output.weight is after and output.bias[mixed] == 0
    assert output.bias[new.mask_token_id] == old_bias[old.mask_token_id]
    assert report.copied + report.mixed + report.drawn == report.entries == len(new)
    assert swapped.config.pad_token_id == new.pad_token_id
    untouched = [
        name for name, tensor in model.state_dict().items() if tensor.shape == swapped.state_dict()[name].shape
    ]
    assert all(torch.equal(model.state_dict()[name], swapped.state_dict()[name]) for name in untouched)
    again, _ = swap_vocabulary(model, new, match)
    assert all(
        torch.equal(one, other) for one, other in zip(swapped.state_dict().values(), again.state_dict().values())
    )


def test_positions_that_follow_the_padding_id_are_kept(tiny_model, new_folder):
    model = AutoModelForMaskedLM.from_pretrained(tiny_model("roberta"))
    with pytest.raises(UserError, match="pads with id 0, but this roberta counts its positions from id 1"):
        swap_vocabulary(model, load_tokenizer(new_folder("bert")), None)


def test_the_command(tiny_model, new_folder, sample, tmp_path, monkeypatch, capsys):
    def run(*arguments):
        command = ["swap_vocabulary.py", "--model", tiny_model("bert"), "--tokenizer", tokenizer, *arguments]
        monkeypatch.setattr(sys, "argv", list(map(str, command)))
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as stop:
            return stop.code, capsys.readouterr().err
        return 0, capsys.readouterr().out

    tokenizer = new_folder("bert")
    code, out = run("--out", tmp_path / "focus", "--init_embeddings", "focus", "--texts", sample / "notes.csv")
    assert code == 0 and "380 entries" in out and "start the next training with a new optimizer" in out
    model = AutoModelForMaskedLM.from_pretrained(tmp_path / "focus")
    batch = AutoTokenizer.from_pretrained(tmp_path / "focus")("chest pain", return_tensors="pt")
    assert model(**batch).logits.shape[-1] == 384
    assert run("--out", tmp_path / "focus") == (
        2,
        f"error: --out '{tmp_path}/focus' exists already; choose another folder or delete it\n",
    )
    code, error = run("--out", tmp_path / "x", "--init_embeddings", "focus")
    assert code == 2 and "belong together" in error
