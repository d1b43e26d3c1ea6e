"""main.py over seeds, folds, models and the tasks of a suite, one run per GPU at a time (see run_parallel.sh).

bash scripts/run_parallel.sh --dataset ChemProt --model answerdotai/ModernBERT-base [any flag of main.py]
bash scripts/run_parallel.sh --suite blurb --model A --model B --seeds 42,43,44 [any flag of main.py]
"""

import argparse
import os
import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bioclinical.errors import RunFailed, UserError, end, run_cli
from bioclinical.launch.plan import Estimate, Plan, planned
from bioclinical.launch.workers import Stopped, Workers, available_gpus

SEEDS = "42,43,44,45,46"
MAIN = Path(__file__).resolve().parent.parent / "main.py"


def main() -> None:
    args, passed_on = parse_args(sys.argv[1:])
    seeds = whole_numbers("seed", args.seed or args.seeds)
    tasks, absent = tasks_of(args)
    plan = planned(tasks, args.model, seeds, folds_of(args, tasks), rates_of(args))
    gpus = available_gpus()
    at_once = min(jobs_at_once(args.jobs, gpus), len(plan.jobs))
    commands = [command(args, passed_on, plan, number) for number in range(len(plan.jobs))]
    if args.dry_run:
        for number, line in enumerate(commands):
            gpu = f"CUDA_VISIBLE_DEVICES={gpus[number % at_once % len(gpus)]} " if gpus else ""
            print(f"worker {number % at_once}: {gpu}{shlex.join(line)}")
        report_size(plan, at_once, absent)
        return
    failed, results = run(plan, commands, at_once, gpus)
    if args.select_on:
        choose(plan, results)
    report_failures(plan, failed, absent)


