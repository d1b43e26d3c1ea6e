"""The whole story on invented sample data: notes become an encoder, and the encoder is compared with the one before.

    bash scripts/quickstart.sh            (sets up the environment, then runs this)
    python scripts/quickstart.py [--out quickstart] [--seed 0] [--jobs N] [--threads N]

Every step is a command that one could type: OUT/logs/commands.txt names them all, and OUT/logs keeps what each printed.
They run in forks of this process, as importing torch and Composer twenty times would take longer than the rest.
"""

import argparse
import os
import shutil
import sys
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from bioclinical.arguments import at_least_zero, positive
from bioclinical.errors import RunFailed, run_cli
from bioclinical.files import make_folder, write_text
from bioclinical.launch.forked import Command, preload, start
from bioclinical.launch.plan import clock

ROOT = Path(__file__).resolve().parent.parent
MODELS = ("tiny-modernbert", "pretrained-modernbert")
RECIPES = {"ChemProt": "--lr 1e-3 --epochs 20 --batch_size 8", "DEID": "--lr 2e-3 --epochs 6 --batch_size 8"}
SEEDS = 3


@dataclass(frozen=True)
class Step:
    """One command of the story. effort: its share of the time, measured once on two cores, for the estimate alone."""

    what: str
    script: str
    arguments: str
    effort: float
    folder: str = "."
    threads: int = 1
    waits: bool = True  # for the steps before it; else it may run beside them

    @property
    def line(self) -> str:
        """As one would type it."""
        at = "" if self.folder == "." else f"cd {self.folder} && "
        return f"{at}python {'' if self.script.endswith('.py') else '-m '}{self.script} {self.arguments}"


def main() -> None:
    args = parse_args()
    out = args.out.resolve()
    begin_anew(out)
    steps = story(out, args.seed, args.threads)
    write_text(out / "logs" / "commands.txt", "\n".join(step.line for step in steps) + "\n")
    preload()
    Story(steps, out / "logs", args.jobs).run()
    for log in ("results", "story"):
        print((out / "logs" / f"{log}.txt").read_text(encoding="utf-8"))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "quickstart", help="folder (default: quickstart)")
    parser.add_argument("--seed", type=at_least_zero(int), default=0, help="of data and training (default: 0)")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--jobs", type=positive(int), default=cores, help="runs at a time (default: the cores)")
    parser.add_argument(
        "--threads",
        type=positive(int),
        default=1,
        help="of pre-training (default: 1: equal on all machines)",
    )
    return parser.parse_args()


def begin_anew(out: Path) -> None:
    """Removes what an earlier quickstart made, and nothing else."""
    for name in ("mds", "checkpoints", "pretrained-modernbert", "logs"):
        shutil.rmtree(out / name, ignore_errors=True)
    for dataset in RECIPES:
        for folder in (out / "outputs" / dataset).glob("*-modernbert-*"):
            shutil.rmtree(folder)
    make_folder(out / "logs")


def story(out: Path, seed: int, threads: int) -> list[Step]:
    notes, tiny, trained, raw = out / "notes.csv", out / MODELS[0], out / MODELS[1], out / "raw"
    where = f"data_local={out}/mds tokenizer_name={tiny} seed={17 + seed}"
    last = f"{out}/checkpoints/smoke_phase{{}}/latest-rank0.pt"
    return [
        Step("sample data", "scripts/make_sample_data.py", f"--out {out} --seed {seed}", 1),
        Step("an untrained encoder", "bioclinical.tiny_models", f"--texts {notes} --out {tiny}", 1),
        Step(
            "notes to training data",
            "pretraining_resources/convert_dataset_to_mds.py",
            f"--dataset {notes} --out_dir {out}/mds --out_token_counts {out}/mds/token_counts.txt --tokenizer {tiny} "
            "--eval_fraction 0.05 --merge",
            2,
        ),
        *(
            Step(
                f"pre-training, phase {phase}",
                "main.py",
                f"configs/smoke/phase{phase}.yaml {where} save_folder={out}/checkpoints/smoke_phase{phase} "
                f"load_path={source}",
                effort,
                "pretraining_resources",
                threads,
            )
            for phase, source, effort in ((1, tiny, 60), (2, last.format(1), 30))
        ),
        Step(
            "export",
            "export_to_hf.py",
            f"--checkpoint {last.format(2)} --out {trained}",
            2,
            "pretraining_resources",
        ),
        Step(
            "masked accuracy",
            "evaluate_mlm.py",
            f"configs/smoke/phase2.yaml {where} --models {tiny} {trained} --output {out}/mlm.json",
            3,
            "pretraining_resources",
        ),
        *(
            Step(
                f"{dataset}, {model}, seed {42 + SEEDS * seed + number}",
                "main.py",
                f"--dataset {dataset} --model {out}/{model} --seed {42 + SEEDS * seed + number} --data_dir {raw} "
                f"--output_dir {out}/outputs {RECIPES[dataset]}",
                5,
                waits=False,
            )
            for dataset in RECIPES
            for model in MODELS
            for number in range(SEEDS)
        ),
        Step(
            "results",
            "bioclinical.results",
            f"{out}/outputs --reference {MODELS[0]} --html {out}/report.html",
            8,
        ),
        Step(
            "story",
            "scripts/quickstart_report.py",
            f"--mlm {out}/mlm.json --results {out}/outputs --runs {out}/checkpoints/smoke_phase1 "
            f"{out}/checkpoints/smoke_phase2 --out {out}",
            3,
        ),
    ]


class Story:
    """Runs the steps in order, those that need not wait side by side; one line says how far it is."""

    def __init__(self, steps: list[Step], logs: Path, at_once: int):
        self.steps, self.logs, self.at_once = steps, logs, at_once
        self.running: dict[BaseProcess, Step] = {}
        self.done = 0.0
        self.started = time.monotonic()

    def run(self) -> None:
        for number, step in enumerate(self.steps, start=1):
            while self.running and (step.waits or len(self.running) >= self.at_once):
                self.wait()
            self.say(number, step)
            command = Command(step.script, step.arguments.split(), ROOT / step.folder, step.threads)
            self.running[start(command, self.log(step))] = step
        while self.running:
            self.wait()
        used = sum(os.times()[:4])
        took = clock(time.monotonic() - self.started)
        print(f"\nall {len(self.steps)} steps done in {took} ({clock(used)} of processor time)\n", flush=True)

    def log(self, step: Step) -> Path:
        return self.logs / f"{step.what.replace(', ', '-').replace(' ', '-')}.txt"

    def wait(self) -> None:
        """Until one command ends. Raises RunFailed with the end of its output where it failed."""
        ready = wait([process.sentinel for process in self.running])
        for process in [one for one in self.running if one.sentinel in ready]:
            process.join()
            step = self.running.pop(process)
            self.done += step.effort
            if process.exitcode:
                for other in self.running:
                    other.terminate()
                lines = self.log(step).read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
                raise RunFailed("\n".join([f"'{step.what}' ended with code {process.exitcode}: {step.line}", *lines]))

    def say(self, number: int, step: Step) -> None:
        elapsed, whole = time.monotonic() - self.started, sum(step.effort for step in self.steps)
        left = f"about {clock(elapsed * (whole - self.done) / self.done)} left" if self.done >= 4 else "minutes left"
        line = f"step {number} of {len(self.steps)}, {left}: {step.what}"
        if sys.stdout.isatty():
            print(f"\r\033[K{line}", end="", flush=True)
        else:
            print(line, flush=True)


if __name__ == "__main__":
    run_cli(main)
