"""Cutting and wrapping, the dtype, and the split of a document."""

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.mds.assignment import EVAL, TRAIN, split_names, split_of
from bioclinical.mds.tokens import Encoder, choose_wrapping, id_dtype
from bioclinical.text.tables import TextRow
from bioclinical.text.tokenization import load_tokenizer


@pytest.mark.parametrize("bos, eos", [("[CLS]", "[SEP]"), ("", ""), ("[CLS]", "")])
@pytest.mark.parametrize("concat_tokens", [3, 8, 100])
def test_samples_are_bounded_wrapped_and_join_to_the_document(tokenizer, bos, eos, concat_tokens):
    encoder = Encoder(tokenizer, choose_wrapping(tokenizer, concat_tokens, bos, eos))
    body = concat_tokens - bool(bos) - bool(eos)
    for length in (1, max(1, body - 1), body, body + 1, 3 * body, 3 * body + 2):
        ids = np.arange(length, dtype=np.uint16) + 10
        samples = encoder.cut(ids)
        assert len(samples) == -(-length // body)
        assert all(len(sample) == concat_tokens for sample in samples[:-1])
        assert len(samples[-1]) <= concat_tokens
        for sample in samples:
            assert not bos or sample[0] == tokenizer.cls_token_id
            assert not eos or sample[-1] == tokenizer.sep_token_id
        assert np.array_equal(encoder.unwrap(samples), ids)


@pytest.mark.parametrize("family", ["modernbert", "roberta", "bert"])
def test_ids_are_those_of_the_public_call(tiny_model, notes, family):
    tokenizer = load_tokenizer(tiny_model(family))
    bos, eos = tokenizer.cls_token, tokenizer.sep_token
    encoder = Encoder(tokenizer, choose_wrapping(tokenizer, 64, bos, eos))
    texts = [*notes[:50], "été\r\n漢字 🙂\u00a0x", "word", " word", "a [SEP] b [MASK]"]
    for text, samples in zip(texts, encoder.encode(texts)):
        assert encoder.unwrap(samples).tolist() == tokenizer(text, add_special_tokens=False)["input_ids"]


def test_truncation_and_padding_of_a_tokenizer_file_are_not_applied(tokenizer, notes):
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=4)
    encoder = Encoder(tokenizer, choose_wrapping(tokenizer, 10_000, "", ""))
    lengths = [sum(map(len, samples)) for samples in encoder.encode(["x", notes[0]])]
    assert lengths[0] < 4 < lengths[1]


def test_the_dtype_holds_every_id(tokenizer):
    assert id_dtype(tokenizer) == np.uint16
    vocabulary = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2} | {f"word{number}": number for number in range(3, 2**16 + 1)}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    large = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert id_dtype(large) == np.uint32
    encoder = Encoder(large, choose_wrapping(large, 64, "[CLS]", "[SEP]"))
    assert encoder.encode([f"word{2**16}"])[0][0].tolist() == [1, 2**16, 2]


def test_bad_wrappings(tokenizer):
    with pytest.raises(UserError, match=r"no token '<s>'; its special tokens are: .*\[CLS\].*--bos_text.*--no_wrap"):
        choose_wrapping(tokenizer, 64, "<s>", "[SEP]")
    with pytest.raises(UserError, match="no token '</s>'.*--eos_text"):
        choose_wrapping(tokenizer, 64, "[CLS]", "</s>")
    with pytest.raises(UserError, match="--concat_tokens 2 leaves no room for text; 3 or more"):
        choose_wrapping(tokenizer, 2, "[CLS]", "[SEP]")


def rows(count):
    return [TextRow(number, f"note {number}", f"patient {number // 10}") for number in range(count)]


def test_the_key_alone_decides_the_split():
    kept = {row.key: split_of(row, 0.2) for row in rows(5000)}
    assert all(split_of(TextRow(0, "other text", key), 0.2) == split for key, split in kept.items())
    share = list(kept.values()).count(EVAL) / len(kept)
    assert 0.13 < share < 0.27


def test_without_a_key_the_text_decides_and_equal_texts_stay_together():
    for row in rows(200):
        assert split_of(TextRow(1, row.text, None), 0.5) == split_of(TextRow(2, row.text, ""), 0.5)


def test_a_larger_fraction_moves_documents_only_to_eval():
    for row in rows(1000):
        if split_of(row, 0.1) == EVAL:
            assert split_of(row, 0.3) == EVAL
    assert {split_of(row, 0) for row in rows(100)} == {TRAIN}


@pytest.mark.parametrize("fraction", [-0.1, 1, 1.5, float("nan")])
def test_fractions_not_allowed(fraction):
    with pytest.raises(UserError, match="--eval_fraction"):
        split_names(fraction)
