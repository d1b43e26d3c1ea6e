"""SIGTERM and SIGINT end every command with all its processes, and leave no temporary file."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mds.mds_files import write_csv
from repository import ROOT

from bioclinical.errors import Terminated, run_cli

SIGNALS = [signal.SIGTERM, signal.SIGINT]


def default_signals() -> None:
    """As in a terminal, also where the suite itself runs with Ctrl-C ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*command: object, scratch: Path) -> subprocess.Popen:
    """A command in a session of its own, its temporary files in `scratch`."""
    scratch.mkdir()
    return subprocess.Popen(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(scratch), "CUDA_VISIBLE_DEVICES": ""},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=default_signals,
    )


def wait_for(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


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


def assert_nothing_is_left(process: subprocess.Popen, scratch: Path) -> None:
    deadline = time.monotonic() + 20  # the helpers of multiprocessing end by themselves, a moment after us
    while members(process.pid):
        assert time.monotonic() < deadline, members(process.pid)
        time.sleep(0.05)
    assert list(scratch.rglob("*")) == []


@pytest.mark.parametrize("how", SIGNALS)
def test_benchmark(tiny_model, tmp_path, how):
    process = start(
        "multiprocess_bench.py", "--model", tiny_model("bert"), "--device", "cpu", "--datasets", "fixed_short",
        "--num_samples", 4, "--n_iters", 100_000, "--batch_size", 4, "--output", tmp_path / "a.json",
        scratch=tmp_path / "scratch",
    )  # fmt: skip
    wait_for(lambda: len(members(process.pid)) >= 4, process)  # itself, forkserver, resource tracker, worker
    process.send_signal(how)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "what was measured is kept" in err and out.splitlines()[-1][0] == "{", err
    assert_nothing_is_left(process, tmp_path / "scratch")
    assert {path.name for path in tmp_path.iterdir()} <= {"a.json", "scratch"}


@pytest.mark.parametrize("how", SIGNALS)
def test_converter(tiny_model, tmp_path, notes, how):
    path = write_csv(tmp_path / "notes.csv", notes * 300)
    out = tmp_path / "out"
    process = start(
        "pretraining_resources/convert_dataset_to_mds.py", "--dataset", path, "--out_dir", out, "--size_limit", "300kb",
        "--out_token_counts", out / "counts.txt", "--tokenizer", tiny_model(), scratch=tmp_path / "scratch",
    )  # fmt: skip
    wait_for(lambda: list(out.glob("notes/*.mds")), process)
    process.send_signal(how)
    _, err = process.communicate(timeout=60)
    assert process.returncode == (143 if how == signal.SIGTERM else 130), err
    assert_nothing_is_left(process, tmp_path / "scratch")
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
