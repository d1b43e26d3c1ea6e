"""Files that are either complete or absent, and their content hashes."""

import contextlib
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bioclinical.errors import UserError, is_disk_full


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` to write (a file or a folder), renamed to `path` only if the block succeeds.

    A folder that already stands at `path` is replaced. Raises UserError where nothing can be written there.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_file() and not path.is_dir():  # /dev/stdout, a pipe: nothing to rename there
        yield path
        return
    make_folder(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        yield partial
        if partial.is_dir():
            if path.is_dir():
                shutil.rmtree(path)
        else:
            flush_to_disk(partial)
        os.replace(partial, path)
    except OSError as error:
        remove(partial)
        if is_disk_full(error):
            raise
        raise UserError(f"cannot write '{path}' ({error.strerror}); choose another place") from error
    except BaseException:
        remove(partial)
        raise


@contextlib.contextmanager
def exclusive(path: Path, busy: str | None = None) -> Iterator[None]:
    """Holds the lock file `path`; at the end it is gone. Several processes may wait for it, one at a time has it.

    busy: the sentence of the UserError where another process has it; None waits for that process.
    """
    make_folder(path.parent)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=-1 if busy is None else 0)
    except Timeout as error:
        raise UserError(busy) from error
    try:
        yield
    finally:
        # Before the release: a process that gets the lock on a file without a name notices, and makes a new one.
        remove(path)
        lock.release()


def flush_to_disk(path: Path) -> None:
    """Waits until a file is on the disk: renamed before that, it could be empty after a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text so that a reader sees the old file or the whole new one."""
    with atomic_path(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Writes indented JSON atomically; NaN is refused, because other programs cannot read it."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def make_folder(path: Path) -> None:
    """Creates a folder and its parents; raises UserError where that is impossible."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_disk_full(error):
            raise
        raise UserError(f"cannot create the folder '{path}' ({error.strerror}); choose another one") from error


def remove(path: Path) -> None:
    """Removes a file or folder if it is there."""
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sha256_of_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_json(value: Any) -> str:
    """Hex SHA-256 of a JSON-like value, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8")).hexdigest()


def read_utf8(path: Path, keep_bom: bool = True, newline: str | None = None) -> str:
    """A text file, with universal newlines unless newline="" keeps them as they stand.

    Raises UserError naming file and line where the bytes are not UTF-8.
    """
    try:
        with open(path, encoding="utf-8" if keep_bom else "utf-8-sig", newline=newline) as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise UserError(invalid_utf8_message(path)) from error


def invalid_utf8_message(path: Path) -> str:
    """The sentence that names the first line of a file that is not UTF-8."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return (
                    f"'{path}' line {number}: byte 0x{line[error.start]:02x} is not valid UTF-8; "
                    "convert the file, e.g. iconv -f latin1 -t utf-8"
                )
    return f"'{path}' is not valid UTF-8; convert the file, e.g. iconv -f latin1 -t utf-8"
