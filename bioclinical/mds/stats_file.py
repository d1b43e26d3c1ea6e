"""`<stem>.stats.json` beside a converted folder: what it is made of and from what; read back by later runs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError
from bioclinical.mds.counts import Counts


@dataclass(frozen=True)
class Stats:
    """What later runs want to know of a finished conversion."""

    identity: dict[str, Any]
    input_sha256: str
    skipped_rows: dict[str, int]
    counts: Counts


def read_stats(path: Path) -> Stats:
    """The file's content. Raises UserError where it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        skipped = {str(reason): int(count) for reason, count in content["skipped_rows"].items()}
        counts = Counts.from_json(content["counts"])
        return Stats(dict(content["identity"]), str(content["input_sha256"]), skipped, counts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        folder = path.with_name(path.name.removesuffix(".stats.json"))
        raise UserError(
            f"'{path}' is damaged; the shards in '{folder}' may be whole (pretraining_resources/inspect_mds.py tells). "
            f"To convert the input again, delete '{path}' and '{folder}', or choose another --out_dir"
        ) from error
