"""Several MDS folders as one training set: which, and how many tokens of each an epoch has.

    dataset:
      streams:
        notes: {local: data/notes, proportion: 0.8}
        general: {local: data/general, proportion: 0.2}     # replay against forgetting

Shares count tokens: `proportion` of all streams' tokens together (they sum to 1), `repeat` times the stream's own, or
`choose` tokens. Proportions stand on all streams or on none; a stream without any is taken once.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.mds.index import read_index
from bioclinical.pretraining.recipe.duration import Duration
from bioclinical.pretraining.recipe.keys import key

SHARES = ("proportion", "repeat", "choose")
LARGEST_ERROR = 1e-6  # in the sum of proportions


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One folder; split: null for the dataset's."""

    local: str = key()
    split: str | None = key(None)
    proportion: float | None = key(None, above=0, at_most=1)
    repeat: float | None = key(None, above=0, at_most=10_000)
    choose: Duration | None = key(None, above=0)

    @property
    def share(self) -> str | None:
        """Which of SHARES is given."""
        return next((name for name in SHARES if getattr(self, name) is not None), None)


def expect_shares(name: str, streams: dict[str, Stream], is_training: bool) -> None:
    """Raises UserError where the shares of the section `name` do not go together or do not sum to 1."""
    for stream, keys in streams.items():
        given = [share for share in SHARES if getattr(keys, share) is not None]
        if len(given) > 1:
            raise UserError(f"{name}.{stream}: {' and '.join(given)} are given; give one of {', '.join(SHARES)}")
        if given and not is_training:
            raise UserError(f"{name}.{stream}.{given[0]}: each stream is evaluated whole, by itself; leave it out")
        if keys.choose and keys.choose.unit != "tok":
            raise UserError(f"{name}.{stream}.choose: '{keys.choose}' must be a number of tokens, e.g. 5_000_000tok")
    proportions = [keys.proportion for keys in streams.values()]
    if not any(proportions):
        return
    if None in proportions:
        without = next(stream for stream, keys in streams.items() if keys.proportion is None)
        raise UserError(f"{name}.{without} has no proportion; give it to all streams, or to none")
    if abs(sum(proportions) - 1) > LARGEST_ERROR:
        raise UserError(f"{name}: the proportions sum to {sum(proportions):g}; they must sum to 1")


def tokens_per_epoch(streams: dict[str, Stream], tokens: list[int]) -> list[int]:
    """How many tokens of each stream an epoch has. tokens: of each stream, all its documents once."""
    whole = sum(tokens)

    def one(keys: Stream, own: int) -> int:
        if keys.proportion is not None:
            return round(keys.proportion * whole)
        return keys.choose.value if keys.choose else round((keys.repeat or 1) * own)

    return [one(keys, own) for keys, own in zip(streams.values(), tokens)]


def expect_alike(folders: dict[str, Path]) -> None:
    """Raises UserError where streams store other columns or types, or were made by other tokenizers."""
    first: dict[str, tuple[str, str]] = {}
    for name, folder in folders.items():
        facts = {"columns": ", ".join(sorted({"/".join(map("=".join, columns(info))) for info in read_index(folder)}))}
        if tokenizer := stated_tokenizer(folder):
            facts["tokenizer"] = tokenizer
        for what, value in facts.items():
            other, expected = first.setdefault(what, (name, value))
            if value != expected:
                shown = f" ({expected} and {value})" if what == "columns" else ""
                raise UserError(f"the streams '{other}' and '{name}' have different {what}{shown}; convert both alike")


def columns(info: dict) -> list[tuple[str, str]]:
    return list(zip(info["column_names"], info["column_encodings"]))


def stated_tokenizer(folder: Path) -> str | None:
    """The hash of the tokenizer that a folder's conversions name; None where none does."""
    for path in sorted(folder.glob("*.stats.json")):
        try:
            return json.loads(path.read_text(encoding="utf-8"))["identity"]["tokenizer_sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
