"""The journal of an unfinished conversion: what it has achieved, so that the next run goes on from there."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioclinical.files import write_text
from bioclinical.mds.counts import Counts
from bioclinical.mds.index import ShardInfo, check_info, is_count

SpotCheck = tuple[int, int, int]  # row, first sample in the shard, samples


@dataclass
class ShardRecord:
    """A complete shard: its entry for the index, and what it holds of the input.

    Every row of its split before `next_row` is in this shard or an earlier one. `spot_checks` are some of its
    documents, for the comparison at the end.
    """

    next_row: int
    info: ShardInfo
    counts: Counts
    spot_checks: list[SpotCheck]

    def to_json(self) -> dict[str, Any]:
        return vars(self) | {"counts": self.counts.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "ShardRecord":
        """The inverse of `to_json`. Raises KeyError, TypeError or ValueError where the value is no record."""
        check_info(value["info"])
        spot_checks = value["spot_checks"]
        if not is_count(value["next_row"]) or not all(is_count(n) for check in spot_checks for n in check):
            raise ValueError("next_row, spot_checks")
        return cls(
            next_row=value["next_row"],
            info=value["info"],
            counts=Counts.from_json(value["counts"]),
            spot_checks=[(row, first, count) for row, first, count in spot_checks],
        )


@dataclass
class Journal:
    """What an unfinished conversion has achieved, kept in a file beside the output and replaced atomically.

    settings: what the conversion was asked to do. shards: the complete ones by split.
    counts_file_bytes: the size of the token counts file just before this input's line was added to it.
    """

    path: Path
    settings: dict[str, Any]
    shards: dict[str, list[ShardRecord]]
    counts_file_bytes: int | None = None

    def save(self) -> None:
        """Writes the journal; a reader sees the former state or the new one."""
        shards = {split: [record.to_json() for record in records] for split, records in self.shards.items()}
        content = {"settings": self.settings, "shards": shards, "counts_file_bytes": self.counts_file_bytes}
        write_text(self.path, json.dumps(content))

    @classmethod
    def load(cls, path: Path) -> "Journal | None":
        """The journal at `path`, if there is one. Raises ValueError where it is damaged."""
        if not path.exists():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            shards = {split: [ShardRecord.from_json(v) for v in values] for split, values in content["shards"].items()}
            settings, size = content["settings"], content["counts_file_bytes"]
            if not isinstance(settings, dict) or not (size is None or is_count(size)):
                raise TypeError("settings, counts_file_bytes")
            return cls(path, settings, shards, size)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"'{path}' is no journal") from error
