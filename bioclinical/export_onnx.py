"""A fine-tuned model as a file for serving on CPUs, checked against the original before it is kept.

python -m bioclinical.export_onnx --model DIR --out DIR --validation examples.jsonl [--int8]
"""

import argparse
from pathlib import Path
from typing import Any

from bioclinical.arguments import at_least_zero, positive
from bioclinical.errors import RunFailed, UserError, run_cli
from bioclinical.files import atomic_path, write_json

FACTS_FILE = "onnx.json"
LARGEST_DIFFERENCE = 1e-3  # of a logit in fp32; more means that another model was written


def main() -> None:
    args = parse_args()
    out = Path(args.out)
    if out.exists() and not (args.overwrite and (out / FACTS_FILE).is_file()):
        raise UserError(f"--out: '{out}' exists; choose another folder, or --overwrite for an earlier export")
    if not Path(args.validation).is_file():
        raise UserError(
            f"there is no file '{args.validation}'; write it with dataloader.py --dataset T --dump FILE.jsonl"
        )

    from bioclinical.encoders.source import Source
    from bioclinical.inference.onnx_export import load_reference, read_validation, write_onnx

    source = Source(args.model)
    original = load_reference(source, args.batch_size)
    examples = read_validation(Path(args.validation), original)[: args.limit]
    with atomic_path(out) as partial:
        write_onnx(source, original, partial)
        write_json(partial / FACTS_FILE, checked(args, original, examples, partial))
    print(out)


def checked(args: argparse.Namespace, original: Any, examples: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """Compares the export with the original, makes it INT8 where asked for, and says how both score.

    Raises RunFailed where the outputs differ or the score falls by more than --tolerance.
    """
    from bioclinical.inference.onnx_export import largest_difference, load_exported, logits_over, quantize, score
    from bioclinical.runtime import provenance

    before = logits_over(original, examples)
    after = logits_over(load_exported(folder, args.batch_size), examples)
    difference = largest_difference(before, after)
    print(f"ONNX in fp32: largest difference of a logit {difference:.1e} over {len(before):,} rows")
    if not difference <= LARGEST_DIFFERENCE:
        raise RunFailed(f"the exported model differs from the original by {difference:.1e}; nothing was written")
    if args.int8:
        quantize(folder)
        after = logits_over(load_exported(folder, args.batch_size), examples)
    scores = {"torch": score(original, examples, before), "onnx": score(original, examples, after)}
    metric = original.problem.metrics(original.coder.labels, None, original.problem.selection_metric)[0]
    loss = (scores["torch"][metric.name] - scores["onnx"][metric.name]) * (1 if metric.higher_is_better else -1)
    kind = "int8" if args.int8 else "fp32"
    shown = {name: metric.display(values[metric.name]) for name, values in scores.items()}
    print(f"{metric.name} of {len(examples):,} validation examples: torch {shown['torch']}, {kind} {shown['onnx']}")
    if loss > args.tolerance:
        raise RunFailed(
            f"{kind} loses {loss:.4f} of {metric.name} on validation, more than --tolerance {args.tolerance:g}; "
            "nothing was written"
        )
    return {
        "model": args.model,
        "identity": original.identity,
        "precision": kind,
        "largest_logit_difference_fp32": difference,
        "validation_examples": len(examples),
        "metric": metric.name,
        "tolerance": args.tolerance,
        "scores": scores,
        "bytes": sum(path.stat().st_size for path in folder.glob("*.onnx*")),
        "versions": provenance.installed_versions() | provenance.versions_of("onnx", "onnxruntime", "optimum"),
        "hardware": provenance.hardware(),
    }


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Write a fine-tuned model as ONNX, checked against the original.")
    parser.add_argument("--model", required=True, help="the folder of a model saved by main.py --save_model")
    parser.add_argument("--out", required=True, help="folder to write")
    parser.add_argument(
        "--validation", required=True, metavar="FILE.jsonl", help="its task's examples: dataloader.py --dump FILE.jsonl"
    )
    parser.add_argument("--int8", action="store_true", help="weights as 8-bit integers (default: fp32)")
    parser.add_argument(
        "--tolerance",
        type=at_least_zero(float),
        default=0.01,
        help="largest loss of the validation score, as a fraction; more and nothing is kept (default: 0.01)",
    )
    parser.add_argument("--limit", type=positive(int), help="first N validation examples only")
    parser.add_argument("--batch_size", type=positive(int), default=16, help="rows a batch (default: 16)")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    return parser.parse_args()


if __name__ == "__main__":
    run_cli(main)
