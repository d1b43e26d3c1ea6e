"""From raw files to a checked, cached task: the one way main.py and dataloader.py get their examples."""

import functools
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from bioclinical.errors import UserError
from bioclinical.files import make_folder, sha256_of_file, sha256_of_json, write_json
from bioclinical.tasks.task import SPLITS, Example, RawData, Task, TaskData

PROTOCOLS = ("paper",)


def load_task(task: Task, data_dir: Path, protocol: str = "paper") -> TaskData:
    """Reads a task's raw files, or the processed copy kept under `<data_dir>/../processed`.

    The copy's key is a hash of the readers' source, the task's definition, the protocol and the raw files' bytes.
    A lock lets one of several processes build it while the others wait. Raises UserError for unusable raw files.
    """
    folder = Path(data_dir) / task.folder
    files = existing_files(task, folder)
    processed = Path(data_dir).resolve().parent / "processed" / task.name
    make_folder(processed)
    hashes = {str(path.relative_to(folder)): remembered_sha256(path, processed) for path in files}
    raw_sha256 = sha256_of_json(hashes)
    key = sha256_of_json([reader_version(), repr(task), protocol, raw_sha256])[:16]
    path = processed / f"{protocol}-{key}.json"
    with FileLock(processed / f"{protocol}-{key}.lock"):
        if path.exists():
            content = json.loads(path.read_text(encoding="utf-8"))
        else:
            content = asdict(checked(task, task.reader.read(folder)))
            write_json(path, content)
    labels = task.labels or collected_labels(task, content["splits"])
    return TaskData(task, protocol, tuple(labels), content["splits"], content["warnings"], raw_sha256)


def existing_files(task: Task, folder: Path) -> list[Path]:
    """The raw files; raises UserError naming the first one missing and where to get it."""
    files = task.reader.raw_files(folder)
    for path in files:
        if not path.is_file():
            raise UserError(f"{task.name}: '{path}' is missing. {task.source}; expected files: data/README.md")
    return files


def remembered_sha256(path: Path, processed: Path) -> str:
    """A raw file's hash, computed again only when its size or modification time changed (NOTEEVENTS is 3.7 GB)."""
    stat = path.stat()
    seen = [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
    memo = processed / "hashes" / f"{sha256_of_json(seen)[:16]}.txt"
    if memo.exists():
        return memo.read_text()
    digest = sha256_of_file(path)
    make_folder(memo.parent)
    memo.write_text(digest)
    return digest


@functools.cache
def reader_version() -> str:
    """Hash of the readers' source files, so that a changed reader never meets an old cache."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return sha256_of_json([sha256_of_file(path) for path in sources])


def checked(task: Task, raw: RawData) -> RawData:
    """The examples without their places, after the checks that every format needs.

    Raises UserError for an empty split or document and for a label outside the list, naming its place.
    """
    labels = task.labels or collected_labels(task, raw.splits)
    if task.labels is None:
        untrained = set(labels) - labels_of(task, raw.splits["train"])
        if untrained:
            raw.warnings.append(
                f"label(s) that never occur in training and can only be missed: {', '.join(sorted(untrained))}"
            )
    repeated = Counter(example["id"] for split in SPLITS for example in raw.splits[split])
    duplicates = sum(count - 1 for count in repeated.values())
    if duplicates:
        raw.warnings.append(f"{duplicates} example id(s) occur more than once")
    for split in SPLITS:
        if not raw.splits[split]:
            raise UserError(f"{task.name}: the {split} split is empty; the raw files hold too few examples")
        for example in raw.splits[split]:
            check_example(task, example, set(labels))
    splits = {split: [without_place(example) for example in raw.splits[split]] for split in SPLITS}
    return RawData(splits, raw.warnings)


def check_example(task: Task, example: Example, labels: set[str]) -> None:
    """Raises UserError where the example is empty or carries an unknown label or tag."""
    if not (example["tokens"] if task.is_token_task else example["text"].strip()):
        raise UserError(f"{example['where']}: the document is empty; remove it or restore its text")
    if task.problem == "multi_label_classification":
        return
    unknown = set(example["tags"] if task.is_token_task else [example["labels"]]) - labels
    if unknown:
        what = "tag" if task.is_token_task else "label"
        allowed = ", ".join(sorted(labels)[:60])
        raise UserError(f"{example['where']}: unknown {what} '{min(unknown)}'; {task.name} knows {allowed}")


def without_place(example: Example) -> Example:
    return {key: value for key, value in example.items() if key != "where"}


def collected_labels(task: Task, splits: dict[str, list[Example]]) -> tuple[str, ...]:
    """For tasks that give no list: the labels of the training split, sorted, then those that occur only elsewhere."""
    trained = labels_of(task, splits["train"])
    others = set().union(*(labels_of(task, splits[split]) for split in SPLITS)) - trained
    return (*sorted(trained), *sorted(others))


def labels_of(task: Task, examples: list[Example]) -> set[str]:
    """The labels that occur; `O` is always among the tags."""
    if task.is_token_task:
        return {tag for example in examples for tag in example["tags"]} | {"O"}
    return {example["labels"] for example in examples}
