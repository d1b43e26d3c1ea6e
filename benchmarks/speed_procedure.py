"""Whole-run time and throughput of multiprocess_bench.py against a plain re-creation of the published procedure.

The re-creation searches the batch size as published: linearly, a new process with a new model for every try, the whole
set in every try; then it times passes without warming up, and counts nominal tokens. On a GPU a try fails for want of
memory; here each of its processes may take --limit_mb more than the loaded model. The numbers of samples and of the
first try are scaled down.

python benchmarks/speed_procedure.py --model FOLDER --output benchmarks/results/speed_procedure.json
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModel

from bioclinical.errors import run_cli
from bioclinical.files import write_json
from bioclinical.runtime import provenance
from bioclinical.speed.workloads import draw_ids, published

ROOT = Path(__file__).resolve().parents[1]
SETS = ("fixed_short", "variable_short")
PUBLISHED_SAMPLES, PUBLISHED_START = 4096, 2740


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--num_samples", type=int, default=64)
    parser.add_argument("--n_iters", type=int, default=5)
    parser.add_argument("--limit_mb", type=int, default=1000, help="memory of a try beside the model's, in MB")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    sides = {"this repository": ours(args), "published procedure": {name: published_run(args, name) for name in SETS}}
    seconds = {side: sum(one["seconds"] for one in sets.values()) for side, sets in sides.items()}
    record = {
        "command": "python benchmarks/speed_procedure.py --model FOLDER", "model": Path(args.model).name,
        "num_samples": args.num_samples, "n_iters": args.n_iters, "limit_mb": args.limit_mb, "sides": sides,
        "seconds": seconds, "times_faster": seconds["published procedure"] / seconds["this repository"],
        "versions": provenance.installed_versions(), "hardware": provenance.hardware(),
        "git_commit": provenance.git_commit(),
    }  # fmt: skip
    print(json.dumps({key: record[key] for key in ("sides", "seconds", "times_faster")}, indent=1))
    if args.output:
        write_json(args.output, record)


def ours(args: argparse.Namespace) -> dict[str, dict]:
    """The script as a user calls it; the padded rows are the published layout, `sorted` is measured besides."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            str(ROOT / "multiprocess_bench.py"),
            "--model",
            args.model,
            "--output",
            f"{folder}/a",
        ]
        command += ["--datasets", ",".join(SETS), "--device", "cpu", "--attn", "auto"]
        command += ["--num_samples", str(args.num_samples), "--n_iters", str(args.n_iters)]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        rows = json.loads(Path(folder, "a").read_text())["results"]
    keys = ("batch_size", "ktok_per_sec_nominal", "median_s", "sd_s")
    padded = {row["dataset"]: row for row in rows if row["layout"] == "padded"}
    return {name: {"seconds": seconds / len(SETS)} | {key: padded[name][key] for key in keys} for name in SETS}


def published_run(args: argparse.Namespace, name: str) -> dict:
    """Search, then timed passes, of one set."""
    started, tries = time.perf_counter(), []

    def works(size: int) -> bool:
        tries.append(size)
        return bool(in_process(args, name, size, 1))

    size = search(works, args.num_samples)
    times = in_process(args, name, size, args.n_iters)
    nominal = published(name, 1).nominal_length * args.num_samples / 1000
    return {
        "seconds": time.perf_counter() - started, "processes": len(tries) + 1, "batch_size": size,
        "ktok_per_sec_nominal": nominal / statistics.mean(times), "median_s": statistics.median(times),
        "sd_s": statistics.stdev(times),
    }  # fmt: skip


def search(works: Callable[[int], bool], most: int) -> int:
    """From the start upwards by 16 or, where that fails, downwards by 64 and by 4; then up by ever smaller steps."""
    size, found = round(PUBLISHED_START * most / PUBLISHED_SAMPLES), False
    while not (found := works(size)) and size > 64:
        size -= 64
    while not found and size > 4:
        size -= 4
        found = works(size)
    size = size if found else 1
    for step in (32, 16, 8, 4, 2):
        while size + step <= most and works(size + step):
            size += step
    return size - 4 if size > 8 else size


def in_process(args: argparse.Namespace, name: str, size: int, passes: int) -> list[float]:
    """Seconds of passes over the set in a process of its own; none where memory was short."""
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(
        target=timed_passes, args=(results, args.model, name, args.num_samples, size, passes, args)
    )
    process.start()
    process.join()
    return results.get() if process.exitcode == 0 else []


def timed_passes(results, model: str, name: str, samples: int, size: int, passes: int, args) -> None:
    encoder = AutoModel.from_pretrained(model).eval()
    workload = published(name, samples)
    ids = draw_ids(workload, encoder.config.vocab_size, encoder.config.pad_token_id).long()
    mask = (torch.arange(workload.longest) < torch.from_numpy(workload.lengths)[:, None]).long()
    with torch.no_grad():
        encoder(input_ids=ids[:1, :8], attention_mask=mask[:1, :8])  # starts the threads, whose stacks count as memory
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + args.limit_mb * 10**6
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    times = []
    try:
        for _ in range(passes):
            started = time.time()
            with torch.no_grad():
                for start in range(0, samples, size):
                    encoder(input_ids=ids[start : start + size], attention_mask=mask[start : start + size])
            times.append(time.time() - started)
    except RuntimeError:  # as published: any is taken for a lack of memory
        sys.exit(1)
    results.put(times)


if __name__ == "__main__":
    run_cli(main)
