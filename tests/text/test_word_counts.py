"""Counting words: the same on any number of processes, and bounded."""

from collections import Counter

import pytest

from bioclinical.text import word_counts
from bioclinical.text.word_counts import count_characters, count_words


@pytest.mark.parametrize("workers", [1, 2])
def test_many_batches_in_several_processes_count_as_one_loop(monkeypatch, notes, workers):
    monkeypatch.setattr(word_counts, "BATCH_CHARACTERS", 2000)
    assert count_words(notes[:60], workers=workers).counts == Counter(" ".join(notes[:60]).split())
    expected = Counter("".join("".join(notes[:60]).split()))
    assert count_characters(notes[:60], workers=workers) == expected


def test_texts_are_not_gathered(monkeypatch):
    """At no time are many more texts taken from the input than have been counted."""
    monkeypatch.setattr(word_counts, "BATCH_CHARACTERS", 10)
    taken = 0

    def texts():
        nonlocal taken
        for _ in range(200):
            taken += 1
            yield "ten letters"

    for done, _ in enumerate(word_counts.counted(texts(), None, 1, words=True), start=1):
        assert taken <= done + 4


def test_memory_is_bounded_by_forgetting_the_rarest(monkeypatch):
    monkeypatch.setattr(word_counts, "BATCH_CHARACTERS", 1)
    texts = ["often often often", "rare", "often twice twice", "once", "lone"]
    counted = count_words(texts, workers=1, most=3)
    assert counted.counts["often"] == 4 and len(counted.counts) <= 3
    assert counted.counts.total() + counted.dropped == sum(len(text.split()) for text in texts)
