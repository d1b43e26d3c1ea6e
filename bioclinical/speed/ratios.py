"""Ratios of two runs' throughputs, with their uncertainty."""

from typing import Any

import numpy as np
import pandas as pd

from bioclinical.errors import UserError
from bioclinical.speed.document import Document

RESAMPLES = 2000


def ratio_table(a: Document, b: Document, allow_different: bool) -> str:
    """A table of b / a for each row that both have: above 1 the second run is faster.

    Rows are matched by data set and layout, by model too where a file holds several. Raises UserError for other
    hardware or another dtype unless allowed; then the difference stands above the table.
    """
    different = differences(a, b)
    if different and not allow_different:
        raise UserError(f"--compare: {'; '.join(different)}. Such ratios mislead; --allow_different prints them")
    pairs = matched_rows(a, b)
    if pairs.empty:
        raise UserError("--compare: the two files have no data set and layout in common")
    return "\n".join(
        [
            *(f"DIFFERENT {difference}" for difference in different),
            f"a: {', '.join(a['models'])}",
            f"b: {', '.join(b['models'])}",
            pairs.to_string(index=False, float_format=lambda value: f"{value:.3f}"),
            "ratio: b / a; low, high: 95 % bootstrap interval of the ratio of medians over each run's passes",
        ]
    )


def differences(a: Document, b: Document) -> list[str]:
    """The conditions under which the runs differ, each as "name: value of a against value of b"."""
    of_a, of_b = conditions(a), conditions(b)
    return [f"{name}: {value} against {of_b.get(name)}" for name, value in of_a.items() if value != of_b.get(name)]


def conditions(document: Document) -> dict[str, Any]:
    """What must be equal for speeds to be comparable: the device, the dtype, and the threads of a CPU."""
    found = {name: document[name] for name in ("device", "device_name", "dtype")}
    if document["device"] == "cpu":
        found["threads"] = document["hardware"].get("cpu_threads")
    return found


def matched_rows(a: Document, b: Document) -> pd.DataFrame:
    """The rows that both have, side by side, with the ratio of their throughputs and its interval."""
    keys = ["dataset", "layout"]
    if max(len(a["models"]), len(b["models"])) > 1:
        keys.append("model")
    left, right = (pd.DataFrame(document["results"] or {key: [] for key in keys}) for document in (a, b))
    pairs = left.merge(right, on=keys, suffixes=("_a", "_b"))
    if pairs.empty:
        return pairs
    columns = [f"{name}_{side}" for name in ("attention", "batch_size", "ktok_per_sec") for side in "ab"]
    shown = pairs[keys + columns].assign(ratio=pairs.ktok_per_sec_b / pairs.ktok_per_sec_a)
    intervals = [
        ratio_interval(pair["tokens_a"], pair["times_s_a"], pair["tokens_b"], pair["times_s_b"])
        for pair in pairs.to_dict("records")
    ]
    return shown.assign(low=[low for low, _ in intervals], high=[high for _, high in intervals])


def ratio_interval(tokens_a: int, times_a: list[float], tokens_b: int, times_b: list[float]) -> tuple[float, float]:
    """2.5th and 97.5th percentile of the ratio of throughputs, the passes (seconds) of both sides drawn anew."""
    rng = np.random.default_rng(0)
    speed_a = tokens_a / np.median(rng.choice(times_a, (RESAMPLES, len(times_a))), axis=1)
    speed_b = tokens_b / np.median(rng.choice(times_b, (RESAMPLES, len(times_b))), axis=1)
    low, high = np.percentile(speed_b / speed_a, (2.5, 97.5)).tolist()
    return low, high
