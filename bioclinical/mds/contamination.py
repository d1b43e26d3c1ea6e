"""How much of the tasks' test texts stands in a tokenised pre-training corpus.

A run of 13 words that occurs in both is an overlap (Brown et al. 2020, appendix C). Words are letters and digits
without regard to case, so the tokenizer's treatment of blanks and signs makes no difference; a run that the corpus'
samples were cut in is missed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.mds.index import ShardInfo
from bioclinical.mds.shards import COLUMN, open_shard
from bioclinical.mds.wanted import OVERLAP_WORDS
from bioclinical.text.ngrams import NGramIndex, ngram_hashes, words_of

SAMPLES_AT_ONCE = 256


@dataclass(frozen=True)
class Overlap:
    """Of a task's test texts: their number, those long enough to be looked for, those that share a run of words with
    the corpus, and the share of all their different runs that occur in it."""

    texts: int
    long_enough: int
    overlapping: int
    share_of_runs: float


def overlaps(texts: Mapping[str, Sequence[str]], corpus: Iterable[str]) -> dict[str, Overlap]:
    """For each task's texts, what of them occurs in the corpus, which is read once."""
    index = NGramIndex((text for own in texts.values() for text in own), OVERLAP_WORDS)
    found = np.zeros(len(index.hashes), bool)
    for document in corpus:
        found[index.places(ngram_hashes(words_of(document), OVERLAP_WORDS))] = True
    return {task: overlap_of(own, index, found) for task, own in texts.items()}


def overlap_of(texts: Sequence[str], index: NGramIndex, found: np.ndarray) -> Overlap:
    """The figures of one task. found: (n-grams of the index,) bool."""
    places = [np.unique(index.places(ngram_hashes(words_of(text), OVERLAP_WORDS))) for text in texts]
    everywhere = np.unique(np.concatenate([np.empty(0, np.int64), *places]))
    return Overlap(
        texts=len(texts),
        long_enough=sum(len(own) > 0 for own in places),
        overlapping=sum(bool(found[own].any()) for own in places),
        share_of_runs=float(found[everywhere].mean()) if len(everywhere) else 0.0,
    )


def decoded(folder: Path, infos: Sequence[ShardInfo], tokenizer: PreTrainedTokenizerFast) -> Iterator[str]:
    """The text of every sample of an MDS folder, with a bar over the samples."""
    with tqdm(desc="reading the corpus", total=sum(info["samples"] for info in infos), unit=" samples") as bar:
        for info in infos:
            with open_shard(folder, info) as reader:
                for start in range(0, reader.samples, SAMPLES_AT_ONCE):
                    stop = min(start + SAMPLES_AT_ONCE, reader.samples)
                    ids = [reader[place][COLUMN] for place in range(start, stop)]
                    yield from tokenizer.batch_decode(ids, skip_special_tokens=True)
                    bar.update(stop - start)


def tokenizer_of(folder: Path) -> str:
    """The tokenizer that the converter noted beside the shards. Raises UserError where it noted none, or several."""
    paths = [*folder.glob("*.stats.json"), folder.with_name(f"{folder.name}.stats.json")]
    names = {json.loads(path.read_text(encoding="utf-8")).get("tokenizer") for path in paths if path.is_file()}
    if len(names) != 1 or not all(names):
        raise UserError(f"'{folder}' does not say with which tokenizer it was made; give it with --tokenizer")
    return names.pop()


def lines(found: Mapping[str, Overlap]) -> Iterator[str]:
    """A line a task."""
    width = max(map(len, found), default=0)
    for task, overlap in found.items():
        yield (
            f"{task.ljust(width)}  {overlap.overlapping:,} of {overlap.texts:,} test texts overlap "
            f"({overlap.long_enough:,} have {OVERLAP_WORDS} words or more); "
            f"{overlap.share_of_runs:.2%} of their runs of {OVERLAP_WORDS} words occur"
        )
