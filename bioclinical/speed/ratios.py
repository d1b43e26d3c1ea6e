"""Ratios of two runs' throughputs, with their uncertainty."""

from typing import Any

import numpy as np
import pandas as pd

from bioclinical.errors import UserError
from bioclinical.speed.report import Report

RESAMPLES = 2000


def compare(a: Report, b: Report, allow_different: bool) -> str:
    """A table of b / a for each row that both have: above 1 the second run is faster.

    Rows are matched by data set and layout, by model too where a file holds several. Raises UserError for other
    hardware or another dtype unless allowed; then the difference stands above the table.
    """
    conditions = [{k: r[k] for k in ("device", "device_name", "dtype")} for r in (a, b)]
    for condition, report in zip(conditions, (a, b)):
        if report["device"] == "cpu":
            condition["threads"] = report["hardware"]["cpu_threads"]
    different = [
        f"{k}: {v} against {conditions[1].get(k)}" for k, v in conditions[0].items() if v != conditions[1].get(k)
    ]
    if different and not allow_different:
        raise UserError(f"--compare: {'; '.join(different)}. Such ratios mislead; --allow_different prints them")
    keys = ["dataset", "layout"] + ["model"] * (max(len(a["models"]), len(b["models"])) > 1)
    sides = [pd.DataFrame(report["results"] or {key: [] for key in keys}) for report in (a, b)]
    pairs = sides[0].merge(sides[1], on=keys, suffixes=("_a", "_b"))
    if pairs.empty:
        raise UserError("--compare: the two files have no data set and layout in common")
    columns = [f"{name}_{side}" for name in ("attention", "batch_size", "ktok_per_sec") for side in "ab"]
    shown = pairs[keys + columns].assign(ratio=pairs.ktok_per_sec_b / pairs.ktok_per_sec_a)
    shown[["low", "high"]] = [ratio_interval(pair) for pair in pairs.to_dict("records")]
    return "\n".join(
        [
            *(f"DIFFERENT {difference}" for difference in different),
            *(f"{side}: {', '.join(report['models'])}" for side, report in (("a", a), ("b", b))),
            shown.to_string(index=False, float_format=lambda value: f"{value:.3f}"),
            "ratio: b / a; low, high: 95 % bootstrap interval of the ratio of medians over each run's passes",
        ]
    )


def ratio_interval(pair: dict[str, Any]) -> list[float]:
    """2.5th and 97.5th percentile of the ratio of throughputs, the passes of both sides drawn anew."""
    rng = np.random.default_rng(0)
    draws = {side: rng.choice(pair[f"times_s_{side}"], (RESAMPLES, len(pair[f"times_s_{side}"]))) for side in "ab"}
    speeds = {side: pair[f"tokens_{side}"] / np.median(draws[side], axis=1) for side in "ab"}
    return np.percentile(speeds["b"] / speeds["a"], (2.5, 97.5)).tolist()
