"""Commands in forks of a process that has imported torch, transformers and Composer: importing takes longer than a tiny
run does. A fork has what a new process would have: its own arguments, folder, streams, session and signal handlers.
"""

import gc
import importlib
import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing import forkserver, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path

MODULES = ("torch", "transformers", "composer", "datasets", "matplotlib.pyplot")


@dataclass(frozen=True)
class Command:
    """`python SCRIPT ARGUMENTS` in a folder; `python -m SCRIPT ARGUMENTS` where the script is a module's name."""

    script: str
    arguments: Sequence[str]
    folder: Path
    threads: int = 1  # of torch
    environment: dict[str, str] = field(default_factory=dict)


def preload() -> None:
    """Imports what the commands need."""
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # else its import starts a process per core
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()  # training collects garbage: it need not look through all of these again


def start(command: Command, output: Path, errors: Path | None = None, method: str = "fork") -> BaseProcess:
    """The running fork, a session of its own; its exit code is the command's.

    All that it prints goes to the file `output`, what goes to stderr to `errors` where that is given. method: "spawn"
    gives a new process instead, for a command that uses threads which this process has started already.
    """
    process = multiprocessing.get_context(method).Process(target=_run, args=(command, output, errors or output))
    process.start()
    return process


def _run(command: Command, output: Path, errors: Path) -> None:
    _become(command, output, errors)
    if command.script.endswith(".py"):
        sys.path.insert(0, str((command.folder / command.script).resolve().parent))
        runpy.run_path(command.script, run_name="__main__")
    else:
        runpy.run_module(command.script, run_name="__main__", alter_sys=True)


def _become(command: Command, output: Path, errors: Path) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for stream, path in ((1, output), (2, errors)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), stream)
    sys.stdout, sys.stderr = (open(stream, "w", buffering=1, closefd=False) for stream in (1, 2))  # noqa: SIM115
    for helper in (resource_tracker._resource_tracker, forkserver._forkserver):
        helper.__init__()  # else the fork would ask those of the process it comes from
    os.environ.update({"TOKENIZERS_PARALLELISM": "false"} | command.environment)  # a fork lacks the tokenizers' threads
    tempfile.tempdir = None  # TMPDIR may have changed
    os.chdir(command.folder)
    sys.argv = [command.script, *command.arguments]
    import torch

    torch.set_num_threads(command.threads)
