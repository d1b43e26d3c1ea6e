"""How often each way to compare two models is wrong, in studies whose truth is known: the choice of significance.py.

python benchmarks/statistics_level.py [--studies 2000] [--processes 2] [--out benchmarks/results/statistics_level.json]
python benchmarks/statistics_level.py --picture docs/statistics_level.png

A simulated study tests two models, each with several seeds, on one set of documents. Whether a run gets an item right
depends on how hard the document is (shared by both models), on what this model finds hard, on the seed (a shift of its
quality, with the stated standard deviation in points) and on noise of this seed on this document. Without a true
difference, the share of studies with p < 0.05 is the false-positive rate; with one, it is the power.
"""

import argparse
import itertools
import json
import math
import multiprocessing
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit
from statistics_methods import METHODS, Moments, by_sum

from bioclinical.errors import run_cli
from bioclinical.files import write_json
from bioclinical.metrics.classification import Accuracy, LabelF1
from bioclinical.metrics.entities import EntityScore
from bioclinical.metrics.metric import SummableMetric
from bioclinical.results import significance
from bioclinical.results.significance import LEVEL, satterthwaite

QUALITY = 0.8  # share of items right
SHARES = {"document": 0.45, "model": 0.25, "run": 0.30}  # of the latent variance: what makes an item hard
ANSWERS_AT_ONCE = 400_000  # items times seeds that are simulated together
TASKS = 5  # of the simulated suite
LABELS = ("r1", "r2", "r3", "r4", "r5", "false")
PRIOR = np.array([0.04, 0.11, 0.02, 0.03, 0.08, 0.72])  # about ChemProt's
FALSE_ALARM = 0.6  # share of missed entities in whose place a wrong one is predicted


@dataclass(frozen=True)
class Study:
    """seed_sd: standard deviation between seeds, in points of the metric (one per model). gap: quality of the second
    model minus the first's, in points. repeatable: a seed does the same as all others, noise included. pairing: the
    correlation of what equal seeds do to both models."""

    metric: str
    documents: int
    seeds: tuple[int, int]
    seed_sd: tuple[float, float]
    gap: float = 0.0
    repeatable: bool = False
    pairing: float = 0.0


METRICS: dict[str, SummableMetric] = {
    "accuracy": Accuracy(),
    "micro_f1_5": LabelF1(name="micro_f1_5", labels=LABELS, average="micro", scored=LABELS[:-1]),
    "macro_f1": LabelF1(name="macro_f1", labels=LABELS, average="macro"),
    "entity_f1": EntityScore(name="f1"),
}


def latent_shift(metric: str, points: float) -> float:
    """The shift of the latent quality that moves the metric by so many points, near QUALITY."""
    near = expected_sums(metric, ndtr(ndtri(QUALITY) + np.array([-0.01, 0.01])))
    slope = np.diff(METRICS[metric].of_sums(near)).item() / 0.02
    return points / 100 / slope


