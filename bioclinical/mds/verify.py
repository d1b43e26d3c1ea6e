"""Reads written data back: counts, hashes, and documents against a fresh tokenisation."""

import random
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import RunFailed
from bioclinical.mds.index import damage
from bioclinical.mds.journal import ShardRecord
from bioclinical.mds.shards import COLUMN, open_shard, sample_lengths
from bioclinical.mds.tokens import Encoder


class SpotTexts:
    """Keeps the texts of at most `limit` documents, chosen at random but reproducibly among those offered."""

    def __init__(self, limit: int = 200, longest: int = 1_000_000):
        self.limit = limit
        self.longest = longest
        self.texts: dict[int, str] = {}
        self.random = random.Random(0)
        self.offered = 0

    def offer(self, row: int, text: str) -> None:
        """Takes the text of a row, perhaps instead of another one (reservoir sampling)."""
        if len(text) > self.longest:
            return
        self.offered += 1
        if len(self.texts) >= self.limit:
            if self.random.random() >= self.limit / self.offered:
                return
            del self.texts[self.random.choice(list(self.texts))]
        self.texts[row] = text


def verify_split(
    folder: Path,
    records: list[ShardRecord],
    encoder: Encoder,
    tokenizer: PreTrainedTokenizerFast,
    texts: dict[int, str],
) -> int:
    """Checks every shard's hash and counts, and the documents in `texts` (row -> text); gives how many it compared.

    The comparison goes through the tokenizer's public call, not through the one that wrote the data.
    Raises RunFailed naming the shard or the row that differs.
    """
    compared = 0
    for record in records:
        problem = damage(folder, record.info)
        if problem:
            raise RunFailed(f"reading back: {problem}; run the same command again to write it anew")
        with open_shard(folder, record.info) as reader:
            lengths = sample_lengths(reader)
            if (len(lengths), int(lengths.sum())) != (record.counts.samples, record.counts.tokens):
                raise RunFailed(f"reading back: '{folder}/{reader.raw_data.basename}' has other counts than written")
            for row, first, count in record.spot_checks:
                if row not in texts:
                    continue
                ids = encoder.unwrap([reader[index][COLUMN] for index in range(first, first + count)])
                fresh = tokenizer(texts[row], add_special_tokens=False, verbose=False)["input_ids"]
                if not np.array_equal(ids, fresh):
                    raise RunFailed(f"reading back: '{folder}' row {row} differs from a fresh tokenisation")
                compared += 1
    return compared
