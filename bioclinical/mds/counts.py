"""Counts over written samples, which add up from shard to shard."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Counts:
    """Documents and samples of a shard or a data set; `lengths` maps 2^k to the samples of 2^k to 2^(k+1)-1 ids."""

    documents: int = 0
    documents_without_tokens: int = 0
    samples: int = 0
    tokens: int = 0
    lengths: Counter[int] = field(default_factory=Counter)

    def add_document(self, samples: list[np.ndarray]) -> None:
        """Counts one document of these samples (none: nothing was written for it)."""
        self.documents += bool(samples)
        self.documents_without_tokens += not samples
        self.samples += len(samples)
        for sample in samples:
            self.tokens += len(sample)
            self.lengths[1 << (len(sample).bit_length() - 1)] += 1

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.documents + other.documents,
            self.documents_without_tokens + other.documents_without_tokens,
            self.samples + other.samples,
            self.tokens + other.tokens,
            self.lengths + other.lengths,
        )

    def to_json(self) -> dict[str, Any]:
        """As a JSON object; lengths in rising order."""
        return vars(self) | {"lengths": {str(length): self.lengths[length] for length in sorted(self.lengths)}}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Counts":
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError where the value is none of it."""
        numbers = {name: int(value[name]) for name in ("documents", "documents_without_tokens", "samples", "tokens")}
        lengths = Counter({int(length): int(count) for length, count in value["lengths"].items()})
        return cls(**numbers, lengths=lengths)
