"""Inference speed of encoders on this machine: tokens per second, by length of text and way of batching.

python multiprocess_bench.py --model answerdotai/ModernBERT-base > NAME_inference_times.log 2>&1

The last line on stdout is one JSON document; a table stands above it, progress goes to stderr.
"""

import argparse
import contextlib
import dataclasses
import json
import signal
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from bioclinical import runtime
from bioclinical.errors import UserError, run_cli
from bioclinical.files import sha256_of_file, write_json
from bioclinical.speed import report as reports
from bioclinical.speed.compare import compare
from bioclinical.speed.plan import choose_dtype, plan_model, use_gpu
from bioclinical.speed.processes import messages_of
from bioclinical.speed.worker import Job, measure
from bioclinical.speed.workloads import PUBLISHED

FULL = {"num_samples": 4096, "n_iters": 10, "datasets": None}
QUICK = {"num_samples": 8, "n_iters": 3, "datasets": ["fixed_short", "variable_short"]}
CONFIG = ("num_samples", "n_iters", "attn", "batch_size", "compile")


def main() -> None:
    args = parse_args(sys.argv[1:])
    if args.compare:
        print(compare(*map(reports.read_report, args.compare), args.allow_different))
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what is measured is kept
    deadline = time.monotonic() + 60 * args.time_budget if args.time_budget else None
    jobs, report = prepare(args)
    interrupted = False
    try:
        measure_all(jobs, report, args, deadline)
    except KeyboardInterrupt:
        interrupted = True
        print("stopped; what was measured is kept", file=sys.stderr)
    report["complete"] = not (interrupted or report["failures"])
    finish(args, report)
    if not report["complete"]:
        sys.exit(130 if interrupted else 1)


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", help="hub ids or folders; a folder without weights gets random ones")
    what = parser.add_argument_group("what is measured")
    what.add_argument(
        "--datasets",
        type=lambda names: names.split(","),
        help=f"default: those of {', '.join(PUBLISHED)} that the context holds",
    )
    what.add_argument(
        "--text_file", help=".txt (a text per line), or .csv, .tsv, .jsonl with a column notes: your own lengths"
    )
    what.add_argument("--num_samples", type=positive(int), help="samples of a set (default: 4096)")
    what.add_argument(
        "--n_iters", type=positive(int), help="timed passes over a set, after one to warm up (default: 10)"
    )
    what.add_argument("--quick", action="store_true", help="CPU-sized defaults: 8 samples, 3 passes, short sets")
    how = parser.add_argument_group("how")
    how.add_argument("--device", choices=("auto", "cuda", "mps", "cpu"), default="auto", help="default: auto")
    how.add_argument("--gpu", type=int, metavar="N", default=0, help="number of the GPU (default: 0)")
    how.add_argument(
        "--dtype",
        choices=("auto", "fp32", "tf32", "bf16", "fp16"),
        default="auto",
        help="default: auto, bf16 where the GPU has it, else fp32",
    )
    how.add_argument(
        "--attn",
        choices=runtime.ATTENTION_CHOICES,
        default="auto",
        help="auto: all layouts, each with its best; packed...: the packed layout alone; else the padded ones",
    )
    how.add_argument("--batch_size", type=batch_size, help="auto (default) or samples of a batch")
    how.add_argument("--compile", action="store_true", help="torch.compile for the padded and sorted layouts")
    how.add_argument(
        "--time_budget", type=positive(float), metavar="MINUTES", help="of the whole run: fewer passes, then a stop"
    )
    how.add_argument("--trust_remote_code", action="store_true", help="run Python code that comes with a hub model")
    files = parser.add_argument_group("files")
    files.add_argument("--output", metavar="FILE.json", help="the JSON document, kept up to date while measuring")
    files.add_argument("--resume", action="store_true", help="measure only what --output does not hold yet")
    files.add_argument("--plot", metavar="FILE.png", help="bars by workload, and throughput by length")
    files.add_argument(
        "--compare", nargs=2, metavar=("A.json", "B.json"), help="print ratios b / a of two runs and end"
    )
    files.add_argument("--allow_different", action="store_true", help="--compare across hardware or dtypes")
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
        value = number(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not above zero")
        return value

    parse.__name__ = f"positive {number.__name__}"
    return parse


def batch_size(text: str) -> int | None:
    """An argparse type: `auto` (None) or a number above zero."""
    return None if text == "auto" else positive(int)(text)


def prepare(args: argparse.Namespace) -> tuple[list[Job], reports.Report]:
    """The jobs still to do and the document they fill; a user's mistakes end here, before anything is measured."""
    if args.output and Path(args.output).exists() and not args.resume:
        raise UserError(f"--output: '{args.output}' exists; --resume goes on with it, or choose another file")
    if args.plot and Path(args.plot).suffix not in reports.PLOT_SUFFIXES:
        raise UserError(f"--plot: '{args.plot}' must end in one of {', '.join(reports.PLOT_SUFFIXES)}")
    use_gpu(args.gpu)
    device = runtime.choose_device(args.device)
    is_gpu = device.value == "cuda"
    dtype = choose_dtype(args.dtype, device.value, torch.cuda.get_device_capability() if is_gpu else (0, 0))
    plans = {name: plan_model(name, args, device, dtype.value) for name in args.model}
    report = {
        "model": args.model[0] if len(args.model) == 1 else args.model,
        "models": {name: sha256 for name, (_, sha256) in plans.items()},
        "device": device.value,
        "device_name": device.reason if is_gpu else runtime.cpu_name(),
        "dtype": dtype.value,
        "attention": args.attn,
        "config": {name: getattr(args, name) for name in CONFIG}
        | {"text_file_sha256": args.text_file and sha256_of_file(Path(args.text_file))},
        "versions": runtime.installed_versions(),
        "hardware": runtime.hardware(),
        "git_commit": runtime.git_commit(),
        "command": sys.argv,
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "results": [],
        "failures": [],
        "complete": False,
    }
    if args.resume and Path(args.output).exists():
        report = reports.resumed(Path(args.output), report)
    for name, choice in (("device", device), ("dtype", dtype)):
        print(f"{name}: {choice}")
    return [job for plan, _ in plans.values() for job in plan], report


def measure_all(jobs: list[Job], report: reports.Report, args: argparse.Namespace, deadline: float | None) -> None:
    """Measures what the document does not hold yet, one process after another, and keeps --output up to date."""
    done = {reports.row_key(row) for row in report["results"]}
    jobs = [rest for job in jobs if (rest := without(job, done)).attention]
    rows = sum(len(job.attention) for job in jobs)
    with tqdm(total=rows * (args.n_iters + 1), unit="pass", file=sys.stderr, dynamic_ncols=True) as bar:
        for number, job in enumerate(jobs):
            if deadline:
                job = dataclasses.replace(job, seconds=(deadline - time.monotonic()) / (len(jobs) - number))
            measure_one(job, report, args, deadline, bar)


def without(job: Job, done: set[tuple[str, ...]]) -> Job:
    """The job's layouts that were not measured yet."""
    key = (job.source.name, job.workload.name)
    return dataclasses.replace(job, attention={k: v for k, v in job.attention.items() if (*key, k) not in done})


def measure_one(job: Job, report: reports.Report, args: argparse.Namespace, deadline: float | None, bar: tqdm) -> None:
    """Runs one job in its process and takes what it sends into the document."""
    about = {"model": job.source.name, "dataset": job.workload.name}
    planned = bar.n
    bar.set_description(f"{Path(job.source.name).name} {job.workload.name}")
    with contextlib.closing(messages_of(measure, job, deadline)) as messages:
        for message in messages:
            if "state" in message:
                bar.set_postfix_str(message["state"])
            elif "passes" in message:
                bar.update(message["passes"])
            elif "row" in message:
                report["results"].append(message["row"])
                planned += args.n_iters + 1
                bar.update(planned - bar.n)  # where time was up for further passes
                save(report, args)
            else:
                report["failures"].append(about | {"error": message["failed"]})
                bar.write(f"failed: {about['model']} on {about['dataset']}: {message['failed']}", file=sys.stderr)


def save(report: reports.Report, args: argparse.Namespace) -> None:
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
