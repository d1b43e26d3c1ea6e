"""Runs commands several at a time, one GPU each, every line of their output with a label."""

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

PATIENCE_S = 10  # between asking a run to end and ending it


class Stopped(Exception):
    """A signal asked the launch to end."""


@dataclass
class Workers:
    """`commands` is run by as many threads as `at_once`; worker k has the GPU k (in turn where there are fewer).

    after: called with the command's number, whether it succeeded, and its seconds. Every run is a process group of its
    own, so that stopping reaches its children.  last_lines: the last one that each command printed.
    """

    commands: Sequence[Sequence[str]]
    labels: Sequence[str]
    at_once: int
    gpus: Sequence[str]
    after: Callable[[int, bool, float], None]
    last_lines: dict[int, str] = field(default_factory=dict)
    running: dict[int, subprocess.Popen] = field(default_factory=dict)
    lock: Any = field(default_factory=threading.Lock)
    is_stopping: bool = False

    def run(self) -> list[int]:
        """Runs everything; returns the numbers of the commands that failed. A signal ends all and raises Stopped."""
        waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(len(self.commands)):
            waiting.put(number)
        failed: list[int] = []
        threads = [
            threading.Thread(target=self.work, args=(worker, waiting, failed), daemon=True)
            for worker in range(min(self.at_once, len(self.commands)))
        ]
        previous = {number: signal.signal(number, stop_on_signal) for number in STOPPING_SIGNALS}
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():  # a join without timeout would not let signals through
                    thread.join(0.1)
        except Stopped:
            self.stop()
            raise
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
        return sorted(failed)

    def work(self, worker: int, waiting: "queue.SimpleQueue[int]", failed: list[int]) -> None:
        """One worker: the next command, until there is none."""
        variables = {"PYTHONUNBUFFERED": "1"}
        if self.gpus:
            variables["CUDA_VISIBLE_DEVICES"] = self.gpus[worker % len(self.gpus)]
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                return
            started = time.monotonic()
            process = self.start(number, variables)
            if process is None:
                return
            for line in process.stdout:
                self.say(f"[{self.labels[number]}] {line.rstrip()}")
                self.last_lines[number] = line.rstrip()
            succeeded = process.wait() == 0
            with self.lock:
                del self.running[number]
                if self.is_stopping:
                    return
                if not succeeded:
                    failed.append(number)
            self.after(number, succeeded, time.monotonic() - started)

    def start(self, number: int, variables: dict[str, str]) -> subprocess.Popen | None:
        """Starts a command, unless all are being ended."""
        with self.lock:
            if self.is_stopping:
                return None
            self.running[number] = subprocess.Popen(
                self.commands[number],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=os.environ | variables,
                start_new_session=True,
            )
            return self.running[number]

    def say(self, line: str) -> None:
        """Prints a line whole, whatever other workers print."""
        with self.lock:
            print(line, flush=True)

    def stop(self) -> None:
        """Ends all runs with their children."""
        with self.lock:
            self.is_stopping = True
            running = list(self.running.values())
        for process in running:
            signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                signal_group(process, signal.SIGKILL)


STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def stop_on_signal(number: int, _frame: Any) -> None:
    for other in STOPPING_SIGNALS:  # a second Ctrl-C must not leave half of the runs alive
        signal.signal(other, signal.SIG_IGN)
    raise Stopped


def signal_group(process: subprocess.Popen, number: int) -> None:
    """Signals a run and its children; it may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def available_gpus() -> list[str]:
    """CUDA_VISIBLE_DEVICES where it is set (empty: no GPU wanted), else what nvidia-smi lists."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    return subprocess.run(query, capture_output=True, text=True).stdout.split()
