"""Kills a conversion with SIGKILL at many moments and runs it again; prints what did not come out as if uninterrupted.

    python tests/mds/killed_runs.py CSV TOKENIZER OUT [--every 1] [--random N] [--seed 0]

Without --random the moments are every change to the file system (each opening for writing, renaming and removing),
or one in --every of them.
Runs as its own process and with the tokenizer's thread pool off, which does not survive a fork.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"

from bioclinical.mds.conversion import Conversion
from bioclinical.mds.settings import MdsSettings
from bioclinical.text.tables import Format
from bioclinical.text.tokenization import load_tokenizer

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("csv")
    parser.add_argument("tokenizer")
    parser.add_argument("out", type=Path)
    parser.add_argument("--random", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=1)
    args = parser.parse_args()
    tokenizer = load_tokenizer(args.tokenizer)
    settings = MdsSettings(Format(), concat_tokens=64, eval_fraction=0.3, size_limit=8_000)

    def convert(out: Path) -> None:
        Conversion(args.csv, out, settings, tokenizer, "tiny").run(out / "counts" / "token_counts.txt", 2, None)

    sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    reference = args.out / "reference"
    started = time.perf_counter()
    assert run(convert, reference, None) == 0
    duration_s = time.perf_counter() - started
    expected = content(reference)
    moments = range(1, 10_000, args.every)
    if args.random:
        moments = [random.Random(args.seed + k).uniform(0, duration_s) for k in range(args.random)]
    differing, killed, moment = [], 0, None
    for moment in moments:
        out = args.out / "killed"
        code = run(convert, out, moment)
        killed += code == -signal.SIGKILL
        if premature(out, expected):
            differing.append([moment, "index before its shards"])
        if run(convert, out, None) != 0 or content(out) != expected:
            differing.append([moment, "differs"])
        shutil.rmtree(out)
        if code == 0 and not args.random:
            break
    print(json.dumps({"killed": killed, "differing": differing, "last": moment, "files": len(expected)}))


def run(convert, out: Path, moment: int | float | None) -> int:
    """Converts in a child, killed at a change (int) or after seconds (float). Its exit code, -9 if killed."""
    child = os.fork()
    if child == 0:
        if isinstance(moment, int):
            kill_at_change(moment)
        convert(out)
        os._exit(0)
    if isinstance(moment, float):
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at_change(number: int) -> None:
    """Ends this process just before its `number`th change to the file system."""
    seen = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in CHANGES or writes:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def content(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def premature(out: Path, expected: dict[str, bytes]) -> bool:
    """Whether an index stands in a folder that is not complete."""
    found = content(out) if out.exists() else {}
    for index in (name for name in found if name.endswith("index.json")):
        folder = index.rpartition("/")[0] + "/"
        if any(found.get(name) != data for name, data in expected.items() if name.startswith(folder)):
            return True
    return False


if __name__ == "__main__":
    main()
