"""Inference speed of encoders on this machine: tokens per second, by length of text and way of batching.

python multiprocess_bench.py --model answerdotai/ModernBERT-base > NAME_inference_times.log 2>&1

The last line on stdout is one JSON document; a table stands above it, progress goes to stderr.
"""

import argparse
import json
import sys
from pathlib import Path

from bioclinical.arguments import positive
from bioclinical.encoders.attention_names import ATTENTION_CHOICES
from bioclinical.errors import UserError, run_cli
from bioclinical.speed.document import Document, read_document, write_document
from bioclinical.speed.request import DEVICES, DTYPES, PLOT_SUFFIXES, PUBLISHED, Request

FULL = {"num_samples": 4096, "n_iters": 10, "datasets": None}
QUICK = {"num_samples": 8, "n_iters": 3, "datasets": ("fixed_short", "variable_short")}
# Beyond these the sets alone would fill a machine's memory, or the passes take days.
MOST_SAMPLES, MOST_PASSES = 1_000_000, 1_000_000


def main() -> None:
    args = parse_args(sys.argv[1:])
    if args.compare:
        print_ratios(*map(Path, args.compare), args.allow_different)
        return
    request = read_request(args)
    # Slow to import, and only wanted once the request is known to be in order.
    from bioclinical.speed.measuring import Measuring

    measuring = Measuring(request)
    try:
        measuring.run()
        exit_code = 1 if measuring.document["failures"] else 0
    except KeyboardInterrupt:  # SIGTERM as well
        print("stopped; what was measured is kept", file=sys.stderr)
        exit_code = 130
    measuring.document["complete"] = exit_code == 0
    finish(measuring.document, request)
    sys.exit(exit_code)


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    # fmt: off
    add = parser.add_argument_group("what is measured").add_argument
    add("--model", nargs="+", default=[], help="hub ids or folders; a folder without weights gets random ones")
    add("--datasets", type=dataset_names, help=f"of {', '.join(PUBLISHED)}; default: all that fit")
    add("--text_file", type=Path, help="lengths of your texts: .txt (one a line), or a table with a column notes")
    add("--num_samples", type=positive(int, MOST_SAMPLES), help="samples of a set (default: 4096)")
    add("--n_iters", type=positive(int, MOST_PASSES), help="timed passes over a set, after a first one (default: 10)")
    add("--quick", action="store_true", help="defaults for a CPU: 8 samples, 3 passes, the short sets")
    add = parser.add_argument_group("how").add_argument
    add("--device", choices=DEVICES, default="auto", help="default: auto")
    add("--gpu", type=int, default=0, help="number of the GPU (default: 0)")
    add("--dtype", choices=DTYPES, default="auto", help="auto: bf16 where the GPU has it, else fp32")
    add("--attn", choices=ATTENTION_CHOICES, default="auto",
        help="auto: each layout's best; packed...: the packed layout alone; another: the padded layouts alone")
    add("--batch_size", type=batch_size, metavar="{auto,N}", help="samples of a batch (default: auto, searched for)")
    add("--compile", action="store_true", help="torch.compile, for the padded and sorted layouts")
    add("--time_budget", type=positive(float), metavar="MINUTES", help="of the run: fewer passes, then a stop")
    add("--trust_remote_code", action="store_true", help="run Python code that comes with a hub model")
    add = parser.add_argument_group("files").add_argument
    add("--output", type=Path, metavar="FILE.json", help="the JSON document, kept up to date while measuring")
    add("--resume", action="store_true", help="measure only what --output does not hold yet")
    add("--plot", type=Path, metavar="FILE.png", help="bars by workload, and throughput by length")
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


def dataset_names(text: str) -> tuple[str, ...]:
    """An argparse type: names of published sets, separated by commas."""
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in PUBLISHED]:
        raise argparse.ArgumentTypeError(f"unknown '{unknown[0]}'; known: {', '.join(PUBLISHED)}")
    return names


def batch_size(text: str) -> int | None:
    """An argparse type: `auto` (None) or a number above zero."""
    return None if text == "auto" else positive(int)(text)


def read_request(args: argparse.Namespace) -> Request:
    """What is to be measured. Raises UserError for files that cannot be read or written."""
    if args.output and args.output.exists() and not args.resume:
        raise UserError(f"--output: '{args.output}' exists; --resume goes on with it, or choose another file")
    if args.output and args.output.exists():
        read_document(args.output)  # a damaged one is named before anything is loaded
    if args.plot and args.plot.suffix not in PLOT_SUFFIXES:
        raise UserError(f"--plot: '{args.plot}' must end in one of {', '.join(PLOT_SUFFIXES)}")
    if args.text_file and not args.text_file.is_file():
        raise UserError(f"--text_file: there is no file '{args.text_file}'")
    return Request(
        models=tuple(args.model),
        num_samples=args.num_samples,
        n_iters=args.n_iters,
        datasets=args.datasets,
        text_file=args.text_file,
        device=args.device,
        gpu=args.gpu,
        dtype=args.dtype,
        attn=args.attn,
        batch_size=args.batch_size,
        compile=args.compile,
        time_budget_min=args.time_budget,
        trust_remote_code=args.trust_remote_code,
        output=args.output,
        resume=args.resume,
        plot=args.plot,
    )


def print_ratios(a: Path, b: Path, allow_different: bool) -> None:
    """The table of --compare."""
    documents = [read_document(path) for path in (a, b)]
    from bioclinical.speed.ratios import ratio_table

    print(ratio_table(*documents, allow_different))


def finish(document: Document, request: Request) -> None:
    """Table, files, and the document as the last line of stdout."""
    from bioclinical.speed import display

    print(display.table(document))
    try:
        write_document(document, request.output)
        if request.plot and document["results"]:
            display.plot(document, request.plot)
    finally:
        print(json.dumps(document, allow_nan=False), flush=True)


def command() -> None:
    """The console command bioclinical-bench."""
    run_cli(main)


if __name__ == "__main__":
    command()
