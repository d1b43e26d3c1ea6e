"""Over several splits of one dataset (`--split_seed`) or its folds: how much the split itself decides.

Each split is another test set, so its scores are first averaged over training seeds; the splits are then the sample.
Both models of a comparison have the same splits, so they are paired by split. Random splits share training and test
examples, which makes their scores look more alike than new data would be: the variance is corrected by the ratio of
test to training examples (Nadeau and Bengio 2003).
"""

import math
import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from bioclinical.metrics.metric import Metric
from bioclinical.results.names import row_names
from bioclinical.results.panel import Panel, Row
from bioclinical.results.significance import FEWEST_SEEDS, Estimate
from bioclinical.results.table import NONE, Cell, Table, interval, p_value

SPLIT_OF_LABEL = re.compile(r"-(split|fold)\d+")  # as in tasks.splits.Protocol.label


def split_tables(panels: Sequence[Panel], reference: str | None = None) -> list[Table]:
    """One table per dataset and protocol that has several splits."""
    families: dict[tuple[str, str], list[Panel]] = defaultdict(list)
    for panel in panels:
        families[panel.dataset, SPLIT_OF_LABEL.sub("", panel.protocol)].append(panel)
    return [split_table(key, family, reference) for key, family in families.items() if len(family) > 1]


def split_table(key: tuple[str, str], family: Sequence[Panel], reference: str | None) -> Table:
    """A row for each model with its settings: mean over splits, their spread beside that of the training seeds."""
    metric = family[0].official
    splits = rows_by_split(family, metric)
    names = row_names([model for model, _ in splits], [settings for _, settings in splits])
    base = next(
        (own for (model, _), name, own in zip(splits, names, splits.values()) if reference in (model, name)), None
    )
    columns = ["model", metric.name, "95 %", "sd over splits", "sd over seeds", "splits"]
    columns += [f"difference to {reference}", "95 %", "p"] if base else []
    rows = []
    for name, own in zip(names, splits.values()):
        means = np.array([row.scores(metric).mean() for _, row in own.values()])
        cells = [name, metric.display(means.mean()), interval(metric, over_splits(means, own).interval)]
        cells += [spread(metric, means), seed_spread(metric, own), str(len(own))]
        if base:
            cells += [NONE] * 3 if own is base else paired(metric, base, own)
        rows.append([Cell(text) for text in cells])
    note = "intervals and p over splits, variance corrected for examples that splits share (Nadeau and Bengio 2003)"
    return Table(f"{key[0]}, protocol {key[1]}, {len(family)} splits", columns, rows, [note])


SplitRows = dict[str, tuple[Panel, Row]]  # protocol label -> the row's panel and the row


def rows_by_split(family: Sequence[Panel], metric: Metric) -> dict[tuple[str, str], SplitRows]:
    """(model, settings) -> its row in each split that it was scored on."""
    found: dict[tuple[str, str], SplitRows] = defaultdict(dict)
    for panel in family:
        for row in panel.rows:
            if len(row.scores(metric)):
                found[row.model, row.settings][panel.protocol] = panel, row
    return found


def over_splits(values: np.ndarray, splits: SplitRows) -> Estimate:
    """The mean of one value per split, corrected for what the splits share."""
    if len(values) < 2:
        return Estimate(float(values.mean()), (), math.nan, len(values))
    sizes = [row.runs[0]["splits"] for _, row in splits.values() if "splits" in row.runs[0]]
    ratio = np.mean([size["test"]["examples"] / size["train"]["examples"] for size in sizes]) if sizes else 0.0
    variance = (1 / len(values) + float(ratio)) * values.var(ddof=1)
    return Estimate(float(values.mean()), ((variance, len(values) - 1),), math.nan, len(values))


def spread(metric: Metric, values: np.ndarray) -> str:
    return metric.display(values.std(ddof=1)) if len(values) > 1 else NONE


def seed_spread(metric: Metric, splits: SplitRows) -> str:
    """The standard deviation between seeds within a split, pooled."""
    variances = [row.scores(metric).var(ddof=1) for _, row in splits.values() if len(row.scores(metric)) > 1]
    return metric.display(math.sqrt(np.mean(variances))) if variances else NONE


def paired(metric: Metric, reference: SplitRows, other: SplitRows) -> list[str]:
    """Difference, interval and p over the splits that both have."""
    shared = [split for split in other if split in reference]
    if len(shared) < 2:
        return [NONE] * 3
    gaps = np.array([other[s][1].scores(metric).mean() - reference[s][1].scores(metric).mean() for s in shared])
    found = over_splits(gaps, {s: other[s] for s in shared})
    p = p_value(found.p) if len(shared) >= FEWEST_SEEDS else f"needs {FEWEST_SEEDS} splits"
    sign = "+" if found.value >= 0 else ""
    return [sign + metric.display(found.value), interval(metric, found.interval, limited=False), p]
