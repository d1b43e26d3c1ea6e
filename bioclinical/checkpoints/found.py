"""The checkpoints that a run folder holds, told from their names and from what any zip archive tells of itself."""

import zipfile
import zlib
from pathlib import Path

from bioclinical.errors import RunFailed, UserError

LATEST = "latest-rank0.pt"


def own_checkpoints(folder: Path) -> list[Path]:
    """A run folder's checkpoints, newest first."""
    return sorted(folder.glob("ep*-ba*-rank0.pt"), key=batch_of, reverse=True)


def batch_of(path: Path) -> int:
    """The number of batches behind a checkpoint; -1 for a file that only looks like one."""
    number = path.name.split("-ba")[1].split("-")[0]
    return int(number) if number.isdecimal() else -1


def is_whole(path: Path) -> bool:
    """Whether every part of a checkpoint has its checksum. A cut archive has lost its directory."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError):
        return False  # whatever zipfile makes of damaged bytes


def newest_whole(folder: Path) -> tuple[Path | None, list[Path]]:
    """The newest checkpoint that is whole, and those newer than it that are not. Raises UserError where none is."""
    damaged = []
    for path in own_checkpoints(folder):
        if is_whole(path):
            return path, damaged
        damaged.append(path)
    if damaged:
        raise UserError(
            f"all {len(damaged)} checkpoints in '{folder}' are cut off or damaged; remove them to start the run again"
        )
    return None, damaged


def expect_no_checkpoints(folder: Path) -> None:
    """Raises RunFailed rather than mixing two runs in one folder."""
    if own_checkpoints(folder):
        raise RunFailed(
            f"'{folder}' already holds checkpoints of a run; continue it with autoresume=true, or choose another "
            "run_name (docs/pretraining.md)"
        )
