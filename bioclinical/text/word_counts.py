"""How often each word, or each character, occurs in a corpus: read once, on all cores, in bounded memory."""

import heapq
import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field

from tokenizers import normalizers

BATCH_CHARACTERS = 1_000_000
# Distinct words kept at most (about 2 GB); PubMed's abstracts have fewer that occur twice.
MOST_WORDS = 20_000_000


@dataclass
class WordCounts:
    """Occurrences of every word. `dropped` is how many occurrences of rare words were forgotten to bound the memory."""

    counts: Counter[str] = field(default_factory=Counter)
    dropped: int = 0

    def add(self, more: Counter[str], most: int) -> None:
        """Adds counts; beyond `most` distinct words, the rarest half is forgotten (ties by the word itself)."""
        self.counts.update(more)
        if len(self.counts) > most:
            kept = heapq.nsmallest(most // 2, self.counts.items(), key=lambda item: (-item[1], item[0]))
            self.dropped += self.counts.total() - sum(count for _, count in kept)
            self.counts = Counter(dict(kept))


def count_words(
    texts: Iterable[str],
    normalizer: normalizers.Normalizer | None = None,
    workers: int | None = None,
    most: int = MOST_WORDS,
) -> WordCounts:
    """Words between white space, normalised first. The result is the same whatever the number of workers."""
    total = WordCounts()
    for counter in counted(texts, normalizer, workers, words=True):
        total.add(counter, most)
    return total


def count_characters(
    texts: Iterable[str], normalizer: normalizers.Normalizer | None = None, workers: int | None = None
) -> Counter[str]:
    """Characters other than white space, of the normalised texts."""
    total: Counter[str] = Counter()
    for counter in counted(texts, normalizer, workers, words=False):
        total.update(counter)
    return Counter({character: count for character, count in total.items() if not character.isspace()})


def counted(
    texts: Iterable[str], normalizer: normalizers.Normalizer | None, workers: int | None, words: bool
) -> Iterator[Counter[str]]:
    """The counts of each batch, in order. A corpus of one batch is counted here, without starting processes."""
    batches = batched(texts)
    first, second = next(batches, None), next(batches, None)
    if second is None:
        if first:
            yield count_batch(first, normalizer, words)
        return
    workers = workers or usable_cores()
    # spawn: the parent may hold threads of the tokenizers library, which a forked child would wait for forever.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Future] = deque(pool.submit(count_batch, batch, normalizer, words) for batch in (first, second))
        for batch in batches:
            waiting.append(pool.submit(count_batch, batch, normalizer, words))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def usable_cores() -> int:
    """The cores that this process may use: inside a container or a batch job fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def batched(texts: Iterable[str]) -> Iterator[list[str]]:
    """Lists of texts of about BATCH_CHARACTERS."""
    batch, characters = [], 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def count_batch(texts: list[str], normalizer: normalizers.Normalizer | None, words: bool) -> Counter[str]:
    """The words, or the characters, of some texts."""
    counts: Counter[str] = Counter()
    for text in texts:
        normalised = normalizer.normalize_str(text) if normalizer else text
        counts.update(normalised.split() if words else normalised)
    return counts
