"""Which split a document belongs to: decided by its key alone, so that no re-run and no added file ever moves it."""

import hashlib

from bioclinical.errors import UserError
from bioclinical.text.tables import TextRow

TRAIN, EVAL = "train", "eval"


def split_names(eval_fraction: float) -> tuple[str, ...]:
    """The splits to write. Raises UserError for a fraction outside [0, 1)."""
    if not 0 <= eval_fraction < 1:
        raise UserError(f"--eval_fraction {eval_fraction} is not allowed; 0 (no split) up to less than 1")
    return (TRAIN, EVAL) if eval_fraction else (TRAIN,)


def split_of(row: TextRow, eval_fraction: float) -> str:
    """The split of a row by the hash of its key, or of its text where it has no key.

    A larger fraction only moves documents from train to eval.
    """
    if not eval_fraction:
        return TRAIN
    key = (row.key or row.text).encode("utf-8", "surrogatepass")
    position = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2**64
    return EVAL if position < eval_fraction else TRAIN
