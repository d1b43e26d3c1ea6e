"""Masks: the 80/10/10 rule, special tokens, and purity."""

import numpy as np
import pytest
import torch
from composer.metrics.nlp import LanguageCrossEntropy

from bioclinical.pretraining.objectives.masked_tokens import MaskedTokens, Masking
from bioclinical.text.labels import IGNORED_LABEL
from bioclinical.text.tokenization import load_tokenizer

VOCABULARY = 504


def masked(masking: Masking, *arguments) -> tuple[np.ndarray, np.ndarray]:
    example = masking(*arguments)
    assert example.weights == {"masked_tokens": int((example.targets["labels"] != IGNORED_LABEL).sum())}
    return example.input_ids, example.targets["labels"]


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return load_tokenizer(tiny_model())


@pytest.mark.parametrize("probability", [0.15, 0.3])
def test_rates(tokenizer, probability):
    masking = Masking.of(tokenizer, VOCABULARY, probability, 0, False)
    ids = np.random.default_rng(1).integers(10, 400, 200_000)
    ids[::100] = tokenizer.sep_token_id
    inputs, labels = masked(masking, ids, 0, 0)
    chosen = labels != IGNORED_LABEL
    np.testing.assert_array_equal(labels[chosen], ids[chosen])
    np.testing.assert_array_equal(inputs[~chosen], ids[~chosen])
    assert not chosen[::100].any()
    assert abs(chosen.mean() / 0.99 - probability) < 0.005
    assert abs((inputs[chosen] == tokenizer.mask_token_id).mean() - 0.8) < 0.01
    assert abs((inputs[chosen] == ids[chosen]).mean() - 0.1) < 0.01
    random = inputs[chosen & (inputs != ids) & (inputs != tokenizer.mask_token_id)]
    assert abs(len(random) / chosen.sum() - 0.1) < 0.01
    assert not np.isin(random, tokenizer.all_special_ids).any() and random.max() < len(tokenizer)
    assert len(np.unique(random)) > 0.9 * len(tokenizer)  # drawn from all others


def test_a_row_without_masked_tokens_is_evaluated():
    objective, metric = MaskedTokens.__new__(MaskedTokens), LanguageCrossEntropy()
    assert objective.update(metric, (torch.zeros(0, 5), torch.zeros(0, dtype=torch.long))) == 0
    assert objective.update(metric, (torch.zeros(2, 5), torch.tensor([1, 2]))) == 2
    assert float(metric.compute()) == pytest.approx(np.log(5), abs=1e-6)


def test_special_tokens_like_modernbert(tokenizer):
    masking = Masking.of(tokenizer, VOCABULARY, 0.3, 0, True)
    inputs, labels = masked(masking, np.full(100_000, tokenizer.cls_token_id), 0, 0)
    assert abs((labels != IGNORED_LABEL).mean() - 0.3) < 0.01
    assert np.isin(tokenizer.sep_token_id, inputs)


def test_a_mask_depends_on_seed_epoch_document_and_window_alone(tokenizer):
    ids = np.arange(10, 300)
    masking = Masking.of(tokenizer, VOCABULARY, 0.3, 7, False)
    first = masked(masking, ids, 2, 5, 1)
    masked(masking, ids, 0, 0)
    np.testing.assert_array_equal(masked(masking, ids, 2, 5, 1), first)
    others = [(7, 3, 5, 1), (7, 2, 6, 1), (7, 2, 5, 2), (8, 2, 5, 1), (8, 1, 5, 1)]
    for seed, *key in others:
        other = masked(Masking.of(tokenizer, VOCABULARY, 0.3, seed, False), ids, *key)
        assert (other[1] != first[1]).any()
