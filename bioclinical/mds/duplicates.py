"""Which documents of a corpus repeat an earlier one, exactly or nearly.

Near duplicates are found as datatrove finds them (huggingface/datatrove, pipeline/dedup/minhash.py): MinHash over runs
of 5 words, 14 bands of 8 values; two documents whose shares of common runs are s land in a common band with
probability 1 - (1 - s^8)^14, 0.92 at s = 0.8 and 0.05 at s = 0.5. Documents that are joined by bands, directly or by
way of others, are one cluster, of which the first in reading order is kept.
"""

import hashlib
from array import array
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bioclinical.errors import UserError
from bioclinical.mds.wanted import Method
from bioclinical.text.ngrams import ngram_hashes, words_of

SHINGLE_WORDS, BANDS, ROWS_PER_BAND, SEED = 5, 14, 8, 1
SHINGLES_AT_ONCE = 20_000  # 18 MB, however long a document is


def key_of(data: bytes) -> int:
    """64 bits by which equal bytes are recognised; two of 10 million documents agree by chance with p < 1e-5."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


class Signer:
    """A text -> its keys: documents that have one in common, in the same place, are duplicates."""

    def __init__(self, method: Method):
        """Raises UserError where the library that MinHash comes from is not installed."""
        self.keys_per_document = 1
        self.empty = None
        if method == "minhash":
            try:
                from datasketch import MinHash
            except ImportError as error:
                raise UserError(
                    "--dedup minhash needs datasketch, which is not installed: pip install 'bioclinical[duplicates]'; "
                    "--dedup exact needs nothing"
                ) from error
            self.keys_per_document += BANDS
            # Hashes go in, not texts: the n-grams are hashed already.
            self.empty = MinHash(BANDS * ROWS_PER_BAND, seed=SEED, scheme="affine64", hashfunc=int)

    def keys(self, text: str) -> list[int]:
        """That of the normalised text, then those of the bands."""
        words = words_of(text)
        if not words:  # signs only: nothing is left of it to compare but itself
            return [key_of(text.encode("utf-8"))] * self.keys_per_document
        keys = [key_of(" ".join(words).encode("utf-8"))]
        if self.empty is not None:
            keys += self.band_keys(words)
        return keys

    def band_keys(self, words: list[str]) -> list[int]:
        """A key for each band of the signature. A text of fewer than five words is one run."""
        shingles = np.unique(ngram_hashes(words, min(SHINGLE_WORDS, len(words))))
        signature = self.empty.copy()
        for start in range(0, len(shingles), SHINGLES_AT_ONCE):
            signature.update_batch(shingles[start : start + SHINGLES_AT_ONCE].tolist())
        bands = signature.hashvalues.astype("<u8").reshape(BANDS, ROWS_PER_BAND)
        return [key_of(band.tobytes()) for band in bands]


@dataclass
class Documents:
    """The keys of all documents in reading order: 8 bytes each for exact duplicates, 120 for near ones."""

    keys_per_document: int
    keys: array = field(default_factory=lambda: array("Q"))

    def add(self, keys: list[int]) -> None:
        self.keys.extend(keys)

    def __len__(self) -> int:
        return len(self.keys) // self.keys_per_document

    def clusters(self) -> "Clusters":
        """Who repeats whom."""
        keys = np.frombuffer(self.keys, np.uint64).reshape(-1, self.keys_per_document)
        edges = np.concatenate([equal_pairs(column) for column in keys.T], axis=1)
        graph = coo_array((np.ones(edges.shape[1], bool), edges), shape=(len(keys), len(keys)))
        _, cluster = connected_components(graph, directed=False)
        return Clusters(first_of_its(cluster), first_of_its(keys[:, 0]))


@dataclass(frozen=True)
class Clusters:
    """For every document the first one of its cluster, and the first one of the same text: (documents,) int64 each."""

    first: np.ndarray
    first_equal: np.ndarray

    def repeats_exactly(self) -> np.ndarray:
        """(documents,) bool: there is an earlier document of the same text."""
        return self.first_equal != np.arange(len(self.first))

    def repeats(self) -> np.ndarray:
        """(documents,) bool: there is an earlier document in the cluster."""
        return self.first != np.arange(len(self.first))


def equal_pairs(keys: np.ndarray) -> np.ndarray:
    """(2, pairs) int64: pairs of places that hold the same key, enough of them to join all that do."""
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    return np.stack([order[:-1][same], order[1:][same]])


def first_of_its(groups: np.ndarray) -> np.ndarray:
    """For every place the first place of the same group."""
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    return first[group]
