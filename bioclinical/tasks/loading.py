"""From raw files to a checked, cached task: the one way main.py and dataloader.py get their examples."""

import contextlib
import functools
import json
import os
from collections import Counter
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from bioclinical import problems
from bioclinical.errors import UserError
from bioclinical.files import exclusive, make_folder, sha256_of_file, sha256_of_json, write_json, write_text
from bioclinical.problems import Problem
from bioclinical.problems.label_names import is_printable
from bioclinical.tasks.example import SPLITS, Example
from bioclinical.tasks.published import refuse_another_release
from bioclinical.tasks.splits import PAPER, Protocol
from bioclinical.tasks.task import RawData, Task, TaskData


def load_task(task: Task, data_dir: Path, protocol: Protocol = PAPER) -> TaskData:
    """Reads a task's raw files, or the processed copy kept under `<data_dir>/../processed`.

    The copy's key is a hash of the readers' source, the task's definition, the protocol and the raw files' bytes.
    A lock lets one of several processes build it while the others wait. Where no copy can be kept (read-only media)
    the raw files are read each time. Raises UserError for unusable raw files.
    """
    protocol = with_fold(task, protocol)
    if protocol.is_strict and task.strict_labels:
        task = replace(task, labels=task.strict_labels)
    folder = Path(data_dir) / task.folder
    files = existing_files(task, folder)
    processed = Path(data_dir).resolve().parent / "processed" / task.name
    keeps_copy = is_writable(processed)
    hash_of = functools.partial(remembered_sha256, processed=processed) if keeps_copy else sha256_of_file
    hashes = {str(path.relative_to(folder)): hash_of(path) for path in files}
    raw_sha256 = sha256_of_json(hashes)
    key = sha256_of_json([reader_version(), repr(task), protocol.label, raw_sha256])[:16]
    path = processed / f"{protocol.label}-{key}.json"
    with exclusive(path.with_suffix(".lock")) if keeps_copy else contextlib.nullcontext():
        content = read_copy(path)
        if content is None:
            # A reader of a user's own may know the published way only.
            raw = task.reader.read(folder) if protocol == PAPER else task.reader.read(folder, protocol)
            content = asdict(checked(task, raw))
            if keeps_copy:
                write_json(path, content)
    labels = task.labels or collected_labels(problems.get(task.problem), content["splits"])
    return TaskData(task, protocol.label, tuple(labels), raw_sha256=raw_sha256, **content)


def with_fold(task: Task, protocol: Protocol) -> Protocol:
    """The protocol as results name it: a task's default fold goes unnamed.

    Raises UserError for a fold that does not exist, and where one has to be named.
    """
    if protocol.fold is None:
        if task.folds and task.default_fold is None:
            raise UserError(
                f"{task.name} comes in folds {task.folds[0]} to {task.folds[-1]}; choose one with --fold, or run all "
                "with scripts/run_parallel.sh --folds all"
            )
        return protocol
    if not task.folds:
        raise UserError(f"--fold {protocol.fold}: {task.name} has no folds")
    if protocol.fold not in task.folds:
        raise UserError(f"--fold {protocol.fold} does not exist; {task.name} has {task.folds[0]} to {task.folds[-1]}")
    return replace(protocol, fold=None) if protocol.fold == task.default_fold else protocol


def is_writable(folder: Path) -> bool:
    """Whether the folder is there, or can be made, for writing."""
    try:
        make_folder(folder)
    except UserError:
        return False
    return os.access(folder, os.W_OK)


def read_copy(path: Path) -> dict[str, Any] | None:
    """A processed copy's content; None where there is none, or a damaged one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(content, dict) and content.keys() == {field.name for field in fields(RawData)}
    return content if whole else None


def existing_files(task: Task, folder: Path) -> list[Path]:
    """The raw files; raises UserError naming the first one missing and where to get it."""
    files = task.reader.raw_files(folder)
    for path in files:
        if not path.is_file():
            raise UserError(f"{task.name}: '{path}' is missing. {task.source}; expected files: data/README.md")
    return files


def remembered_sha256(path: Path, processed: Path) -> str:
    """A raw file's hash, computed again only when the file's times or size changed (NOTEEVENTS is 3.7 GB)."""
    stat = path.stat()
    seen = [str(path.resolve()), stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
    memo = processed / "hashes" / f"{sha256_of_json(seen)[:16]}.txt"
    if not memo.exists():
        write_text(memo, sha256_of_file(path))
    return memo.read_text()


@functools.cache
def reader_version() -> str:
    """Hash of the readers' source files, so that a changed reader never meets an old cache."""
    package = Path(__file__).parent.parent
    folders = [path for name in ("tasks", "problems") for path in sorted((package / name).rglob("*.py"))]
    others = ("files.py", "text/tables.py", "text/columns.py", "text/words.py")
    sources = [*folders, *(package / name for name in others)]
    return sha256_of_json([sha256_of_file(path) for path in sources])


def checked(task: Task, raw: RawData) -> RawData:
    """The examples without their places, after the checks that every format needs.

    Raises UserError for an empty split and for an example that the task's problem cannot use, naming its place.
    """
    problem = problems.get(task.problem)
    labels = task.labels or collected_labels(problem, raw.splits)
    if task.labels is None:
        if fault := problem.label_fault(labels):
            raise UserError(f"{task.name}: {fault}")
        untrained = set(labels) - problem.labels_in(raw.splits["train"])
        if untrained:
            raw.warnings.append(untrained_labels(problem, raw, labels, untrained))
    repeated = Counter(example["id"] for split in SPLITS for example in raw.splits[split])
    duplicates = sum(count - 1 for count in repeated.values())
    if duplicates:
        raw.warnings.append(f"{duplicates} example id(s) occur more than once")
    for split in SPLITS:
        if not raw.splits[split]:
            raise UserError(f"{task.name}: the {split} split is empty; the raw files hold too few examples")
        for example in raw.splits[split]:
            if fault := problem.fault(example, labels):
                raise UserError(f"{example['where']}: {fault}")
    if task.published:
        refuse_another_release(task.name, task.published, raw.splits)
    splits = {split: [without_place(problem.prepared(example)) for example in raw.splits[split]] for split in SPLITS}
    return replace(raw, splits=splits)


def untrained_labels(problem: Problem, raw: RawData, labels: tuple[str, ...], untrained: set[str]) -> str:
    """The warning about labels that only the other splits have; those that may be text are counted."""
    counts = problem.counts([problem.prepared(one) for split in SPLITS for one in raw.splits[split]], labels)
    names = sorted(label for label in untrained if is_printable(label, int(counts[label])))
    if len(names) < len(untrained):
        names.append(f"{len(untrained) - len(names)} more (not shown: they may be text)")
    return f"label(s) that never occur in training and can only be missed: {', '.join(names)}"


def without_place(example: Example) -> Example:
    return {key: value for key, value in example.items() if key != "where"}


def collected_labels(problem: Problem, splits: dict[str, list[Example]]) -> tuple[str, ...]:
    """For tasks that give no list: the labels of the training split, sorted, then those that occur only elsewhere."""
    trained = problem.labels_in(splits["train"])
    others = set().union(*(problem.labels_in(splits[split]) for split in SPLITS)) - trained
    return (*sorted(trained), *sorted(others))
