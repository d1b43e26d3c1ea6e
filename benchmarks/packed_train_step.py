"""One MLM training step of ModernBERT-base (random weights): packed against Hugging Face's padded sdpa, dense logits.

    python benchmarks/packed_train_step.py [--layers 22] [--repeats 3]

A step is forward, backward and AdamW on 4 documents with the lengths of real notes (clipped at 1,024), 30 % masked.
"""

import argparse
import json
import statistics
from collections.abc import Callable

import torch
from packed_common import SIDES, base_config, compared, interleaved, note_lengths, padded_batch, write_record
from tqdm import tqdm
from transformers import ModernBertForMaskedLM

from bioclinical.errors import run_cli
from bioclinical.modeling import encode, mlm_loss, pack

DOCUMENTS = 4
MASKED_PART = 0.3


def masked_batch(lengths: list[int]) -> dict[str, torch.Tensor]:
    """A padded batch with labels at 30 % of its tokens."""
    batch = padded_batch(lengths)
    chosen = torch.rand(batch["input_ids"].shape, generator=torch.Generator().manual_seed(1)) < MASKED_PART
    labels = batch["input_ids"].masked_fill(~(chosen & batch["attention_mask"].bool()), -100)
    return {**batch, "labels": labels}


def step(loss_of: Callable[[ModernBertForMaskedLM], torch.Tensor], bf16: bool, layers: int) -> Callable[[], float]:
    """A training step with a model and optimizer of its own."""
    torch.manual_seed(0)
    model = ModernBertForMaskedLM(base_config(layers)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def run() -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = loss_of(model)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.item()

    return run


def measure(lengths: list[int], precision: str, layers: int, repeats: int) -> dict[str, object]:
    batch = masked_batch(lengths)

    def dense_loss(model: ModernBertForMaskedLM) -> torch.Tensor:
        return model(**batch).loss

    def packed_loss(model: ModernBertForMaskedLM) -> torch.Tensor:
        packed = pack(batch["input_ids"], batch["attention_mask"])
        hidden = encode(model.model, packed.input_ids, packed.cu_seqlens, packed.max_seqlen, "banded_sdpa")
        loss_sum, count = mlm_loss(model, hidden, batch["labels"].flatten()[packed.indices])
        return loss_sum / count

    bf16 = precision == "bf16 autocast"
    steps = {"hf_sdpa_padded": step(dense_loss, bf16, layers), "packed_banded_sdpa": step(packed_loss, bf16, layers)}
    losses: dict[str, list[float]] = {side: [] for side in steps}
    seconds = interleaved({side: lambda s=side: losses[s].append(steps[s]()) for side in steps}, repeats)
    return {
        "precision": precision,
        "lengths": lengths,
        "tokens": sum(lengths),
        "padded_tokens": len(lengths) * max(lengths),
        **compared(seconds, sum(lengths)),
        "losses": {side: [round(loss, 5) for loss in values] for side, values in losses.items()},
    }


def overall(results: list[dict[str, object]]) -> dict[str, dict[str, float]]:
    """Real tokens a second over all batches of a precision, and the packed side's speed-up."""
    totals = {}
    for precision in {result["precision"]: None for result in results}:
        rows = [result for result in results if result["precision"] == precision]
        tokens = sum(row["tokens"] for row in rows)
        seconds = {side: sum(statistics.median(row["seconds"][side]) for row in rows) for side in SIDES}
        totals[precision] = {side: round(tokens / seconds[side], 1) for side in SIDES}
        totals[precision]["speed_up"] = round(seconds[SIDES[0]] / seconds[SIDES[1]], 2)
    return totals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=22, help="encoder layers (default: 22, the base model)")
    parser.add_argument("--repeats", type=int, default=3, help="timed steps (default: 3)")
    parser.add_argument("--batches", type=int, default=3, help="batches of notes, each measured (default: 3)")
    args = parser.parse_args()
    lengths = note_lengths(longest=1024, count=DOCUMENTS * args.batches)
    batches = [lengths[i : i + DOCUMENTS] for i in range(0, len(lengths), DOCUMENTS)]
    results = []
    for precision, batch in tqdm([(p, b) for p in ("fp32", "bf16 autocast") for b in batches]):
        results.append(measure(batch, precision, args.layers, args.repeats))
        print(json.dumps(results[-1]), flush=True)
    settings = {"layers": args.layers, "masked_part": MASKED_PART, "overall": overall(results)}
    print(json.dumps(settings["overall"]))
    write_record("packed_train_step", settings, results)


if __name__ == "__main__":
    run_cli(main)
