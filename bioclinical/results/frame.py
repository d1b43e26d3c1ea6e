"""Everything that tables are made of, unrounded, for the CSV."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from bioclinical.metrics.metric import Metric
from bioclinical.results.compare import Comparison, Measured
from bioclinical.results.panel import Row

FRONT = ["dataset", "protocol", "test_set", "model", "settings", "metric", "official", "mean", "sd"]


def frame(all_measured: Sequence[Measured], comparisons: Sequence[Comparison] = ()) -> pd.DataFrame:
    """Every metric of every row, unrounded; percent where tables show percent."""
    compared = {(c.other.group, c.metric.name): c for c in comparisons}
    rows = []
    for measured in all_measured:
        panel = measured.panel
        key = {"dataset": panel.dataset, "protocol": panel.protocol, "test_set": panel.test_set}
        for metric in panel.metrics:
            about = key | {"metric": metric.name, "official": metric is panel.official}
            for row in panel.rows:
                found = compared.get((row.group, metric.name))
                rows.append(about | row_values(measured, row, metric) | difference_values(found))
            for name, scores in panel.baselines.items():
                if metric.name in scores:
                    value = scores[metric.name] * scale(metric)
                    rows.append(about | {"model": name, "mean": value, "n": 1, "failed": 0})
    found = pd.DataFrame(rows)
    return found[FRONT + [column for column in found if column not in FRONT]]


def scale(metric: Metric) -> float:
    return 100.0 if metric.in_percent else 1.0


def row_values(measured: Measured, row: Row, metric: Metric) -> dict[str, Any]:
    scores = row.scores(metric) * scale(metric)
    values = {"model": row.model, "settings": row.settings, "group": row.group, "n": len(scores)}
    values |= {"failed": len(row.failed), "seeds": " ".join(map(str, row.seeds)), "parameters": parameters(row)}
    if len(scores):
        values |= {"mean": scores.mean(), "median": np.median(scores), "min": scores.min(), "max": scores.max()}
        values |= {"sd": scores.std(ddof=1) if len(scores) > 1 else math.nan}
    if estimate := measured.estimate(row, metric):
        bounds = [np.clip(b, metric.low, metric.high) for b in (estimate.interval, estimate.document_interval)]
        names = ("low", "high", "document_low", "document_high")
        values |= dict(zip(names, np.concatenate(bounds) * scale(metric)))
    return values


def difference_values(found: Comparison | None) -> dict[str, Any]:
    if found is None:
        return {}
    estimate = found.estimate
    numbers = [estimate.value, *estimate.interval, *estimate.document_interval]
    names = ("", "_low", "_high", "_document_low", "_document_high")
    values = {f"difference{name}": scale(found.metric) * number for name, number in zip(names, numbers)}
    values |= {"p": estimate.p, "p_holm": found.p_holm, "degrees_of_freedom": estimate.freedom}
    return values | {"needs": found.needs, "reference": found.reference.name}


def parameters(row: Row) -> int | None:
    """Of the model with its head, where the runs stored it."""
    return next((run["parameters"] for run in row.runs if run.get("parameters")), None)
