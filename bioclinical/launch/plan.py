"""Which runs of main.py a launch consists of, and how long they will take."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """One run of main.py: a task, a model, a seed; for cross-validated tasks a fold; of a grid the
    learning rate."""

    task: str
    model: str
    seed: int
    fold: int | None = None
    lr: str | None = None

    @property
    def model_name(self) -> str:
        """The model as a path's part: a folder's own name, a hub id with its slash replaced."""
        return Path(self.model).resolve().name if Path(self.model).is_dir() else self.model.replace("/", "--")

    def arguments(self) -> list[str]:
        """The part of main.py's command line that tells this run from the others of its launch."""
        fold = [] if self.fold is None else ["--fold", str(self.fold)]
        lr = [] if self.lr is None else ["--lr", self.lr]
        return ["--dataset", self.task, "--model", self.model, *fold, *lr, "--seed", str(self.seed)]


@dataclass(frozen=True)
class Plan:
    """The runs, those that every model and every task needs first for the first seed: a broken setup shows early."""

    jobs: tuple[Job, ...]

    @property
    def varies_in_seed_only(self) -> bool:
        return len({(job.task, job.model, job.fold, job.lr) for job in self.jobs}) == 1

    def label(self, job: Job) -> str:
        """What a line of a run's output begins with."""
        if self.varies_in_seed_only:
            return f"seed {job.seed}"
        fold = "" if job.fold is None else f" fold {job.fold}"
        lr = "" if job.lr is None else f" lr {job.lr}"
        return f"{job.task}{fold} {job.model_name}{lr} seed {job.seed}"

    def save_folder(self, base: str, job: Job) -> str:
        """Where a run keeps its model: `<base>/seed=<n>`, below task, model and fold where these vary."""
        if self.varies_in_seed_only:
            return f"{base}/seed={job.seed}"
        fold = "" if job.fold is None else f"fold={job.fold}/"
        lr = "" if job.lr is None else f"lr={job.lr}/"
        return f"{base}/{job.task}/{job.model_name}/{fold}{lr}seed={job.seed}"


def planned(
    tasks: Sequence[str],
    models: Sequence[str],
    seeds: Sequence[int],
    folds: dict[str, Sequence[int | None]],
    rates: Sequence[str | None] = (None,),
) -> Plan:
    """Every task, model, fold, learning rate and seed. folds: of the tasks that are cross-validated."""
    return Plan(
        tuple(
            Job(task, model, seed, fold, lr)
            for seed in seeds
            for task in tasks
            for model in models
            for fold in folds.get(task, [None])
            for lr in rates
        )
    )


class Estimate:
    """How long the rest will take, from the runs that are done; a task's own runs say most about its other ones."""

    def __init__(self, jobs: Sequence[Job], at_once: int):
        self.jobs = jobs
        self.at_once = at_once
        self.durations: dict[str, list[float]] = {}
        self.done: set[Job] = set()

    def finished(self, job: Job, seconds: float) -> None:
        self.durations.setdefault(job.task, []).append(seconds)
        self.done.add(job)

    def remaining_s(self) -> float:
        """Seconds for the runs that are not done, each as long as its task's took, or all tasks' where none has."""
        everything = [seconds for times in self.durations.values() for seconds in times]
        if not everything:
            return 0.0
        mean = {task: sum(times) / len(times) for task, times in self.durations.items()}
        overall = sum(everything) / len(everything)
        return sum(mean.get(job.task, overall) for job in self.jobs if job not in self.done) / self.at_once

    def line(self, elapsed_s: float, failed: int) -> str:
        """`7 of 78 runs done (1 failed), 0:12:05 so far, about 2:02:00 to go`."""
        broken = f" ({failed} failed)" if failed else ""
        done = f"{len(self.done)} of {len(self.jobs)} runs done{broken}, {clock(elapsed_s)} so far"
        return done + (f", about {clock(self.remaining_s())} to go" if len(self.done) < len(self.jobs) else "")


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
