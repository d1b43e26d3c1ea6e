"""How many tokens each published system masks, and which: counts, shares, whole words, rows of words."""

import numpy as np
import pytest

from bioclinical.errors import UserError
from bioclinical.pretraining.objectives.counting import choose_tokens, choose_words, number_of_tokens, words_of
from bioclinical.pretraining.objectives.masked_tokens import Masking
from bioclinical.pretraining.recipe.schema import Dataset, MaskedTokens
from bioclinical.text.labels import IGNORED_LABEL
from bioclinical.text.tokenization import load_tokenizer


def rng():
    return np.random.default_rng(0)


def test_numbers():
    assert [number_of_tokens("bert", 0.15, length, 512, rng()) for length in (3, 20, 512)] == [1, 3, 77]
    assert [number_of_tokens("electra", 0.15, length, 512, rng()) for length in (3, 512, 600)] == [1, 77, 79]
    generator = rng()
    counts = [number_of_tokens("fairseq", 0.15, 43, 512, generator) for _ in range(20_000)]
    assert set(counts) == {6, 7} and abs(np.mean(counts) - 0.15 * 43) < 0.02


def test_tokens_are_drawn_without_replacement_among_those_allowed():
    allowed = np.arange(40) % 4 > 0
    chosen = choose_tokens(allowed, 12, rng())
    assert chosen.sum() == 12 and not chosen[~allowed].any()
    assert choose_tokens(allowed, 99, rng()).sum() == 30


def test_words_are_chosen_whole():
    allowed = np.array([0, 1, 1, 1, 1, 0, 1, 1, 1, 0], bool)
    starts = np.array([1, 1, 0, 1, 0, 1, 0, 1, 0, 1], bool)
    assert [word.tolist() for word in words_of(allowed, starts)] == [[1, 2], [3, 4], [6], [7, 8]]
    for seed in range(50):
        chosen = choose_words(allowed, starts, 3, 1, np.random.default_rng(seed))
        assert 1 <= chosen.sum() <= 3
        for word in words_of(allowed, starts):
            assert chosen[word].all() or not chosen[word].any()


def test_a_first_word_longer_than_the_count_is_chosen_all_the_same():
    allowed, starts = np.ones(5, bool), np.array([1, 0, 0, 0, 0], bool)
    assert choose_words(allowed, starts, 1, 3, rng()).all()


def test_rows_of_words_have_alberts_lengths():
    """P(n) ~ 1/n: 6/11, 3/11, 2/11, as long as few words are taken already."""
    allowed, starts, lengths = np.ones(300, bool), np.ones(300, bool), []
    for seed in range(600):
        chosen = choose_words(allowed, starts, 3, 3, np.random.default_rng(seed))
        edges = np.flatnonzero(np.diff(np.r_[0, chosen.astype(int), 0]))
        lengths.append(int(edges[1] - edges[0]) if len(edges) == 2 else 0)
    whole = np.bincount(lengths, minlength=4) / 600
    assert abs(whole[3] - (2 / 11 + 0)) < 0.06 and chosen.sum() == 3


@pytest.mark.parametrize("counting", ["fairseq", "bert", "electra"])
def test_masking_with_a_counting(tiny_model, counting):
    tokenizer = load_tokenizer(tiny_model("roberta"))
    dataset = Dataset(local="", split="train", max_seq_len=512, mlm_probability=0.15)
    keys = MaskedTokens(name="masked_tokens", counting=counting, masked_share=0.85, random_share=0.0)
    masking = Masking.from_recipe(keys, dataset, tokenizer, 504)
    chosen = kept = masked = special = 0
    for document in range(400):
        ids = np.r_[tokenizer.cls_token_id, rng().integers(10, 400, 98), tokenizer.sep_token_id]
        example = masking(ids, 0, document)
        here = example.targets["labels"] != IGNORED_LABEL
        assert example.weights["masked_tokens"] == here.sum() and np.array_equal(example.input_ids[~here], ids[~here])
        assert here.sum() == 15 or counting == "fairseq"
        chosen, special = chosen + here.sum(), special + here[[0, -1]].sum()
        kept += (example.input_ids[here] == ids[here]).sum()
        masked += (example.input_ids[here] == tokenizer.mask_token_id).sum()
    assert chosen / 40_000 == pytest.approx(0.15, abs=0.002) and masked / chosen == pytest.approx(0.85, abs=0.02)
    assert masked + kept == chosen and (special > 0) == (counting == "fairseq")


def test_what_makes_no_sense(tiny_model):
    tokenizer = load_tokenizer(tiny_model("roberta"))
    dataset = Dataset(local="", split="train", max_seq_len=512, mlm_probability=0.15)
    for keys, message in (
        (MaskedTokens(name="masked_tokens", longest_ngram=3), "objective.whole_words=true"),
        (MaskedTokens(name="masked_tokens", masked_share=0.9, random_share=0.2), "more than 1 together"),
    ):
        with pytest.raises(UserError, match=message):
            Masking.from_recipe(keys, dataset, tokenizer, 504)
    without = Dataset(local="", split="train", max_seq_len=512)
    with pytest.raises(UserError, match=r"needs dataset.mlm_probability in every loader"):
        Masking.from_recipe(MaskedTokens(name="masked_tokens"), without, tokenizer, 504)