def draw(study: Study, rng: np.random.Generator, studies: int = 1) -> list[np.ndarray]:
    """For each model, the table (studies, documents, seeds, ...) of what the metric sums."""
    documents = studies * study.documents
    items = 1 + rng.poisson(rng.gamma(1.0, 4.0, documents)) if study.metric == "entity_f1" else 1
    owner = np.repeat(np.arange(documents), items)  # the document of each item
    hard = math.sqrt(SHARES["document"]) * normal(rng, documents)[owner]
    gold = rng.choice(len(LABELS), size=len(owner), p=PRIOR)
    tables, effect = [], np.zeros((studies, study.seeds[0]))
    for seeds, seed_sd, gap in zip(study.seeds, study.seed_sd, (0.0, study.gap)):
        own = hard + math.sqrt(SHARES["model"]) * normal(rng, len(owner))
        shape = (len(owner), 1 if study.repeatable else seeds)
        noise, other = normal(rng, shape), rng.integers(1, len(LABELS), size=shape, dtype=np.int8)
        shift, spread = (latent_shift(study.metric, points) for points in (gap, seed_sd))
        effect = study.pairing * effect if study.pairing and tables else np.zeros((studies, seeds))
        effect = effect + math.sqrt(1 - study.pairing**2 if tables else 1) * rng.normal(size=(studies, seeds))
        quality = (ndtri(QUALITY) + shift + spread * effect)[owner // study.documents]
        right = own[:, None] + math.sqrt(SHARES["run"]) * noise < quality
        table = tabulate(study, right, gold, np.broadcast_to(other, right.shape), owner)
        tables.append(table.reshape(studies, study.documents, *table.shape[1:]))
    return tables


def normal(rng: np.random.Generator, size: Any) -> np.ndarray:
    return rng.standard_normal(size, dtype=np.float32)


def tabulate(study: Study, right: np.ndarray, gold: np.ndarray, other: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """right: (items, seeds); gold: (items,) label ids; other: what is predicted instead; owner: an item's document."""
    if study.metric == "accuracy":
        return np.stack([right, np.ones_like(right)], axis=-1).astype(float)
    if study.metric == "entity_f1":
        alarms = right | (other / len(LABELS) <= FALSE_ALARM)
        counts = np.stack([right, alarms, np.ones_like(right)], axis=-1).astype(float)
        return np.add.reduceat(counts, np.flatnonzero(np.diff(owner, prepend=-1)), axis=0)
    gold = np.broadcast_to(gold[:, None], right.shape)
    predicted = np.where(right, gold, (gold + other) % len(LABELS))
    if study.metric == "micro_f1_5":  # a micro average sums over labels: `false`, the last one, is not among them
        scored = [values != len(LABELS) - 1 for values in (gold, predicted)]
        return np.stack([right & scored[0], scored[1], scored[0]], axis=-1)[..., None, :].astype(float)
    one_hot = [values[..., None] == np.arange(len(LABELS)) for values in (gold, predicted)]
    return np.stack([one_hot[0] & one_hot[1], one_hot[1], one_hot[0]], axis=-1).astype(float)


def moments(tables: Sequence[np.ndarray], metric: SummableMetric) -> Moments:
    """From tables (studies, documents, seeds, ...) of both models."""
    scores, deviations = [], []
    for table in tables:
        sums = table.sum(axis=1, keepdims=True)
        left_out = metric.of_sums(sums - table)
        scores.append(metric.of_sums(sums[:, 0]))
        deviations.append(left_out - left_out.mean(axis=1, keepdims=True))
    documents = tables[0].shape[1]
    runs = np.concatenate(deviations, axis=2) * math.sqrt((documents - 1) / documents)
    return Moments((scores[0], scores[1]), runs.transpose(0, 2, 1) @ runs, documents)


def true_difference(study: Study) -> float:
    """Of the metric on infinitely many documents, averaged over seeds."""
    quantiles = ndtri((np.arange(400) + 0.5) / 400)
    means = []
    for seed_sd, gap in zip(study.seed_sd, (0.0, study.gap)):
        shift, spread = (latent_shift(study.metric, points) for points in (gap, seed_sd))
        right = ndtr(ndtri(QUALITY) + shift + spread * quantiles)
        means.append(METRICS[study.metric].of_sums(expected_sums(study.metric, right)).mean())
    return float(means[1] - means[0])


def expected_sums(metric: str, right: np.ndarray) -> np.ndarray:
    """What the metric sums, per item, at each share of right items."""
    if metric == "accuracy":
        return np.stack([right, np.ones_like(right)], axis=-1)
    if metric == "entity_f1":
        alarms = np.mean([other / len(LABELS) <= FALSE_ALARM for other in range(1, len(LABELS))])
        return np.stack([right, right + alarms * (1 - right), np.ones_like(right)], axis=-1)
    wrong = (1 - PRIOR) / (len(LABELS) - 1)  # an error takes each other label equally often
    predicted = right[:, None] * PRIOR + (1 - right[:, None]) * wrong
    counts = np.stack([right[:, None] * PRIOR, predicted, np.broadcast_to(PRIOR, predicted.shape)], axis=-1)
    return counts[:, :-1] if metric == "micro_f1_5" else counts


def batches(study: Study, studies: int) -> Iterator[int]:
    """Numbers of studies that fit into memory at once."""
    items = study.documents * max(study.seeds) * (5 if study.metric == "entity_f1" else 1)
    size = max(1, ANSWERS_AT_ONCE // items)
    for start in range(0, studies, size):
        yield min(size, studies - start)


def run_study(study: Study, studies: int) -> dict[str, Any]:
    """Shares in percent: of p < 0.05 by each method, and how often the intervals hold the truth."""
    numbers = (*study.seed_sd, study.gap, study.pairing)
    rng = np.random.default_rng([study.documents, *study.seeds, *(round(100 * x) for x in numbers)])
    metric, truth = METRICS[study.metric], true_difference(study)
    small, covered = dict.fromkeys(METHODS, 0.0), 0
    for count in batches(study, studies):
        drawn = moments(draw(study, rng, count), metric)
        covered += holds(truth, drawn.gap, [*drawn.seed_variances, drawn.shared_variance])
        for name, method in METHODS.items():
            p = method(drawn, rng)
            small[name] += math.nan if np.isnan(p).any() else int((p < LEVEL).sum())
    shares = {name: round(100 * count / studies, 2) for name, count in small.items() if not math.isnan(count)}
    return asdict(study) | {"studies": studies, "p_below_0.05": shares, "coverage": round(100 * covered / studies, 2)}


def holds(truth: float, gap: np.ndarray, variances: Sequence[tuple[np.ndarray, float]]) -> int:
    """How many of the 95 % intervals hold the truth."""
    half = stdtrit(satterthwaite(variances), 1 - LEVEL / 2) * np.sqrt(sum(variance for variance, _ in variances))
    return int((np.abs(gap - truth) <= half).sum())


def run_suite(study: Study, studies: int) -> dict[str, Any]:
    """The same for the mean over tasks, each simulated like `study`."""
    rng, metric, truth = np.random.default_rng(TASKS), METRICS[study.metric], true_difference(study)
    small = covered = 0
    for count in batches(study, studies):
        tasks = [moments(draw(study, rng, count), metric) for _ in range(TASKS)]
        gap = np.mean([task.gap for task in tasks], axis=0)
        parts = [part for task in tasks for part in (*task.seed_variances, task.shared_variance)]
        variances = [(variance / TASKS**2, freedom) for variance, freedom in parts]
        small += int((by_sum(gap, variances) < LEVEL).sum())
        covered += holds(truth, gap, variances)
    shares = {"components": round(100 * small / studies, 2)}
    done = {"studies": studies, "p_below_0.05": shares, "coverage": round(100 * covered / studies, 2)}
    return asdict(study) | {"tasks": TASKS} | done


def grid() -> Iterator[Study]:
    """The studies: the grid, then power, then what is harder or larger."""
    cells = list(itertools.product((200, 2_000), (2, 3, 5, 10), (0.0, 0.5, 3.0)))
    for metric in ("accuracy", "micro_f1_5", "entity_f1"):
        for documents, seeds, sd in cells:
            if (metric, documents, seeds) != ("entity_f1", 2_000, 10):  # takes longest, and is least in doubt
                yield Study(metric, documents, (seeds, seeds), (sd, sd))
    for gap, (documents, seeds, sd) in itertools.product((1.0, 3.0), cells):
        yield Study("accuracy", documents, (seeds, seeds), (sd, sd), gap)
    for documents, seeds in ((300, 3), (3_000, 5), (16_943, 3), (16_943, 5)):
        yield Study("accuracy", documents, (seeds, seeds), (1.0, 1.0))
    unequal = itertools.product((200, 2_000), ((2, 2), (3, 3), (5, 5), (10, 10)), ((0.0, 3.0), (0.5, 3.0), (1.0, 2.0)))
    for documents, seeds, sds in unequal:
        yield Study("accuracy", documents, seeds, sds)
    for seeds in ((2, 5), (3, 5), (3, 10)):
        for sds in ((1.0, 1.0), (0.5, 3.0), (3.0, 0.5)):
            yield Study("accuracy", 2_000, seeds, sds)
    for seeds in (3, 5):
        yield Study("accuracy", 2_000, (seeds, seeds), (0.0, 0.0), repeatable=True)
    yield Study("macro_f1", 2_000, (3, 3), (0.5, 0.5))
    for seeds, gap, pairing in itertools.product((3, 5), (0.0, 2.0), (0.0, 0.25, 0.5, 0.75)):
        yield Study("accuracy", 2_000, (seeds, seeds), (1.0, 1.0), gap, pairing=pairing)


SUITES = tuple(Study("accuracy", 500, (3, 3), sds) for sds in ((1.0, 1.0), (0.5, 3.0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=2_000, help="for each row (default: 2000)")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/statistics_level.json"))
    parser.add_argument("--picture", type=Path, help="draw the rows of --out there instead of simulating")
    args = parser.parse_args()
    if args.picture:
        draw_picture(json.loads(args.out.read_text(encoding="utf-8"))["rows"], args.picture)
        return
    start = time.perf_counter()
    jobs = [(run_study, study, share(study, args.studies)) for study in grid()]
    jobs += [(run_suite, study, args.studies) for study in SUITES]
    rows = []
    with multiprocessing.Pool(args.processes) as pool:
        for row in pool.imap(run_job, jobs):
            rows.append(row)
            print(f"{len(rows)}/{len(jobs)} {time.perf_counter() - start:.0f} s {row}", file=sys.stderr, flush=True)
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    write_json(args.out, {"command": sys.argv, "versions": versions, "shares": SHARES, "rows": rows})


def share(study: Study, studies: int) -> int:
    """Of so many studies a row: a quarter for power, half for entities, which take longest."""
    return studies // (4 if study.gap else 1) // (2 if study.metric == "entity_f1" else 1)


def draw_picture(rows: list[dict[str, Any]], path: Path) -> None:
    """False-positive rates of every method over all studies without a true difference, 3 to 7 % shaded."""
    from matplotlib.figure import Figure

    wanted = [row for row in rows if not row["gap"] and "tasks" not in row and not row["pairing"]]
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    for ax, few in zip(figure.subplots(1, 2, sharey=True), (True, False)):
        own = [row for row in wanted if (min(row["seeds"]) < significance.FEWEST_SEEDS) == few]
        for x, name in enumerate(METHODS):
            rates = [row["p_below_0.05"][name] for row in own if name in row["p_below_0.05"]]
            spread = x + np.linspace(-0.28, 0.28, len(rates))
            colour = "tab:blue" if name == "components" else "gray"
            ax.plot(spread, np.maximum(rates, 0.5), "o", ms=4, alpha=0.7, color=colour)
        ax.axhspan(3, 7, color="tab:green", alpha=0.2)
        ax.set_yscale("log")
        ax.set_yticks([1, 3, 5, 7, 10, 20, 40, 80], ["1", "3", "5", "7", "10", "20", "40", "80"])
        ax.minorticks_off()
        ax.set_xticks(range(len(METHODS)), METHODS, rotation=35, ha="right", fontsize=8)
        ax.set_title(f"{'two seeds' if few else 'three to ten seeds'}: {len(own)} kinds of studies", fontsize=10)
    figure.axes[0].set_ylabel("false positives at p < 0.05, percent")
    figure.savefig(path, dpi=120)


def run_job(job: tuple) -> dict[str, Any]:
    run, study, studies = job
    return run(study, studies)


if __name__ == "__main__":
    run_cli(main)
