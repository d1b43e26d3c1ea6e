"""Inference speed of encoders on this machine: tokens per second, by length of text and way of batching.

python multiprocess_bench.py --model answerdotai/ModernBERT-base > NAME_inference_times.log 2>&1

The last line on stdout is one JSON document; a table stands above it, progress goes to stderr.
"""

import argparse
import contextlib
import json
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from bioclinical.encoders import attention_choice
from bioclinical.errors import UserError, run_cli
from bioclinical.files import sha256_of_file, write_json
from bioclinical.runtime import machine, provenance
from bioclinical.speed import report as reports
from bioclinical.speed.compare import compare
from bioclinical.speed.plan import choose_dtype, plan_model, use_gpu
from bioclinical.speed.processes import messages_of
from bioclinical.speed.worker import Job, measure
from bioclinical.speed.workloads import PUBLISHED

DTYPES = ("auto", "fp32", "tf32", "bf16", "fp16")
FULL = {"num_samples": 4096, "n_iters": 10, "datasets": None}
QUICK = {"num_samples": 8, "n_iters": 3, "datasets": ["fixed_short", "variable_short"]}
CONFIG = ("num_samples", "n_iters", "attn", "batch_size", "compile")  # what --resume must find unchanged


def main() -> None:
    args = parse_args(sys.argv[1:])
    if args.compare:
        print(compare(*map(reports.read_report, args.compare), args.allow_different))
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is measured is kept
    jobs, report = prepare(args)
    try:
        measure_all(jobs, report, args)
        exit_code = 1 if report["failures"] else 0
    except KeyboardInterrupt:
        print("stopped; what was measured is kept", file=sys.stderr)
        exit_code = 130
    report["complete"] = exit_code == 0
    finish(args, report)
    sys.exit(exit_code)


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # fmt: off
    add = parser.add_argument_group("what is measured").add_argument
    add("--model", nargs="+", default=[], help="hub ids or folders; a folder without weights gets random ones")
    add("--datasets", type=lambda names: names.split(","), help=f"of {', '.join(PUBLISHED)}; default: all that fit")
    add("--text_file", help="lengths of your texts: .txt (one a line), or .csv, .tsv, .jsonl with a column notes")
    add("--num_samples", type=positive(int), help="samples of a set (default: 4096)")
    add("--n_iters", type=positive(int), help="timed passes over a set, after one to warm up (default: 10)")
    add("--quick", action="store_true", help="defaults for a CPU: 8 samples, 3 passes, the short sets")
    add = parser.add_argument_group("how").add_argument
    add("--device", choices=("auto", "cuda", "mps", "cpu"), default="auto", help="default: auto")
    add("--gpu", type=int, default=0, help="number of the GPU (default: 0)")
    add("--dtype", choices=DTYPES, default="auto", help="auto: bf16 where the GPU has it, else fp32")
    add("--attn", choices=attention_choice.ATTENTION_CHOICES, default="auto",
        help="auto: each layout's best; packed...: the packed layout alone; another: the padded layouts alone")
    add("--batch_size", type=batch_size, metavar="{auto,N}", help="samples of a batch (default: auto, searched for)")
    add("--compile", action="store_true", help="torch.compile, for the padded and sorted layouts")
    add("--time_budget", type=positive(float), metavar="MINUTES", help="of the run: fewer passes, then a stop")
    add("--trust_remote_code", action="store_true", help="run Python code that comes with a hub model")
    add = parser.add_argument_group("files").add_argument
    add("--output", metavar="FILE.json", help="the JSON document, kept up to date while measuring")
    add("--resume", action="store_true", help="measure only what --output does not hold yet")
    add("--plot", metavar="FILE.png", help="bars by workload, and throughput by length")
    add("--compare", nargs=2, metavar=("A.json", "B.json"), help="print the ratios b / a of two runs and end")
    add("--allow_different", action="store_true", help="--compare across hardware or dtypes")
    # fmt: on
    args = parser.parse_args(argv)
    if not args.model and not args.compare:
        parser.error("--model is needed (or --compare)")
    if args.resume and not args.output:
        parser.error("--resume needs the --output to go on with")
    for name, value in (QUICK if args.quick else FULL).items():
        if getattr(args, name) is None and not (name == "datasets" and args.text_file):
            setattr(args, name, value)
    return args


def positive(number: type):
    """An argparse type: a number above zero."""

    def parse(text: str):
        if not 0 < (value := number(text)) < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not above zero")
        return value

    parse.__name__ = f"positive {number.__name__}"
    return parse


def batch_size(text: str) -> int | None:
    """An argparse type: `auto` (None) or a number above zero."""
    return None if text == "auto" else positive(int)(text)


