"""Which documents a user does not want in a corpus."""

from dataclasses import dataclass
from typing import Literal

Method = Literal["exact", "minhash"]
OVERLAP_WORDS = 13  # the run of words by which GPT-3's authors recognised test texts (Brown et al. 2020, appendix C)
METHODS: tuple[Method, ...] = ("exact", "minhash")


@dataclass(frozen=True)
class Wanted:
    """What is to be left out.

    dedup: how duplicates are found, None: not at all.  exclude: files of texts that no document may overlap with, in
    the column `exclude_column`.
    """

    dedup: Method | None = None
    exclude: tuple[str, ...] = ()
    exclude_column: str = "text"

    def __bool__(self) -> bool:
        return bool(self.dedup or self.exclude)
