"""Time from a command to its first training step (or first prediction): this tree against an older one.

    python benchmarks/startup.py --before OLD_TREE --model quickstart/tiny-modernbert --saved SAVED_MODEL \
        --quickstart quickstart --output benchmarks/results/startup.json

Both trees run in turn in one environment; processor time is read from the process itself when the step shows, so that
it says the same on a busy machine. `--help` and a wrong argument are measured to their end.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bioclinical.errors import run_cli
from bioclinical.files import write_json
from bioclinical.runtime.provenance import hardware, installed_versions

ROOT = Path(__file__).resolve().parent.parent
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="the older tree")
    parser.add_argument("--quickstart", type=Path, required=True, help="folder of a quickstart that has run")
    parser.add_argument("--saved", type=Path, required=True, help="a model that main.py --save_model kept")
    parser.add_argument("--repeats", type=int, default=3, help="default: 3")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    args = parser.parse_args()
    trees = {"before": args.before.resolve(), "after": ROOT}
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for _ in range(args.repeats):
        for name, (command, is_there) in commands(args.quickstart.resolve(), args.saved.resolve()).items():
            for when, tree in trees.items():
                found.setdefault(name, {}).setdefault(when, []).append(measure(tree, command, is_there))
    print(f"{'':<34}{'before':>22}{'after':>22}")
    for name, sides in found.items():
        print(f"{name:<34}" + "".join(f"{described(sides[when]):>22}" for when in trees))
    if args.output:
        facts = {"command": sys.argv, "versions": installed_versions(), "hardware": hardware(), "results": found}
        write_json(args.output, facts)


def commands(quickstart: Path, saved: Path) -> dict[str, tuple[list[str], Callable[[Path], bool] | None]]:
    """What is measured -> its command line in a tree (OUT: an empty folder), and what in OUT shows the first step."""
    tiny = quickstart / "tiny-modernbert"
    train = ["main.py", "--dataset", "ChemProt", "--model", str(tiny), "--data_dir", str(quickstart / "raw")]
    recipe = [
        "pretraining_resources/main.py", "pretraining_resources/configs/smoke/phase1.yaml",
        f"data_local={quickstart}/mds", f"tokenizer_name={tiny}", f"load_path={tiny}", "save_folder=OUT/run",
        "max_duration=100_000tok",
    ]  # fmt: skip
    predict = ["-m", "bioclinical.predict", "--model", str(saved), "--input", str(quickstart / "notes.csv")]
    return {
        "main.py --help": (["main.py", "--help"], None),
        "main.py, first step": ([*train, "--limit", "48", "--output_dir", "OUT"], has_text("step 1/")),
        "pre-training, first step": (recipe, lambda out: any(out.glob("run/metrics.jsonl"))),
        "predict, first predictions": (
            [*predict, "--text_column", "notes", "--output", "OUT/p.jsonl"],
            has_text("char"),
        ),
    }


def has_text(words: str) -> Callable[[Path], bool]:
    return lambda out: words in (out / "log.txt").read_text(errors="replace")


def measure(tree: Path, command: list[str], is_there: Callable[[Path], bool] | None) -> dict[str, float]:
    """Wall and processor seconds of a command in a tree until its first step, or until its end."""
    with tempfile.TemporaryDirectory() as folder, open(Path(folder) / "log.txt", "w") as log:
        line = [sys.executable, *(word.replace("OUT", folder) for word in command)]
        environment = os.environ | {"PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1"}
        started, seconds = time.perf_counter(), 0.0
        process = subprocess.Popen(line, cwd=tree, env=environment, stdout=log, stderr=log)
        while process.poll() is None and not (is_there and is_there(Path(folder))):
            seconds = processor_seconds(process.pid) or seconds
            time.sleep(0.01)
        wall = time.perf_counter() - started
        if is_there and process.poll():
            raise SystemExit(f"{' '.join(line)} failed:\n{(Path(folder) / 'log.txt').read_text()[-2000:]}")
        process.kill()
        process.wait()
    return {"wall_s": round(wall, 2), "processor_s": round(seconds, 2)}


def processor_seconds(pid: int) -> float:
    """User and system time of a running process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def described(runs: list[dict[str, float]]) -> str:
    """Medians."""
    wall, processor = (statistics.median(run[key] for run in runs) for key in ("wall_s", "processor_s"))
    return f"{wall:.1f} s ({processor:.1f} s)"


if __name__ == "__main__":
    run_cli(main)