def prepare(args: argparse.Namespace) -> tuple[list[Job], reports.Report]:
    """The jobs and the document they fill; a user's mistakes end here, before anything is measured."""
    if args.output and Path(args.output).exists() and not args.resume:
        raise UserError(f"--output: '{args.output}' exists; --resume goes on with it, or choose another file")
    if args.plot and Path(args.plot).suffix not in reports.PLOT_SUFFIXES:
        raise UserError(f"--plot: '{args.plot}' must end in one of {', '.join(reports.PLOT_SUFFIXES)}")
    use_gpu(args.gpu)
    device = machine.choose_device(args.device)
    is_gpu = device.value == "cuda"
    dtype = choose_dtype(args.dtype, device.value, torch.cuda.get_device_capability() if is_gpu else (0, 0))
    print(f"device: {device}\ndtype: {dtype}")
    plans = {name: plan_model(name, args, device, dtype.value) for name in args.model}
    config = {name: getattr(args, name) for name in CONFIG}
    config["text_file_sha256"] = args.text_file and sha256_of_file(Path(args.text_file))
    report = {
        "model": args.model[0] if len(args.model) == 1 else args.model,
        "models": {name: sha256 for name, (_, sha256) in plans.items()},
        "device": device.value,
        "device_name": device.reason if is_gpu else provenance.cpu_name(),
        "dtype": dtype.value,
        "attention": args.attn,
        "config": config,
        "versions": provenance.installed_versions(),
        "hardware": provenance.hardware(),
        "git_commit": provenance.git_commit(),
        "command": sys.argv,
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "complete": False,
        "results": [],
        "failures": [],
    }
    if args.resume and Path(args.output).exists():
        report = reports.resumed(Path(args.output), report)
    return [job for jobs, _ in plans.values() for job in jobs], report


def measure_all(jobs: list[Job], report: reports.Report, args: argparse.Namespace) -> None:
    """Measures what the document does not hold yet, one process after another."""
    deadline = time.monotonic() + 60 * args.time_budget if args.time_budget else None
    done = {(row["model"], row["dataset"], row["layout"]) for row in report["results"]}
    jobs = [job for job in (without(job, done) for job in jobs) if job.attention]
    passes = (args.n_iters + 1) * sum(len(job.attention) for job in jobs)
    with tqdm(total=passes, unit="pass", file=sys.stderr, dynamic_ncols=True) as bar:
        for number, job in enumerate(jobs):
            patience = None
            if deadline:
                job = replace(job, seconds=(deadline - time.monotonic()) / (len(jobs) - number))
                patience = min(deadline, time.monotonic() + 2 * job.seconds)  # one that hangs leaves time to the others
            method = "forkserver" if job.device.value == "cpu" else "spawn"
            with contextlib.closing(messages_of(measure, job, method, patience)) as messages:
                for message in messages:
                    take(message, job, report, args, bar)


def without(job: Job, done: set[tuple[str, str, str]]) -> Job:
    """The job without the layouts that were measured already."""
    name, dataset = job.source.name, job.workload.name
    return replace(job, attention={k: choice for k, choice in job.attention.items() if (name, dataset, k) not in done})


def take(message: dict[str, Any], job: Job, report: reports.Report, args: argparse.Namespace, bar: tqdm) -> None:
    """Shows a process's message, and keeps its rows and failures."""
    name, dataset = job.source.name, job.workload.name
    if "failed" in message:
        report["failures"].append({"model": name, "dataset": dataset, "error": message["failed"]})
        bar.write(f"failed: {dataset} on {name}: {message['failed']}", file=sys.stderr)
    elif "row" in message:
        report["results"].append(message["row"])
        bar.update(args.n_iters - len(message["row"]["times_s"]))  # passes left out for want of time
        save(report, args)
    elif "passes" in message:
        bar.update(message["passes"])
    else:
        bar.set_description(f"{Path(name).name} {dataset}: {message['state']}")


def save(report: reports.Report, args: argparse.Namespace) -> None:
    """Writes --output as it stands."""
    report["attention"] = ", ".join(sorted({row["attention"] for row in report["results"]})) or args.attn
    if args.output:
        write_json(Path(args.output), report)


def finish(args: argparse.Namespace, report: reports.Report) -> None:
    """Table, files, and the document as the last line of stdout."""
    print(reports.table(report))
    try:
        save(report, args)
        if args.plot and report["results"]:
            reports.plot(report, Path(args.plot))
    finally:
        print(json.dumps(report, allow_nan=False), flush=True)


if __name__ == "__main__":
    run_cli(main)
