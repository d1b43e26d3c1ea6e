"""The JSON document that a run writes: its shape, reading it back, going on with it."""

import json
import math
from pathlib import Path
from typing import Any, TypedDict

from bioclinical.errors import UserError
from bioclinical.files import write_json

MUST_MATCH = ("config", "models", "device", "device_name", "dtype", "hardware", "versions")


class Row(TypedDict):
    """One model, data set and layout; times in seconds, over passes after one to warm up."""

    model: str
    weights: str
    load_s: float
    search_tries: int
    dataset: str
    layout: str
    attention: str
    compiled: bool
    batch_size: int
    reasons: dict[str, str]
    ktok_per_sec: float
    ktok_per_sec_nominal: float | None
    samples_per_sec: float
    ms_per_batch: float
    median_s: float
    mean_s: float
    sd_s: float | None
    p5_s: float
    p95_s: float
    times_s: list[float]
    samples: int
    tokens: int
    padding_share: float
    mfu: float | None
    peak_memory_bytes: int


class Failure(TypedDict):
    """A model and data set that could not be measured, and why."""

    model: str
    dataset: str
    error: str


class Document(TypedDict):
    """What a run was asked to do, where it ran, and what it measured. models: name -> hash of the content."""

    model: str | list[str]
    models: dict[str, str]
    device: str
    device_name: str
    dtype: str
    attention: str
    config: dict[str, Any]
    versions: dict[str, str]
    hardware: dict[str, Any]
    git_commit: str | None
    command: list[str]
    started_at: str
    complete: bool
    results: list[Row]
    failures: list[Failure]


# What tables, plots and ratios compute with.
NUMBERS = (
    "batch_size", "ktok_per_sec", "samples_per_sec", "ms_per_batch", "mean_s", "samples", "tokens", "padding_share",
    "peak_memory_bytes",
)  # fmt: skip
NUMBERS_OR_NONE = ("ktok_per_sec_nominal", "sd_s", "mfu")
WORDS = ("model", "dataset", "layout", "attention")


def read_document(path: Path) -> Document:
    """A document written by a run. Raises UserError where the file is none, or a damaged one."""
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        if is_document(document):
            return document
        reason = "other content"
    except (OSError, ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        reason = type(error).__name__
    raise UserError(f"'{path}' holds no result of this script ({reason}); name another file")


def is_document(value: Any) -> bool:
    """Whether a JSON value is a document. Raises AttributeError, KeyError or TypeError where it is far from one."""
    return (
        set(MUST_MATCH) <= value.keys()
        and isinstance(value["hardware"], dict)
        and isinstance(value["models"], dict)
        and isinstance(value["started_at"], str)
        and all(map(is_row, value["results"]))
    )


def is_row(value: Any) -> bool:
    """Whether a JSON value is a row."""
    return (
        all(isinstance(value[name], str) for name in WORDS)
        and all(is_number(value[name]) for name in NUMBERS)
        and all(value[name] is None or is_number(value[name]) for name in NUMBERS_OR_NONE)
        and len(value["times_s"]) > 0
        and all(is_number(seconds) and seconds > 0 for seconds in value["times_s"])
    )


def is_number(value: Any) -> bool:
    """Whether a JSON value is a finite number of zero or more."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def write_document(document: Document, path: Path | None) -> None:
    """Names the attentions that its rows used, and writes it, where a path is given."""
    if document["results"]:
        document["attention"] = ", ".join(sorted({row["attention"] for row in document["results"]}))
    if path:
        write_json(path, document)


def continued(path: Path, new: Document) -> Document:
    """The new document with what an earlier run measured. Raises UserError where that was under other conditions."""
    old = read_document(path)
    if differing := [name for name in MUST_MATCH if old[name] != new[name]]:
        raise UserError(f"--resume: '{path}' was measured with other {', '.join(differing)}; choose another --output")
    return new | {"results": old["results"], "started_at": old["started_at"]}
