"""Published scores of other models, to be shown beside measured ones and never compared with them."""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("reported.json")


@dataclass(frozen=True)
class Reported:
    """A model's printed scores by task, percent, as text: nothing is computed from them."""

    name: str
    source: str
    scores: dict[str, str]
    overall: str | None = None


def reported(suite: str) -> list[Reported]:
    """What is printed of a suite, in the file's order."""
    entries = json.loads(FILE.read_text(encoding="utf-8"))
    return [
        Reported(f"{entry['model']} (reported)", entry["source"], entry["scores"], entry.get("overall"))
        for entry in entries
        if entry["suite"] == suite
    ]
