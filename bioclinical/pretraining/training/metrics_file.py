"""metrics.jsonl of a run folder: a line per batch and evaluation, with the batch's number and the token clock."""

import json
from pathlib import Path

FILE = "metrics.jsonl"


def read_metrics(folder: Path) -> list[dict[str, float]]:
    """The metrics of a run, in order; a line cut by a kill is left out."""
    records = []
    for line in (folder / FILE).read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records
