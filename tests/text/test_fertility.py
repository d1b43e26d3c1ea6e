"""Fertility: the sums are those of a plain loop, and known words are cut as published vocabularies cut them."""

import pytest
from transformers import AutoTokenizer

from bioclinical.text.fertility import EXAMPLE_WORDS, fertility, pieces_of_words
from bioclinical.text.tokenization import load_tokenizer


@pytest.mark.parametrize("family", ["modernbert", "bert", "albert"])
def test_sums_are_those_of_a_loop_over_words(tiny_model, family):
    tokenizer = load_tokenizer(tiny_model(family))
    words = {"pain": 3, "fever,": 1, "\u6f22": 2, "hypertension": 1}
    ids = {word: tokenizer(word, add_special_tokens=False).input_ids for word in words}
    text, distinct = fertility(tokenizer, words)
    assert text.words == 7 and distinct.words == 4
    assert text.tokens == sum(count * len(ids[word]) for word, count in words.items())
    assert distinct.tokens == sum(map(len, ids.values()))
    assert text.characters == sum(count * len(word) for word, count in words.items())
    unknown = {word: found.count(tokenizer.unk_token_id) for word, found in ids.items()}
    assert text.unknown == sum(count * unknown[word] for word, count in words.items())
    whole = [word for word, found in ids.items() if len(found) == 1 and not unknown[word]]
    assert distinct.whole == len(whole) and text.whole == sum(words[word] for word in whole)
    assert text.tokens_per_word == text.tokens / 7 and text.characters_per_token == text.characters / text.tokens


def test_byte_tokens_are_counted_as_inside_a_text(tiny_model):
    tokenizer = load_tokenizer(tiny_model("modernbert"))
    inside = AutoTokenizer.from_pretrained(tiny_model("modernbert")).tokenize("x hypertension")[1:]
    assert pieces_of_words(tokenizer, ["hypertension"]) == {"hypertension": len(inside)}


def test_padding_in_a_tokenizer_file_is_not_counted(tiny_model):
    tokenizer = load_tokenizer(tiny_model("bert"))
    tokenizer.backend_tokenizer.enable_padding(length=50)
    tokenizer.backend_tokenizer.enable_truncation(1)
    text, _ = fertility(tokenizer, {"hypertension": 1})
    assert text.tokens == len(tokenizer.tokenize("hypertension")) < 50


def test_modernberts_tokenizer_on_the_example_words(real_data):
    tokenizer = load_tokenizer(real_data / "tokenizers" / "modernbert")
    assert list(pieces_of_words(tokenizer, EXAMPLE_WORDS).values()) == [1, 1, 3, 2, 2, 2]