def parse_args(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """This program's arguments, and what is passed on to main.py as it stands."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False, prog="run_parallel.sh", usage=USAGE)
    parser.add_argument("--dataset", help="one task")
    parser.add_argument("--suite", help="all tasks of a suite (dataloader.py --list)")
    parser.add_argument("--model", action="append", default=[], help="hub id or folder; may be given several times")
    parser.add_argument("--seeds", default=SEEDS, help=f"default: {SEEDS}")
    parser.add_argument("--seed", help="one seed: the same as main.py")
    parser.add_argument("--folds", help="of a cross-validated task: all, or numbers such as 1,2 (suites: all)")
    parser.add_argument(
        "--select_on", help="validation: of several learning rates, --lr 1e-5,2e-5,5e-5, the best one there"
    )
    parser.add_argument("--jobs", help="runs at a time (default: number of GPUs, else 1)")
    parser.add_argument("--data_dir", default="data/raw", help="as in main.py")
    parser.add_argument("--save_model", metavar="DIR", help="DIR/seed=N; with several tasks or models, below these")
    parser.add_argument("--dry_run", action="store_true", help="print the plan and its size, and stop")
    for position, flag in enumerate(argv):  # argparse's own sentence does not say which value
        if flag in NEED_VALUES and (position + 1 == len(argv) or argv[position + 1].startswith("--")):
            raise UserError(f"{flag} needs a value")
    args, passed_on = parser.parse_known_args(argv)
    if bool(args.dataset) == bool(args.suite):
        raise UserError("--dataset is required, e.g. --dataset ChemProt; or --suite, e.g. --suite blurb; not both")
    if not args.model:
        raise UserError("--model is required: a hub id or a folder")
    passed_on = without_trials(args, passed_on)
    if len(set(args.model)) < len(args.model):
        raise UserError("--model: the same model is named twice")
    return args, passed_on


USAGE = "%(prog)s (--dataset TASK | --suite SUITE) --model MODEL [--model MODEL ...] [options] [any flag of main.py]"
NEED_VALUES = {
    "--dataset",
    "--suite",
    "--model",
    "--seeds",
    "--seed",
    "--folds",
    "--select_on",
    "--jobs",
    "--save_model",
}


def whole_numbers(what: str, text: str) -> list[int]:
    """Numbers separated by commas or blanks; raises UserError for anything else, or one named twice."""
    words = re.split(r"[, ]+", text.strip(", "))
    if words == [""]:
        raise UserError(f"--{what}s is empty")
    for word in words:
        if not re.fullmatch(r"\d{1,10}", word):
            raise UserError(f"{what} '{word}' is not a whole number")
    numbers = [int(word) for word in words]
    for number in numbers:
        if numbers.count(number) > 1:
            raise UserError(f"{what} {number} is named twice")
    return numbers


def without_trials(args: argparse.Namespace, passed_on: list[str]) -> list[str]:
    """What is left for main.py where the learning rates (then in `args`) are trials; otherwise all of it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--lr")
    rates, others = parser.parse_known_args(passed_on)
    args.lr = rates.lr
    check_trials(args)
    return others if args.select_on else passed_on


def check_trials(args: argparse.Namespace) -> None:
    """Raises UserError for learning rates that are none, or a choice that would look at the test."""
    rates = (args.lr or "").split(",")
    for rate in rates if len(rates) > 1 else ():
        if not re.fullmatch(r"\d*\.?\d+(e-?\d{1,3})?", rate) or not 0 < float(rate) < 1:
            raise UserError(f"--lr '{rate}' is not a number between 0 and 1")
    if len(rates) > 1 and len({float(rate) for rate in rates}) < len(rates):
        raise UserError(f"--lr {args.lr}: a rate is named twice")
    if args.select_on not in (None, "validation"):
        raise UserError(f"--select_on {args.select_on}: trials are chosen on validation only")
    if len(rates) > 1 and not args.select_on:
        raise UserError("several learning rates need --select_on validation")
    if args.select_on and len(rates) < 2:
        raise UserError("--select_on chooses among learning rates: --lr 1e-5,2e-5,5e-5")


def rates_of(args: argparse.Namespace) -> list[str | None]:
    return args.lr.split(",") if args.select_on else [None]


def choose(plan: Plan, results: dict[int, Path]) -> None:
    """For each task, model and fold the learning rate with the best mean validation score, on record."""
    from bioclinical.results.selection import write_selection

    cells: dict[tuple, dict[str, list[Path | None]]] = {}
    for number, job in enumerate(plan.jobs):
        cell = cells.setdefault((job.task, job.model, job.fold), {})
        cell.setdefault(job.lr, []).append(results.get(number))
    for (task, model, _), trials in cells.items():
        try:
            path, record = write_selection("lr", trials)
        except UserError as error:
            print(f"{task} {model}: {error}", flush=True)
            continue
        value = next(t["value"] for t in record["trials"] if t["group"] == record["chosen"])
        print(f"{task} {model}: lr {value} of {len(trials)} by validation {record['metric']}: {path}", flush=True)


def jobs_at_once(wanted: str | None, gpus: Sequence[str]) -> int:
    if wanted is None:
        return max(1, len(gpus))
    if not re.fullmatch(r"[1-9]\d{0,4}", wanted):
        raise UserError(f"--jobs '{wanted}' is not a number above zero")
    return int(wanted)


def tasks_of(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The tasks to run, and a sentence for each member of the suite whose files are not there."""
    if args.dataset:
        return [args.dataset], []
    from bioclinical.tasks.loading import existing_files
    from bioclinical.tasks.suites import get_suite
    from dataloader import get_task

    there, absent = [], []
    for name in get_suite(args.suite).tasks:
        task = get_task(name)
        try:
            existing_files(task, Path(args.data_dir) / task.folder)
            there.append(name)
        except UserError as error:
            absent.append(str(error))
    if not there:
        raise UserError(f"no task of the suite {args.suite} has its files under '{args.data_dir}'; {absent[0]}")
    return there, absent


def folds_of(args: argparse.Namespace, tasks: Sequence[str]) -> dict[str, list[int | None]]:
    """Task -> the folds to run; all of them in a suite."""
    if not args.folds and not args.suite:
        return {}
    from dataloader import get_task

    chosen = {}
    for name in tasks:
        folds = get_task(name).folds if get_task(name).default_fold is None or args.dataset else ()
        if args.folds and args.folds != "all" and folds:
            wanted = whole_numbers("fold", args.folds)
            if unknown := [fold for fold in wanted if fold not in folds]:
                raise UserError(f"fold {unknown[0]} does not exist; {name} has {folds[0]} to {folds[-1]}")
            folds = tuple(wanted)
        if folds:
            chosen[name] = list(folds)
    if args.folds and not chosen:
        raise UserError(f"--folds: {', '.join(tasks)} has no folds")
    return chosen


def command(args: argparse.Namespace, passed_on: list[str], plan: Plan, number: int) -> list[str]:
    """The command line of one run. A launch of several tasks or models continues what an earlier one left."""
    job = plan.jobs[number]
    own = job.arguments()
    line = [sys.executable, str(MAIN), *own[:-2]]
    if args.data_dir != "data/raw":
        line += ["--data_dir", args.data_dir]
    line += passed_on
    if not plan.varies_in_seed_only and not {"--resume", "--overwrite"} & set(passed_on):
        line.append("--resume")
    line += own[-2:]
    return line + (["--save_model", plan.save_folder(args.save_model, job)] if args.save_model else [])


def run(plan: Plan, commands: list[list[str]], at_once: int, gpus: list[str]) -> tuple[list[int], dict[int, Path]]:
    """Runs everything; returns the numbers of what failed, and the results of what did not.

    Ends with code 130 where a signal stops it.
    """
    estimate, started, failures = Estimate(plan.jobs, at_once), time.monotonic(), []

    def after(number: int, succeeded: bool, seconds: float) -> None:
        estimate.finished(plan.jobs[number], seconds)
        failures.extend([] if succeeded else [number])
        if not plan.varies_in_seed_only:
            workers.say(estimate.line(time.monotonic() - started, len(failures)))

    workers = Workers(commands, [plan.label(job) for job in plan.jobs], at_once, gpus, after)
    try:
        failed = workers.run()
        return failed, {n: Path(line) for n, line in workers.last_lines.items() if line.endswith(".json")}
    except Stopped:
        end(130, "stopped; add --resume to continue the seeds that were running")


def report_size(plan: Plan, at_once: int, absent: list[str]) -> None:
    """How much there is to do, on stderr, so that the plan itself can be piped."""
    kinds = [len({getattr(job, name) for job in plan.jobs}) for name in ("task", "model", "seed")]
    print(
        f"{len(plan.jobs)} runs of {kinds[0]} task(s), {kinds[1]} model(s), {kinds[2]} seed(s), {at_once} at a time",
        file=sys.stderr,
    )
    for sentence in absent:
        print(f"not in the plan: {sentence}", file=sys.stderr)


def report_failures(plan: Plan, failed: list[int], absent: list[str]) -> None:
    """Raises RunFailed naming what failed and what could not be run."""
    if not failed and not absent:
        return
    if plan.varies_in_seed_only and not absent:
        seeds = " ".join(str(plan.jobs[number].seed) for number in failed)
        raise RunFailed(f"failed seeds: {seeds} (the others finished)")
    lines = [f"failed: {plan.label(plan.jobs[number])}" for number in failed]
    lines += [f"not run: {sentence}" for sentence in absent]
    raise RunFailed(
        f"{len(failed)} of {len(plan.jobs)} runs failed and {len(absent)} task(s) of the suite have no files; the same "
        "command runs only what is not finished\n" + "\n".join(lines)
    )


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    run_cli(main)
