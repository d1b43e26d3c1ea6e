"""Whatever is wrong with a raw file, every reader says so in one sentence or reads what is whole: never a traceback."""

import random
import re
import shutil

import pytest

from bioclinical.errors import UserError
from bioclinical.tasks.loading import load_task
from bioclinical.tasks.splits import Protocol
from dataloader import TASKS

DAMAGES = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) * 2 // 3],
    "binary": lambda content: random.Random(0).randbytes(500),
    "another form": lambda content: b"[1, null]\n",
    "not UTF-8": lambda content: content[: len(content) // 2] + b"\xff\xfe" + content[len(content) // 2 :],
    "a cell less": lambda content: re.sub(rb"[\t,][^\t,\n]*\n$", b"\n", content),
}
# One task of every kind of reader.
READERS = {type(task.reader).__name__ + task.problem: task for task in TASKS}


@pytest.mark.parametrize("name", READERS)
def test_damage_is_one_sentence(sample, tmp_path, name):
    task = READERS[name]
    if not (sample / "raw" / task.folder).exists():
        pytest.skip(f"the sample has no files of {task.name}")
    folder = tmp_path / "raw" / task.folder
    shutil.copytree(sample / "raw" / task.folder, folder)
    protocol = Protocol(fold=task.folds[0] if task.folds and task.default_fold is None else None)
    first = next(path for path in task.reader.raw_files(folder) if path.exists())
    whole, refused = first.read_bytes(), 0
    for damage in DAMAGES.values():
        first.write_bytes(damage(whole))
        try:
            load_task(task, tmp_path / "raw", protocol)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and str(folder.name) in str(error)
    assert refused >= 2
