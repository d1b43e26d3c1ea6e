"""Words of which a tokenizer leaves nothing: zero-width characters, lone accents with an uncased BERT."""

import random

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from bioclinical import problems
from bioclinical.metrics.metric import score_all
from bioclinical.problems.encoding import Coder
from bioclinical.problems.tokenless_words import filled

TAGGING = problems.get("token_classification")
LABELS = ("B-x", "B-y", "I-x", "I-y", "O")
ZERO_WIDTH, ACCENT = "\u200b", "\u0301"
WORDS = ("jose", "lee", "pain", ",", "knee")


@pytest.fixture(scope="module")
def coder():
    """A WordPiece tokenizer with BERT's uncased normalisation, and a context of so many tokens."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "jo", "##se"]
    backend = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **special)
    return lambda length: Coder(tokenizer, length, frozenset({"input_ids", "attention_mask"}), LABELS)


def perfect(coder, examples):
    """Predictions of a model that gives every first sub-token its word's gold tag, as a test makes them."""

    def outputs(split):
        ids = []
        for feature, note in zip(split.features, split.notes):
            row = np.full(len(feature["input_ids"]), LABELS.index("O"))
            for word, place in zip(note.words, note.places):
                row[place] = LABELS.index(split.examples[feature["example_index"]]["tags"][word])
            ids.append(row)
        return ids

    split = TAGGING.encode(coder, examples)
    predictions = TAGGING.predictions(coder, split, outputs(split))
    windows = TAGGING.encode_cut(coder, split, "head")
    for i, whole in zip(split.cut, TAGGING.predictions(coder, windows, outputs(windows))):
        predictions[i] = TAGGING.with_windows(predictions[i], whole)
    return predictions


def random_example(rng, number):
    tokens, tags = [], []
    while len(tokens) < 12:
        kind = rng.choice(("x", "y", None))
        for i in range(rng.randint(1, 4)):
            tokens.append(rng.choice((*WORDS, ZERO_WIDTH, ACCENT)))
            tags.append("O" if kind is None else f"{'I' if i else 'B'}-{kind}")
    return {"id": str(number), "tokens": ["lee", *tokens], "tags": ["B-x", *tags]}


@pytest.mark.parametrize("length", [64, 9])
def test_a_perfect_model_is_perfect_whatever_has_no_token(coder, length):
    rng = random.Random(1)
    examples = [random_example(rng, number) for number in range(200)]
    predictions = perfect(coder(length), examples)
    assert any(p.get("tokenless") for p in predictions) and any("windowed" in p for p in predictions) == (length == 9)
    scores = score_all(TAGGING.all_metrics(LABELS, None), predictions)
    details = TAGGING.details(predictions, LABELS)
    assert scores["f1"] == scores["f1_windowed"] == 1.0
    if length == 64:
        assert scores["f1_all_gold"] == 1.0 and details["words_cut"] == details["entities_cut"] == 0
        silent = sum(token in (ZERO_WIDTH, ACCENT) for example in examples for token in example["tokens"])
        assert details["words_without_token"] == silent > 0
    else:
        assert scores["f1_all_gold"] < 1.0 and details["words_cut"] > 0
    assert all(len(p["predicted"]) == len(p["gold"]) == len(e["tokens"]) for p, e in zip(predictions, examples))


@pytest.mark.parametrize(
    "words, tags, expected",
    [
        ("a _ b", "B-x . I-x", "B-x I-x I-x"),
        ("a _ _ b", "B-x . . I-x", "B-x I-x I-x I-x"),
        ("a _ b", "B-x . B-x", "B-x O B-x"),
        ("a _ b", "B-x . I-y", "B-x O I-y"),
        ("a _ b", "O . I-x", "O O I-x"),
        ("a _", "B-x .", "B-x O"),
        ("_ a", ". B-x", "O B-x"),
        ("a ' b", "B-x . O", "B-x I-x O"),  # a lone accent belongs to the letter before it
        ("a ' _ b", "B-x . . O", "B-x I-x O O"),
        ("a ' b", "O . O", "O O O"),
        ("a _ b", "B . I", "B I I"),  # tags without types
    ],
)
def test_missing_words_take_the_tag_around_them(words, tags, expected):
    tokens = [{"_": ZERO_WIDTH, "'": ACCENT}.get(word, word) for word in words.split()]
    given = ["O" if tag == "." else tag for tag in tags.split()]
    missing = [i for i, tag in enumerate(tags.split()) if tag == "."]
    assert filled(given, missing, tokens) == expected.split()


def test_prediction_keeps_entities_whole(coder):
    text = f"jose{ACCENT} lee{ZERO_WIDTH}pain, knee{ZERO_WIDTH}"
    example = TAGGING.raw_example({"id": "1", "text": text}, None)
    split = TAGGING.encode_raw(coder(64), [example], "head")
    tag_of = {"jose": "B-x", "lee": "I-x", "pain": "I-x", ",": "O", "knee": "B-y"}
    (note,), (feature,) = split.notes, split.features
    best, ids = np.zeros(len(feature["input_ids"])), np.full(len(feature["input_ids"]), LABELS.index("O"))
    for word, place in zip(note.words, note.places):
        best[place], ids[place] = 0.8, LABELS.index(tag_of[example["tokens"][word]])
    (answer,) = TAGGING.answers(coder(64), split, [(best, ids)])
    found = [(text[e["start"] : e["end"]], e["type"], e["probability"]) for e in answer["entities"]]
    assert found == [(f"jose{ACCENT} lee{ZERO_WIDTH}pain", "x", 0.8), ("knee", "y", 0.8)]
