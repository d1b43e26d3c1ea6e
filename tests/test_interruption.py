"""SIGTERM and SIGINT end every command with all its processes, and leave no temporary file."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from mds.mds_files import write_csv
from repository import ROOT

from bioclinical.errors import Terminated, run_cli
from bioclinical.launch import forked

SIGNALS = [signal.SIGTERM, signal.SIGINT]


PATIENCE_S = 300


@dataclass(frozen=True)
class Running:
    """A command in a session of its own, its temporary files in `scratch`."""

    process: BaseProcess
    scratch: Path

    @property
    def out(self) -> str:
        return self.scratch.with_name("out.txt").read_text()

    @property
    def err(self) -> str:
        return self.scratch.with_name("err.txt").read_text()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert self.process.is_alive(), self.err
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self, how: signal.Signals) -> int:
        """The exit code after a signal; nothing is left of the command's processes and temporary files."""
        os.kill(self.process.pid, how)
        self.process.join(PATIENCE_S)
        deadline = time.monotonic() + PATIENCE_S  # the helpers of multiprocessing end by themselves, a moment after us
        while members(self.process.pid):
            assert time.monotonic() < deadline, members(self.process.pid)
            time.sleep(0.02)
        assert list(self.scratch.rglob("*")) == []
        return self.process.exitcode


@pytest.fixture
def start(tmp_path):
    """start(script, argument, ...) -> Running. Killed with all its processes where a test fails.

    method: "spawn" for a command whose tokenizer works in threads: those that this process has do not live in a fork.
    """
    started = []

    def go(script: str, *arguments: object, method: str = "fork") -> Running:
        scratch = tmp_path / "c" / "s"  # short: sockets lie there, whose paths have at most 107 characters
        scratch.mkdir(parents=True)
        environment = {"TMPDIR": str(scratch), "CUDA_VISIBLE_DEVICES": ""}
        command = forked.Command(script, [str(one) for one in arguments], ROOT, environment=environment)
        files = scratch.with_name("out.txt"), scratch.with_name("err.txt")
        process = forked.start(command, *files, method=method)
        started.append(process)
        return Running(process, scratch)

    yield go
    for process in started:
        for member in members(process.pid):
            os.kill(member, signal.SIGKILL)


def members(session: int) -> list[int]:
    """The processes of a session, the dead that nobody has waited for left out."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has just ended
            continue
        if int(its_session) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.parametrize("how", SIGNALS)
def test_benchmark(start, tiny_model, tmp_path, how):
    running = start(
        "multiprocess_bench.py", "--model", tiny_model("bert"), "--device", "cpu", "--datasets", "fixed_short",
        "--num_samples", 4, "--n_iters", 100_000, "--batch_size", 4, "--output", tmp_path / "a.json",
    )  # fmt: skip
    running.wait_for(lambda: len(members(running.process.pid)) >= 4)  # itself, forkserver, resource tracker, worker
    assert running.end(how) == 130 and "what was measured is kept" in running.err, running.err
    assert running.out.splitlines()[-1][0] == "{"
    assert {path.name for path in tmp_path.iterdir()} <= {"a.json", "c"}


@pytest.mark.parametrize("how", SIGNALS)
def test_converter(start, tiny_model, tmp_path, notes, how):
    path = write_csv(tmp_path / "notes.csv", notes * 60)
    out = tmp_path / "out"
    running = start(
        "pretraining_resources/convert_dataset_to_mds.py", "--dataset", path, "--out_dir", out, "--size_limit", "50kb",
        "--out_token_counts", out / "counts.txt", "--tokenizer", tiny_model(), method="spawn",
    )  # fmt: skip
    running.wait_for(lambda: len(list(out.glob("notes/*.mds"))) > 1)  # then the first is in the journal
    assert running.end(how) == (143 if how == signal.SIGTERM else 130), running.err
    left = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    shards = {name for name in left if name.startswith("notes/shard.") and name.endswith(".mds")}
    assert shards and left - shards == {".notes.unfinished/journal"}


def test_sigterm_unwinds_once(capsys):
    """Context managers tidy up, a second signal does not disturb them, and the handler of before is back."""
    before, seen = signal.getsignal(signal.SIGTERM), []

    def main() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        except Terminated:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
            seen.append("tidied up")
            raise

    with pytest.raises(SystemExit) as stop:
        run_cli(main)
    assert stop.value.code == 143 and seen == ["tidied up"] and "stopped by SIGTERM" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_forked_child_ends_at_once():
    def main() -> None:
        ready, is_ready = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.write(is_ready, b"x")
                time.sleep(30)
            finally:
                os._exit(7)  # not reached: the signal ends it without unwinding
        os.read(ready, 1)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM

    run_cli(main)
