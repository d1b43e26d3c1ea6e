"""Ratios of two runs' throughputs, with their uncertainty."""

import numpy as np
import pandas as pd

from bioclinical.errors import UserError
from bioclinical.speed.report import Report

CONDITIONS = ("device", "device_name", "dtype")
RESAMPLES = 2000


def compare(old: Report, new: Report, allow_different: bool) -> str:
    """A table of new / old for each row that both have: above 1 the second is faster.

    Rows are matched by data set and layout; by model too where a file holds several. Raises UserError for other
    hardware or another dtype, unless allowed: then the difference stands above the table.
    """
    different = [f"{name}: {old[name]} against {new[name]}" for name in CONDITIONS if old[name] != new[name]]
    threads = [report["hardware"]["cpu_threads"] for report in (old, new)]
    if old["device"] == new["device"] == "cpu" and threads[0] != threads[1]:
        different.append(f"cpu_threads: {threads[0]} against {threads[1]}")
    if different and not allow_different:
        raise UserError(f"--compare: {'; '.join(different)}; such ratios say little. --allow_different prints them")
    keys = ["dataset", "layout"] + ["model"] * (max(len(old["models"]), len(new["models"])) > 1)
    sides = [
        pd.DataFrame(report["results"] or [], columns=None if report["results"] else keys) for report in (old, new)
    ]
    pairs = sides[0].merge(sides[1], on=keys, suffixes=("_a", "_b"))
    if pairs.empty:
        raise UserError("--compare: the two files have no data set and layout in common")
    intervals = [ratio_interval(pair) for pair in pairs.to_dict("records")]
    shown = pairs[[*keys, "batch_size_a", "batch_size_b", "ktok_per_sec_a", "ktok_per_sec_b"]].assign(
        ratio=pairs.ktok_per_sec_b / pairs.ktok_per_sec_a,
        low=[low for low, _ in intervals],
        high=[high for _, high in intervals],
    )
    lines = [f"DIFFERENT {difference}" for difference in different]
    lines.append(f"a: {', '.join(old['models'])}\nb: {', '.join(new['models'])}")
    lines.append(shown.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    lines.append("ratio: b / a; low, high: 95 % bootstrap interval of the ratio of medians over each run's passes")
    return "\n".join(lines)


def ratio_interval(pair: dict) -> tuple[float, float]:
    """2.5th and 97.5th percentile of the ratio of throughputs, the passes of both sides drawn anew."""
    rng = np.random.default_rng(0)
    speed_a, speed_b = (
        pair[f"tokens_{side}"]
        / np.median(rng.choice(pair[f"times_s_{side}"], (RESAMPLES, len(pair[f"times_s_{side}"]))), axis=1)
        for side in "ab"
    )
    return tuple(np.percentile(speed_b / speed_a, (2.5, 97.5)))
