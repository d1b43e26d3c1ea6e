"""What decides the bytes of a converted data set, beside the input and the tokenizer."""

import re
from dataclasses import dataclass, field

from bioclinical.errors import UserError
from bioclinical.text.tables import Format

# MDS keeps a sample's place in its shard in 32 bits.
LARGEST_SHARD_BYTES = 2**32 - 2**20
# Algorithms of streaming and the highest level of each (None: it has none).
COMPRESSIONS = {"br": (0, 11), "bz2": (1, 9), "gz": (0, 9), "snappy": None, "zstd": (1, 22)}


@dataclass(frozen=True)
class MdsSettings:
    """How rows become samples and shards."""

    format: Format = field(default_factory=Format)
    concat_tokens: int = 8192
    bos_text: str = "[CLS]"
    eos_text: str = "[SEP]"
    compression: str | None = None
    eval_fraction: float = 0.0
    size_limit: int = 1 << 26


def check_compression(name: str | None) -> None:
    """Raises UserError for a compression that streaming does not have; importing streaming to ask takes seconds."""
    match = re.fullmatch(r"([a-z0-9]+)(?::(\d{1,2}))?", name or "zstd")
    levels = COMPRESSIONS.get(match[1]) if match else None
    is_known = match is not None and match[1] in COMPRESSIONS
    if not is_known or (match[2] and (levels is None or not levels[0] <= int(match[2]) <= levels[1])):
        raise UserError(f"--compression {name} is unknown; e.g. zstd, zstd:7, gz, snappy, br:5")
