"""What is shown of tasks: the list, and their counts beside the published ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bioclinical.errors import UserError
from bioclinical.tasks.loading import existing_files, load_task
from bioclinical.tasks.published import counted_lines, shown
from bioclinical.tasks.splits import Protocol
from bioclinical.tasks.suites import suites_of
from bioclinical.tasks.task import Task


def task_lines(tasks: Sequence[Task], data_dir: Path) -> Iterator[str]:
    """A line a task: whether its files are there, its kind, splits, official metric, suites and licence."""
    width = max(len(task.name) for task in tasks)
    for task in tasks:
        there = "yes" if has_files(task, data_dir) else "no"
        folds = f", {len(task.folds)} folds" if task.folds else ""
        size = task.published.size if task.published else "sizes not published"
        suites = ", ".join(suites_of(task.name)) or "-"
        yield (
            f"{task.name.ljust(width)}  files: {there.ljust(3)}  {task.problem}; {size}{folds}; "
            f"{task.official_metric}; suites: {suites}; {task.licence or 'licence: data/README.md'}"
        )


def has_files(task: Task, data_dir: Path) -> bool:
    """Whether all raw files of a task are there."""
    try:
        return bool(existing_files(task, data_dir / task.folder))
    except UserError:
        return False


@dataclass
class Check:
    """What became of holding tasks' files against the published counts."""

    lines: list[str]
    equal: int = 0
    different: int = 0
    unreadable: int = 0
    absent: int = 0

    @property
    def summary(self) -> str:
        return (
            f"{self.equal} count(s) as published, {self.different} not, {self.unreadable} task(s) unreadable, "
            f"{self.absent} without files"
        )


def check_tasks(tasks: Sequence[Task], data_dir: Path) -> Check:
    """Reads every task whose files are there; a line for each published count."""
    check = Check([])
    for task in tasks:
        if not has_files(task, data_dir):
            check.absent += 1
            check.lines.append(f"{task.name}: no files; {task.source}")
            continue
        try:
            check_task(task, data_dir, check)
        except UserError as error:
            check.unreadable += 1
            check.lines.append(f"{task.name}: {error}")
    return check


def conversion_lines(tasks: Sequence[Task], folder: str, data_dir: Path) -> list[str]:
    """What to say of a folder that was just converted: the counts of its tasks beside the published ones."""
    check = check_tasks([task for task in tasks if task.folder == folder], data_dir)
    if not check.different and not check.unreadable:
        return [*check.lines, "converted as published, by these counts"]
    return [*check.lines, f"warning: {check.summary}: scores on these files are not comparable with published ones"]


def check_task(task: Task, data_dir: Path, check: Check) -> None:
    """Adds a task's lines. Raises UserError where it cannot be read."""
    fold = task.folds[0] if task.folds and task.default_fold is None else None
    data = load_task(task, data_dir, Protocol(fold=fold))
    published = task.published.lines() if task.published else {}
    if not published:
        sizes = shown(tuple(len(examples) for examples in data.splits.values()))
        check.lines.append(f"{task.name}: {sizes} examples; no counts are published")
    measured = counted_lines(data.splits, data.labels, list(published))
    for name, expected in published.items():
        is_equal = all(known is None or known == found for known, found in zip(expected, measured[name]))
        check.equal += is_equal
        check.different += not is_equal
        verdict = "as published" if is_equal else f"published: {shown(expected)}"
        check.lines.append(f"{task.name}: {name} {shown(measured[name])} ({verdict})")
    check.lines += [f"{task.name}: warning: {warning}" for warning in data.warnings]
