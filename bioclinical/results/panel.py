"""Results that may stand beside each other: one task, protocol and test set, a row for each model with its settings."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from bioclinical import problems
from bioclinical.files import sha256_of_json
from bioclinical.metrics.metric import Metric
from bioclinical.results.names import described_settings, model_names, row_names
from bioclinical.results.store import Result
from bioclinical.tasks.gold_spans import SpanCount


@dataclass(frozen=True)
class Row:
    """One model with its settings on one test set.

    name: the model's, with the settings that tell it from other rows of the same model. group: the hash that its runs
    share. runs, failed: finished and failed results, by seed. fallback: metric -> what a failed run counts as.
    """

    name: str
    model: str
    settings: str
    group: str
    runs: tuple[Result, ...]
    failed: tuple[Result, ...] = ()
    fallback: tuple[tuple[str, float], ...] = ()

    @property
    def selection(self) -> dict[str, Any] | None:
        """The record of the trials that this row was chosen from (results/selection.py)."""
        return next((run["selection"] for run in self.runs if "selection" in run), None)

    @property
    def seeds(self) -> list[int]:
        """Of the finished runs."""
        return [run["seed"] for run in self.runs]

    def scores(self, metric: Metric) -> np.ndarray:
        """The test score of each finished seed, then what the failed ones count as; empty where a run has none."""
        found = [run["metrics"]["test"].get(metric.name) for run in self.runs]
        if None in found or not found:
            return np.array([])
        fallback = dict(self.fallback).get(metric.name)
        return np.array(found + ([] if fallback is None else [fallback] * len(self.failed)), dtype=float)


@dataclass(frozen=True)
class Panel:
    """metrics: the task's, the official one first, as far as its results have them.

    baselines: name of a trivial system -> metric -> score; the first is what failed runs count as.
    """

    dataset: str
    protocol: str
    test_set: str
    metrics: tuple[Metric, ...]
    rows: tuple[Row, ...]
    baselines: dict[str, dict[str, float]]

    @property
    def baseline(self) -> dict[str, float]:
        """Of the first trivial system: metric -> score."""
        return next(iter(self.baselines.values()))

    @property
    def baseline_name(self) -> str:
        return next(iter(self.baselines))

    @property
    def official(self) -> Metric:
        return self.metrics[0]

    @cached_property
    def headline(self) -> list[Metric]:
        """What short tables show: the official metric and the task's other usual ones."""
        return [self.official, *(metric for metric in self.metrics[1:] if metric.is_headline)]

    @property
    def title(self) -> str:
        return f"{self.dataset}, protocol {self.protocol}, test set {self.test_set}"

    @property
    def gold_spans(self) -> SpanCount | None:
        """Of the test set, as its runs counted them; None where none did (other problems, older results)."""
        return next((c for row in self.rows for run in row.runs if (c := run.get("gold_spans", {}).get("test"))), None)

    def metric(self, name: str) -> Metric | None:
        return next((metric for metric in self.metrics if metric.name == name), None)


def panels(results: Sequence[Result], exclude_failed: bool = False) -> list[Panel]:
    """One panel per task, protocol and test set, in this order. exclude_failed: failed runs are named but not counted;
    otherwise they count as the trivial baseline, which is what they leave a user with."""
    names = model_names(results)
    grouped: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
    for result in results:
        grouped[result["dataset"], result["protocol"], test_set(result)].append(result)
    return [panel(key, grouped[key], names, exclude_failed) for key in sorted(grouped)]


def test_set(result: Result) -> str:
    """8 hex digits: the raw files and how many examples of them were taken."""
    return sha256_of_json([result["identity"]["raw_sha256"], result["config"].get("limit")])[:8]


def panel(key: tuple[str, str, str], results: Sequence[Result], names: dict[str, str], exclude_failed: bool) -> Panel:
    finished = [result for result in results if result["status"] == "finished"]
    metrics = metrics_of(finished or results)
    baselines = baselines_of(finished, metrics)
    baseline = next(iter(baselines.values()))
    groups: dict[str, list[Result]] = defaultdict(list)
    for result in sorted(results, key=lambda result: (names[result["identity"]["model_sha256"]], result["seed"])):
        groups[result["identity"]["group"]].append(result)
    rows = [
        Row(
            name="",
            model=names[runs[0]["identity"]["model_sha256"]],
            settings=described_settings(runs[0]["config"]),
            group=group,
            runs=tuple(run for run in runs if run["status"] == "finished"),
            failed=tuple(run for run in runs if run["status"] == "failed"),
            fallback=() if exclude_failed else tuple(baseline.items()),
        )
        for group, runs in groups.items()
    ]
    distinct = row_names([row.model for row in rows], [row.settings for row in rows])
    return Panel(*key, metrics, tuple(replace(row, name=name) for row, name in zip(rows, distinct)), baselines)


def metrics_of(results: Sequence[Result]) -> tuple[Metric, ...]:
    """The metrics that the results' problem has and any of them holds; the official one first, held or not."""
    newest = max(results, key=lambda result: result.get("schema", 1))
    all_metrics = problems.get(newest["problem"]).metrics(
        newest["labels"], newest.get("negative_label"), newest.get("metric")
    )
    held = {name for result in results for name in result["metrics"].get("test", {})}
    return tuple(metric for i, metric in enumerate(all_metrics) if i == 0 or metric.name in held)


def baselines_of(results: Sequence[Result], metrics: Sequence[Metric]) -> dict[str, dict[str, float]]:
    """What trivial systems score, by their names and the metrics'."""
    problem = problems.get(results[0]["problem"]) if results else problems.KINDS[0]
    stored = next((run["metrics"] for run in results if run["metrics"].get("baseline")), {"baseline": {}})
    found = {problem.baseline_name: stored["baseline"]} | stored.get("more_baselines", {})
    return {f"({name})": numbers(scores, metrics) for name, scores in found.items()}


def numbers(scores: dict[str, Any], metrics: Sequence[Metric]) -> dict[str, float]:
    """The finite scores of the metrics."""
    wanted = {metric.name: scores.get(metric.name) for metric in metrics}
    return {name: value for name, value in wanted.items() if isinstance(value, (int, float)) and math.isfinite(value)}
