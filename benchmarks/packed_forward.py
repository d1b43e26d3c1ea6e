"""Forward pass of ModernBERT-base (random weights): packed without padding against Hugging Face's padded sdpa.

    python benchmarks/packed_forward.py [--layers 22] [--repeats 3]

Times are of both sides in turns in one process; peak memory (Linux) is of a process of its own for each side.
"""

import argparse
import json
import multiprocessing
from pathlib import Path

import torch
from packed_common import SIDES, base_config, compared, interleaved, note_lengths, padded_batch, write_record
from tqdm import tqdm
from transformers import ModernBertModel

from bioclinical.errors import run_cli
from bioclinical.modeling import plan_attention, use_packed_forward

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
GROWTH_LENGTHS = (512, 1024, 2048, 4096, 8192)


def build(side: str, layers: int, precision: str) -> ModernBertModel:
    torch.manual_seed(0)
    model = ModernBertModel(base_config(layers)).eval().to(PRECISIONS[precision])
    if side == "packed_banded_sdpa":
        use_packed_forward(model, "banded_sdpa")
    return model


def peak_memory_bytes(side: str, layers: int, precision: str, lengths: list[int]) -> int:
    """What one forward adds to the peak of a fresh process that already holds the model."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(added_by_forward, (side, layers, precision, lengths, torch.get_num_threads()))


def added_by_forward(side: str, layers: int, precision: str, lengths: list[int], threads: int) -> int:
    torch.set_num_threads(threads)
    model, inputs = build(side, layers, precision), padded_batch(lengths)
    Path("/proc/self/clear_refs").write_text("5")  # Linux: forget the peak that building the model reached
    before = peak_resident_bytes()
    with torch.no_grad():
        model(**inputs)
    return peak_resident_bytes() - before


def peak_resident_bytes() -> int:
    """Largest resident memory since the peak was last forgotten."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def measure_case(name: str, lengths: list[int], precision: str, layers: int, repeats: int) -> dict[str, object]:
    models = {side: build(side, layers, precision) for side in SIDES}
    inputs = padded_batch(lengths)
    with torch.no_grad():
        seconds = interleaved({side: lambda m=model: m(**inputs) for side, model in models.items()}, repeats)
    del models
    return {
        "case": name,
        "precision": precision,
        "documents": len(lengths),
        "tokens": sum(lengths),
        "padded_tokens": len(lengths) * max(lengths),
        **compared(seconds, sum(lengths)),
        "peak_memory_added_bytes": {side: peak_memory_bytes(side, layers, precision, lengths) for side in SIDES},
    }


def measure_growth(repeats: int) -> list[dict[str, object]]:
    """Attention of one document alone (no projections), local against global, in fp32."""
    rows = []
    for tokens in GROWTH_LENGTHS:
        qkv = torch.randn(tokens, 3, 12, 64)
        bounds = torch.tensor([0, tokens], dtype=torch.int32)
        plans = {
            kind: plan_attention("banded_sdpa", bounds, tokens, tokens, window, torch.float32)
            for kind, window in (("local", (64, 64)), ("global", (None, None)))
        }
        seconds = interleaved({kind: lambda p=plan: p(qkv) for kind, plan in plans.items()}, repeats)
        rows.append({"tokens": tokens, **{f"{kind}_s": round(min(values), 5) for kind, values in seconds.items()}})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=22, help="encoder layers (default: 22, the base model)")
    parser.add_argument("--repeats", type=int, default=3, help="timed turns (default: 3)")
    args = parser.parse_args()
    cases = {
        "8 x 512": [512] * 8,
        "32 clinical notes": note_lengths(longest=2048, count=32),
        "1 x 4,096": [4096],
        "1 x 8,192": [8192],
    }
    runs = [(name, precision) for name in cases for precision in PRECISIONS]
    results = []
    for name, precision in tqdm(runs):
        results.append(measure_case(name, cases[name], precision, args.layers, args.repeats))
        print(json.dumps(results[-1]), flush=True)
    growth = measure_growth(args.repeats)
    write_record("packed_forward", {"layers": args.layers, "attention_growth_fp32": growth}, results)


if __name__ == "__main__":
    run_cli(main)
