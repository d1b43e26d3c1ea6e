"""From stored predictions to what significance.py needs: each run's score, and its score without each document.

Predictions are read once a run, tabulated for every metric that is wanted, and let go.
"""

import hashlib
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from bioclinical.errors import UserError
from bioclinical.metrics.metric import Metric, Predictions, SummableMetric
from bioclinical.results.panel import Panel, Row
from bioclinical.results.significance import Sample
from bioclinical.results.store import Result, read_predictions
from bioclinical.tasks.example import group_of

MOST_PARTS = 100  # into which the units are put where a metric must be computed anew for each
TOLERANCE = 1e-6


@dataclass(frozen=True)
class RunScores:
    """One run under one metric. left_out: (parts,), the score without each part of the units; units, scored: hashes of
    the units' names and of what was scored of them, which runs must share to be compared; units_count: how many."""

    score: float
    left_out: np.ndarray
    units: str
    units_count: int
    scored: str


Key = tuple[str, str]  # a result's path and a metric's name
Read = dict[Key, RunScores | UserError]


def read_runs(panel: Panel, rows: Sequence[Row], metrics: Sequence[Metric]) -> Read:
    """Every finished run of the rows under each metric; a UserError instead where its predictions cannot be used."""
    runs = [run for row in rows for run in row.runs]
    found: Read = {}
    for run in tqdm(runs, desc=f"predictions of {panel.dataset}", disable=not sys.stderr.isatty(), leave=False):
        found |= run_scores(run, metrics)
    return found


def run_scores(run: Result, metrics: Sequence[Metric]) -> Read:
    """One run under each metric."""
    try:
        predictions = read_predictions(run)
    except UserError as error:
        return {(run["path"], metric.name): error for metric in metrics}
    found: Read = {}
    for metric in metrics:
        try:
            found[run["path"], metric.name] = scores_of(run, metric, predictions)
        except UserError as error:
            found[run["path"], metric.name] = error
    return found


def scores_of(run: Result, metric: Metric, predictions: Predictions) -> RunScores:
    """Raises UserError where the predictions do not give the stored score."""
    changed = UserError(f"the predictions beside '{run['path']}' do not give its {metric.name}; they were changed")
    if not predictions or any(key not in prediction for prediction in predictions for key in ("id", "gold")):
        raise changed
    if not metric.is_computable(predictions):
        raise UserError(f"the predictions beside '{run['path']}' lack what {metric.name} is computed from")
    try:
        units, score, left_out = jackknife(metric, predictions)
    except (KeyError, TypeError, ValueError, IndexError) as error:  # from the values in the file
        raise changed from error
    if not math.isclose(score, run["metrics"]["test"].get(metric.name, math.nan), abs_tol=TOLERANCE):
        raise changed
    scored = sorted((str(p["id"]), repr(metric.scored_part(p))) for p in predictions)
    return RunScores(score, left_out, digest(units), len(units), digest(text for pair in scored for text in pair))


def jackknife(metric: Metric, predictions: Predictions) -> tuple[list[str], float, np.ndarray]:
    """The units' names, the score, and the score without each unit; without each of at most 100 parts of them where
    the metric is no function of sums."""
    if isinstance(metric, SummableMetric):
        units, table = metric.tabulate(predictions)
        sums = table.sum(axis=0)
        return units, float(metric.of_sums(sums)), np.atleast_1d(metric.of_sums(sums - table))
    units = sorted({group_of(prediction) for prediction in predictions})
    part_of = {unit: i * min(MOST_PARTS, len(units)) // len(units) for i, unit in enumerate(units)}
    numbers = np.array([part_of[group_of(prediction)] for prediction in predictions])
    left_out = [
        metric.score([predictions[i] for i in np.flatnonzero(numbers != part)] or predictions)
        for part in range(numbers.max() + 1)
    ]
    return units, metric.score(predictions), np.array(left_out)


def digest(texts: Iterable[str]) -> str:
    """A hash of texts in their order."""
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()


def sample(row: Row, metric: Metric, read: Read) -> Sample:
    """A row's runs under a metric. Failed runs count as the row says, without variation over documents.

    Raises UserError where there is no run, or one that cannot be used.
    """
    runs = [read[run["path"], metric.name] for run in row.runs]
    if not runs:
        raise UserError(f"'{row.name}' has no finished run")
    for run in runs:
        if isinstance(run, UserError):
            raise run
        if run.units != runs[0].units:
            raise UserError(f"the seeds of '{row.name}' were tested on different documents")
    if runs[0].units_count < 2:
        raise UserError(f"'{row.name}' was tested on a single document (or patient); nothing varies over documents")
    scores = row.scores(metric)
    counted = len(scores) - len(runs)
    left_out = np.stack([run.left_out for run in runs] + [np.full_like(runs[0].left_out, scores[-1])] * counted, axis=1)
    return Sample(scores, left_out)


def require_same_test(panel: Panel, reference: Row, other: Row, metric: Metric, read: Read) -> None:
    """Raises UserError where two rows, whose runs were all read, were not scored on the same things."""
    runs = [read[run["path"], metric.name] for row in (reference, other) for run in row.runs]
    names = f"'{other.name}' and '{reference.name}'"
    if len({run.units for run in runs}) > 1:
        counts = " and ".join(f"{count:,}" for count in sorted({run.units_count for run in runs}))
        raise UserError(f"{names} were tested on different documents ({counts}); their scores cannot be compared")
    if len({run.scored for run in runs}) == 1:
        return
    if scores_all_gold(metric):
        raise UserError(f"{names} were tested against different gold answers; their scores cannot be compared")
    others = ", ".join(m.name for m in panel.metrics if type(m) is type(metric) and scores_all_gold(m))
    raise UserError(
        f"{metric.name} scores what a model saw, and {names} saw different words"
        + (f"; these can be compared: {others}" if others else "")
    )


def scores_all_gold(metric: Metric) -> bool:
    """Whether a metric scores the whole gold, whatever the model saw of the text."""
    return metric.scored_part({"gold": ["O"], "seen": []}) == ["O"]
