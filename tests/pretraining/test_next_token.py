"""GPT-2 and the next token: documents alone or joined, the loss of transformers, bits per byte, and what is refused."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pretraining_setup import CONFIGS
from transformers import GPT2Config, GPT2LMHeadModel

from bioclinical.errors import UserError
from bioclinical.modeling.chunks import sum_over_chunks
from bioclinical.pretraining.architectures.gpt2 import Gpt2
from bioclinical.pretraining.architectures.padded import PaddedEncoder
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.data.rows import RowReader
from bioclinical.pretraining.objectives import next_token
from bioclinical.pretraining.objectives.bits_per_byte import BitsPerByte, bytes_of_ids
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.recipe.schema import NextToken as Keys
from bioclinical.text.tokenization import load_tokenizer
from bioclinical.text.train_tokenizer import TokenizerSettings, save_tokenizer, train_tokenizer

POSITIONS = 16


@pytest.fixture(scope="module")
def tokenizer(notes, tmp_path_factory):
    settings, folder = TokenizerSettings("gpt2", 400), tmp_path_factory.mktemp("gpt2") / "tokenizer"
    save_tokenizer(train_tokenizer(settings, lambda: notes[:100]), settings, folder, [])
    return load_tokenizer(folder)


@pytest.fixture(scope="module")
def architecture():
    config = GPT2Config(vocab_size=448, n_positions=POSITIONS, n_embd=32, n_layer=2, n_head=2,
                        resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)  # fmt: skip
    return Gpt2(config, Compute())


class Texts:
    """Documents of these lengths, as Windows reads them."""

    def __init__(self, tokenizer, lengths):
        rng = np.random.default_rng(0)
        self.ids = [np.append(rng.integers(0, 390, length - 1), tokenizer.eos_token_id) for length in lengths]

    def read(self, unit):
        return self.ids[unit], unit, 0


def parts(architecture, tokenizer, boundaries, lengths=(5, 16, 2, 9)):
    objective = next_token.NextToken(Keys(name="next_token", boundaries=boundaries), architecture, tokenizer)
    texts = Texts(tokenizer, lengths)
    row = RowReader(texts, objective.examples(None)).read_row([(0, n) for n in range(len(lengths))], silent=False)
    return objective, objective.networks(3), row, texts


def test_isolated_documents_are_computed_as_if_alone(architecture, tokenizer):
    objective, networks, row, texts = parts(architecture, tokenizer, "isolated")
    loss = objective.loss_sums(networks, row)["next_token"]
    alone = 0.0
    for ids in texts.ids:
        one = torch.tensor(ids)[None]
        alone += networks["model"](input_ids=one, labels=one).loss * (len(ids) - 1)
    assert row["weights"] == row_weights(row, texts) and row["loss_weight"] == sum(len(ids) - 1 for ids in texts.ids)
    torch.testing.assert_close(loss, alone, atol=1e-4, rtol=1e-6)
    loss.backward()
    gradient = networks["model"].transformer.wte.weight.grad.clone()
    networks["model"].zero_grad()
    alone.backward()
    torch.testing.assert_close(gradient, networks["model"].transformer.wte.weight.grad, atol=1e-5, rtol=1e-5)


def row_weights(row, texts):
    return {"next_token": sum(len(ids) - 1 for ids in texts.ids)}


def test_joined_documents_are_one_text_cut_at_the_models_length(architecture, tokenizer):
    objective, networks, row, texts = parts(architecture, tokenizer, "joined")
    text = torch.tensor(np.concatenate(texts.ids))
    losses = []
    for start in range(0, len(text), POSITIONS):
        logits = networks["model"](input_ids=text[None, start : start + POSITIONS]).logits[0]
        following = text[start + 1 : start + POSITIONS + 1]
        losses.append(F.cross_entropy(logits[: len(following)], following, reduction="none"))
    every = torch.cat(losses)
    follows_a_document = text[:-1] == tokenizer.eos_token_id
    torch.testing.assert_close(
        objective.loss_sums(networks, row)["next_token"], every[~follows_a_document].sum(), atol=1e-4, rtol=1e-6
    )


def test_no_token_sees_what_comes_after_it(architecture, tokenizer):
    _, networks, row, _ = parts(architecture, tokenizer, "isolated")
    before = architecture.encode(networks["model"], row)
    changed = {**row, "input_ids": row["input_ids"].clone()}
    changed["input_ids"][10] = (changed["input_ids"][10] + 1) % 390  # in the second document, which begins at 5
    after = architecture.encode(networks["model"], changed)
    same = (before == after).all(-1)
    assert same[:10].all() and not same[10:21].any() and same[21:].all()


def test_bits_per_byte_counts_the_bytes_of_the_text(tokenizer):
    sizes = bytes_of_ids(tokenizer, 448)
    text = "na\u00efve \u6f22 fever, 38.5 \u00b0C\n\nstable"
    ids = torch.tensor(tokenizer(text).input_ids)
    assert int(sizes[ids].sum()) == len((" " + text).encode("utf-8")) and sizes[tokenizer.eos_token_id] == 0
    metric, logits = BitsPerByte(sizes), torch.randn(len(ids), 448)
    metric.update(logits[:3], ids[:3])
    metric.update(logits[3:], ids[3:])
    expected = float(F.cross_entropy(logits, ids, reduction="sum")) / math.log(2) / int(sizes[ids].sum())
    assert float(metric.compute()) == pytest.approx(expected, rel=1e-6)


def test_sums_over_chunks_and_their_gradients_are_those_of_the_whole():
    weight, hidden, labels = torch.randn(6, 50, requires_grad=True), torch.randn(23, 6), torch.randint(0, 50, (23,))

    def cross_entropy(part, wanted):
        return F.cross_entropy(part @ weight, wanted, reduction="sum")

    whole, chunked = cross_entropy(hidden, labels), sum_over_chunks(cross_entropy, hidden, labels, size=5)
    torch.testing.assert_close(whole, chunked)
    torch.testing.assert_close(*(torch.autograd.grad(one, weight)[0] for one in (whole, chunked)))


def test_what_cannot_be_trained_is_refused_in_one_sentence(architecture, tokenizer, tiny_model):
    roberta = PaddedEncoder.__new__(PaddedEncoder)
    roberta.config = GPT2Config(model_type="roberta")
    with pytest.raises(
        UserError,
        match="next_token needs a model .* and roberta has no such form here; use model.architecture modernbert",
    ):
        next_token.NextToken(Keys(name="next_token"), roberta, tokenizer)
    masks = load_tokenizer(tiny_model("bert"))
    examples = next_token.Shifted.of(masks)
    for ids in ([5, 6, 7], [5, masks.mask_token_id, masks.sep_token_id], [masks.pad_token_id, masks.sep_token_id]):
        with pytest.raises(UserError, match=r"document 9 was not converted for next_token.*--eos_text '\[SEP\]'"):
            examples(np.array(ids), 0, 9)


def test_biomedlm_has_its_published_size():
    """2.59 billion weights, counted without making them."""
    keys = load_recipe(CONFIGS / "biomedlm" / "biomedlm.yaml").model.model_config
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config(**vars(keys)))
    assert sum(weight.numel() for weight in model.parameters()) == 2_594_247_680
