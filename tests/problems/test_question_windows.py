"""Windows of a context: those of the tokenizer itself; answers found whatever the blanks of byte-level tokens."""

import itertools

import numpy as np
import pytest

from bioclinical.errors import UserError
from bioclinical.text.question_windows import encode_contexts, pair_frame, step_between, window_ranges
from bioclinical.text.tokenization import load_tokenizer

FAMILIES = ("modernbert", "bert", "roberta")


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return lambda family: load_tokenizer(tiny_model(family))


def windows(tokenizer, question, text, max_length, stride):
    frame, context = pair_frame(tokenizer), encode_contexts(tokenizer, [text])[text]
    ids = tokenizer(question, add_special_tokens=False)["input_ids"]
    room = max_length - len(frame) - len(ids)
    ranges = window_ranges(len(context.ids), room, step_between(room, stride, "overlap", "q", len(context.ids)))
    return context, [frame.window(ids, context, *pair) for pair in ranges]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("stride", [0, 8, 20])
def test_windows_are_those_of_the_tokenizer(tokenizer, notes, family, stride):
    tokenizer, question = tokenizer(family), "what was given?"
    for text in [*notes[:4], "one word"]:
        expected = tokenizer(
            question, text, truncation="only_second", max_length=48, stride=stride,
            return_overflowing_tokens=True, return_token_type_ids=True,
        )  # fmt: skip
        found = windows(tokenizer, question, text, 48, stride)[1]
        assert [w.input_ids for w in found] == expected["input_ids"]
        assert [w.token_type_ids for w in found] == expected["token_type_ids"]
        assert [w.place for w in found] == [expected.sequence_ids(i).index(1) for i in range(len(found))]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_word_is_found_at_its_characters(tokenizer, notes, family):
    text = " " + notes[0]
    context = encode_contexts(tokenizer(family), [text])[text]
    start = 0
    for word in text.split():
        start = text.index(word, start)
        first, last = context.tokens_of(start, start + len(word))
        assert (context.offsets[first, 0], context.offsets[last, 1]) == (start, start + len(word))
        start += len(word)


def test_a_label_outside_the_window_is_the_first_position(tokenizer, notes):
    context, found = windows(tokenizer("bert"), "why?", notes[0], 32, 8)
    first, second = found[0], found[1]
    assert first.label(0, 2) == (first.place, first.place + 2)
    assert second.label(0, 2) == (0, 0)
    assert second.label(second.start, second.end) == (0, 0)
    assert first.input_ids[first.position(3)] == context.ids[3]


def test_ranges_cover_everything_and_a_step_leaves_no_gap():
    for tokens in (0, 1, 9, 10, 11, 57):
        ranges = window_ranges(tokens, 10, step_between(10, 3, "overlap", "q", 99))
        assert set().union(*(range(*pair) for pair in ranges)) == set(range(tokens))
        assert all(b[0] - a[0] == 7 for a, b in itertools.pairwise(ranges))
    assert step_between(10, 3, "step", "q", 99) == 3
    assert step_between(10, 99, "step", "q", 99) == 10


def test_a_question_longer_than_the_context_is_named():
    for room, rule in ((0, "step"), (-4, "overlap"), (128, "overlap")):
        with pytest.raises(UserError, match="question q7 leaves room for"):
            step_between(room, 128, rule, "q7", 500)


def test_windows_of_real_articles(real_data):
    """Counts with the published tokenizer; the longest article has 16,425 tokens."""
    from transformers import AutoTokenizer

    from bioclinical.tasks.readers.squad import read_squad

    # The counts were made without a blank before the first word, which this project's own loading adds.
    tokenizer = AutoTokenizer.from_pretrained(real_data / "tokenizers" / "modernbert")
    examples = read_squad(real_data / "covidqa" / "covidqa_200423_offsets_fixed.json")
    contexts = encode_contexts(tokenizer, [example["context"] for example in examples])
    assert max(len(context.ids) for context in contexts.values()) == 16_425
    rooms = [
        (len(contexts[e["context"]].ids), len(tokenizer(e["question"].lstrip(), add_special_tokens=False)["input_ids"]))
        for e in examples
    ]

    def count(max_length, rule):
        return sum(
            len(window_ranges(tokens, room := max_length - question - 3, step_between(room, 128, rule, "", tokens)))
            for tokens, question in rooms
        )

    assert [count(n, "overlap") for n in (384, 512, 1024, 8192)] == [37_064, 24_433, 10_602, 1_841]
    assert count(384, "step") == 67_824
    found = [ends_of_tokens(contexts[e["context"]], answer) for e in examples for answer in e["answers"]]
    assert np.mean(found) == pytest.approx(0.947101, abs=5e-7)


def ends_of_tokens(context, answer):
    """Whether an answer, without outer blanks, begins and ends with a token."""
    text = answer["text"]
    start = answer["start"] + len(text) - len(text.lstrip())
    end = answer["start"] + len(text.rstrip())
    first, last = context.tokens_of(start, end)
    return context.offsets[first, 0] == start and context.offsets[last, 1] == end
