"""A fine-tuned model on this CPU: torch in fp32 and bf16, ONNX in fp32 and INT8, all with their scores.

    python benchmarks/serving.py --model DIR --fp32 ONNX_DIR --int8 ONNX_DIR --validation examples.jsonl --output FILE

The sides take turns on the same batches (16 rows of similar length, tokenised beforehand); tokens are true ones,
padding left out. The folders are those of `python -m bioclinical.export_onnx`.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bioclinical.encoders.source import Source
from bioclinical.errors import run_cli
from bioclinical.files import write_json
from bioclinical.inference.onnx_export import logits_over, read_validation, score
from bioclinical.inference.onnx_model import MODEL_FILE
from bioclinical.inference.predictor import Predictor
from bioclinical.problems.encoding import token_ids
from bioclinical.runtime import provenance


def main() -> None:
    parser = argparse.ArgumentParser(description="Tokens per second and scores of a model's forms for serving.")
    parser.add_argument("--model", required=True, help="saved by main.py --save_model")
    parser.add_argument("--fp32", required=True, help="exported by export_onnx")
    parser.add_argument("--int8", required=True, help="exported by export_onnx --int8")
    parser.add_argument("--validation", required=True, help="written by dataloader.py --dump")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side (default: 5)")
    parser.add_argument("--batches", type=int, default=20, help="batches a turn (default: 20)")
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args()
    predictors = {
        "torch fp32": Predictor(Source(args.model), 16),
        "torch bf16": Predictor(Source(args.model), 16),
        "ONNX fp32": Predictor(Source(args.fp32), 16, runtime="onnx"),
        "ONNX INT8": Predictor(Source(args.int8), 16, runtime="onnx"),
    }
    predictors["torch bf16"].model.to(torch.bfloat16)
    first = predictors["torch fp32"]
    examples = read_validation(Path(args.validation), first)
    rows = first.problem.encode(first.coder, examples).longest_first()
    spaced = rows[:: max(1, len(rows) // (16 * args.batches))][: 16 * args.batches]
    batches = [spaced[start : start + 16] for start in range(0, len(spaced), 16)]
    tokens = sum(len(token_ids(row)) for row in spaced)
    seconds = measured({name: turn(one, batches) for name, one in predictors.items()}, args.rounds)
    sizes = {"torch fp32": folder_bytes(args.model, "*.safetensors")}
    sizes |= {"torch bf16": sizes["torch fp32"] // 2}
    sizes |= {"ONNX fp32": folder_bytes(args.fp32, MODEL_FILE), "ONNX INT8": folder_bytes(args.int8, MODEL_FILE)}
    metric = first.problem.selection_metric
    record = {
        "command": sys.argv,
        "dataset": first.facts.dataset,
        "metric": metric,
        "validation_examples": len(examples),
        "tokens_a_turn": tokens,
        "sides": {
            name: {
                "tokens_per_s": round(tokens / statistics.median(times), 1),
                "slowest": round(tokens / max(times), 1),
                "fastest": round(tokens / min(times), 1),
                metric: round(score(one, examples, logits_over(one, examples))[metric], 6),
                "bytes": sizes[name],
            }
            for (name, one), times in zip(predictors.items(), seconds.values())
        },
        "openvino": provenance.versions_of("openvino").get("openvino", "not installed"),
        "versions": provenance.installed_versions() | provenance.versions_of("onnx", "onnxruntime", "optimum"),
        "hardware": provenance.hardware(),
    }
    write_json(Path(args.output), record)
    for name, side in record["sides"].items():
        print(f"{name:12}{side['tokens_per_s']:12,.0f} tokens/s  {metric} {side[metric]:.4f}  {side['bytes']:,} bytes")


@torch.inference_mode()
def run_turn(predictor: Predictor, batches: list[list[dict]]) -> None:
    """All batches once."""
    for batch in batches:
        predictor.forward(batch, [""] * len(batch))


def turn(predictor: Predictor, batches: list[list[dict]]) -> Callable[[], None]:
    """One side's turn."""
    return lambda: run_turn(predictor, batches)


def measured(turns: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side's turns, after one that warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, take in turns.items():
            started = time.perf_counter()
            take()
            if number:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def folder_bytes(folder: str, pattern: str) -> int:
    """Size of a model's weights."""
    return sum(path.stat().st_size for path in Path(folder).glob(pattern))


if __name__ == "__main__":
    run_cli(main)
