"""What a conversion tells when it is done."""

from dataclasses import dataclass

from bioclinical.mds.counts import Counts


@dataclass(frozen=True)
class Outcome:
    """A finished input: counts per split, rows skipped by reason, documents compared at the end."""

    stem: str
    counts: dict[str, Counts]
    skipped: dict[str, int]
    compared: int
    was_finished: bool = False
