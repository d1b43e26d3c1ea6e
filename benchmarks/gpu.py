"""What this repository reaches on one GPU, in under ten minutes: kernels, inference, training steps, fine-tuning.

    python benchmarks/gpu.py [--minutes 9] [--sections parity kernels forward train finetune]

Needs torch and transformers alone. Every comparison takes both sides in turns in this process. The last line is JSON;
on a GPU it is also written to benchmarks/results/gpu.json. Without one `--tiny` runs every section with small models on
the CPU, to see that it works; such figures mean nothing and are not written.
"""

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from packed_common import padded_batch, write_record
from torch import Tensor
from transformers import ModernBertConfig, ModernBertForMaskedLM, ModernBertForSequenceClassification, ModernBertModel

from bioclinical.errors import UserError, run_cli
from bioclinical.modeling import BACKENDS, encode, plan_attention, use_packed_forward
from bioclinical.modeling.backend_choice import choose_packed_backend, why_no_backend
from bioclinical.modeling.chunks import sum_over_chunks
from bioclinical.modeling.flops import attention_flops, matrix_weights
from bioclinical.modeling.modernbert import compiled_steps
from bioclinical.runtime.provenance import peak_flops

WINDOWS = {"global": (None, None), "local": (64, 64), "causal": (None, 0), "local causal": (64, 0)}
SIZES = {
    "base": {},
    "large": {
        "hidden_size": 1024, "intermediate_size": 2624, "num_hidden_layers": 28, "num_attention_heads": 16,
    },
    "tiny": {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 2},
}  # fmt: skip
MASKED_SHARE = 0.3
SEQUENCES = (4, 8, 12, 24)  # of a micro-batch, 8,192 tokens each


@dataclass(frozen=True)
class Bench:
    """Where and how large: the device, the models' names, the tokens of a sequence, how often a call is timed."""

    device: str
    sizes: tuple[str, ...]
    tokens: int
    repeats: int
    deadline: float

    @property
    def is_late(self) -> bool:
        return time.monotonic() > self.deadline

    def seconds(self, calls: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
        """Of each call, in turns, after two calls of each that are not counted (the second may still compile)."""
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for repeat in range(self.repeats + 2):
            for name, call in calls.items():
                self.wait()
                started = time.perf_counter()
                call()
                self.wait()
                if repeat > 1:
                    seconds[name].append(time.perf_counter() - started)
        return seconds

    def wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()

    def backends(self, precision: str, head_dim: int = 64) -> list[str]:
        return [name for name in BACKENDS if why_no_backend(name, self.device, precision, head_dim) is None]

    def config(self, size: str, **changes: object) -> ModernBertConfig:
        return ModernBertConfig(**{**SIZES[size], "attn_implementation": "sdpa", "reference_compile": False, **changes})


def note_like_lengths(total: int, longest: int, seed: int = 0) -> list[int]:
    """Lengths of documents, log-normal as clinical notes' are (median 400 tokens), that sum to about `total`."""
    drawn = np.random.default_rng(seed).lognormal(np.log(400), 1.0, 10_000).clip(16, longest).astype(int)
    return drawn[: int(np.searchsorted(drawn.cumsum(), total)) or 1].tolist()


def bounds_of(lengths: list[int], device: str) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(device, torch.int32)


# --- Sections: each yields its results, a dict a row ------------------------------------------------------------------


def parity(bench: Bench) -> Iterator[dict[str, object]]:
    """Largest difference to banded SDPA in fp32, as a part of the largest value, of outputs and gradients."""
    lengths = [1, 63, 64, 65, 129, 300, 0, 2, 700]
    bounds = bounds_of(lengths, bench.device)
    for window_name, window in WINDOWS.items():
        found: dict[str, tuple[Tensor, Tensor]] = {}
        for backend in ("banded_sdpa", *(name for name in bench.backends("bf16") if name != "banded_sdpa")):
            dtype = torch.float32 if backend == "banded_sdpa" else torch.bfloat16
            seeded = torch.Generator().manual_seed(0)
            qkv = torch.randn(sum(lengths), 3, 4, 64, generator=seeded).to(bench.device, dtype).requires_grad_()
            out = plan_attention(backend, bounds, sum(lengths), max(lengths), window, dtype)(qkv)
            (out.float() * torch.linspace(-1, 1, out.numel(), device=bench.device).view_as(out)).sum().backward()
            found[backend] = (out.detach().float(), qkv.grad.float())
            pairs = zip(found[backend], found["banded_sdpa"])
            output, gradient = (float((ours - theirs).abs().max() / theirs.abs().max()) for ours, theirs in pairs)
            yield {"backend": backend, "window": window_name, "output": output, "gradient": gradient}


def kernels(bench: Bench) -> Iterator[dict[str, object]]:
    """Attention alone, forward and backward, over note-like documents."""
    lengths = note_like_lengths(4 * bench.tokens, bench.tokens)
    bounds, tokens = bounds_of(lengths, bench.device), sum(lengths)
    for window_name, window in WINDOWS.items():
        qkv = torch.randn(tokens, 3, 12, 64, device=bench.device, dtype=torch.bfloat16, requires_grad=True)

        def both(backend: str, window=window, qkv=qkv) -> None:
            plan_attention(backend, bounds, tokens, max(lengths), window, torch.bfloat16)(qkv).sum().backward()

        seconds = bench.seconds({name: functools.partial(both, name) for name in bench.backends("bf16")})
        yield from ({"backend": name, "window": window_name, **rate(own, tokens)} for name, own in seconds.items())


def forward(bench: Bench) -> Iterator[dict[str, object]]:
    """Inference in bf16: Hugging Face's model on padded batches against ours, on equal and on note-like lengths."""
    batches = {
        "fixed": [bench.tokens // 8] * 32,
        "variable": note_like_lengths(4 * bench.tokens, bench.tokens),
    }
    for size in bench.sizes:
        models = {name: model.to(bench.device).eval() for name, model in inference_models(bench, size).items()}
        for kind, lengths in batches.items():
            batch = {name: tensor.to(bench.device) for name, tensor in padded_batch(lengths).items()}
            with torch.inference_mode():
                seconds = bench.seconds({name: functools.partial(model, **batch) for name, model in models.items()})
            yield from (
                {"model": size, "lengths": kind, "side": name, **rate(own, sum(lengths))}
                for name, own in seconds.items()
            )


def inference_models(bench: Bench, size: str) -> dict[str, ModernBertModel]:
    """The sides to compare, with the same random weights."""
    kinds = {"hf_sdpa": "sdpa", "packed": "sdpa"}
    if why_no_backend("flash_attn_2", bench.device, "bf16") is None:
        kinds["hf_flash_attention_2"] = "flash_attention_2"
    models = {}
    for name, implementation in kinds.items():
        torch.manual_seed(0)
        config = bench.config(size)
        models[name] = ModernBertModel._from_config(config, attn_implementation=implementation).bfloat16()
    use_packed_forward(models["packed"], choose_packed_backend("auto", bench.device, "bf16").value)
    return models


def train(bench: Bench) -> Iterator[dict[str, object]]:
    """A step of masked-token pre-training on packed note-like documents, with AdamW, in bf16 autocast."""
    for size in bench.sizes:
        for is_compiled in (False, True):
            step = TrainStep(bench, size, is_compiled)
            for sequences in SEQUENCES:
                if bench.is_late:
                    return
                yield {"model": size, "compiled": is_compiled, "sequences": sequences, **step.measured(sequences)}


class TrainStep:
    """A model with its optimizer."""

    def __init__(self, bench: Bench, size: str, is_compiled: bool):
        torch.manual_seed(0)
        torch._dynamo.reset()
        self.bench = bench
        with torch.device(bench.device):
            self.model = ModernBertForMaskedLM(bench.config(size, max_position_embeddings=bench.tokens)).train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, fused=True)
        self.backend = choose_packed_backend("auto", bench.device, "bf16").value
        self.steps = compiled_steps() if is_compiled else None
        if is_compiled:
            self.model.head.compile(dynamic=True)

    def measured(self, sequences: int) -> dict[str, object]:
        """Tokens per second, MFU and peak memory of a micro-batch; what ended it where it does not fit."""
        lengths = note_like_lengths(sequences * self.bench.tokens, self.bench.tokens, seed=sequences)
        if self.bench.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        try:
            seconds = self.bench.seconds({"step": functools.partial(self.run, *self.row(lengths))})["step"]
        except torch.cuda.OutOfMemoryError:
            self.model.zero_grad()
            torch.cuda.empty_cache()
            return {"error": "out of memory"}
        found = rate(seconds, sum(lengths))
        if self.bench.device == "cuda":
            found["peak_memory_bytes"] = torch.cuda.max_memory_allocated()
            if peak := peak_flops(torch.cuda.get_device_name(), "bf16"):
                found["mfu"] = self.flops(lengths) / statistics.median(seconds) / peak
        return found

    def row(self, lengths: list[int]) -> tuple[Tensor, Tensor, int, Tensor, Tensor]:
        """Ids, boundaries, the longest document, and the places and labels of the masked tokens."""
        tokens, seeded = sum(lengths), torch.Generator().manual_seed(0)
        ids = torch.randint(5, 50_000, (tokens,), generator=seeded)
        places = torch.randperm(tokens, generator=seeded)[: int(MASKED_SHARE * tokens)].sort().values
        tensors = (tensor.to(self.bench.device) for tensor in (ids, places, ids[places]))
        ids, places, labels = tensors
        return ids, bounds_of(lengths, self.bench.device), max(lengths), places, labels

    def run(self, ids: Tensor, bounds: Tensor, longest: int, places: Tensor, labels: Tensor) -> None:
        with torch.autocast(self.bench.device, torch.bfloat16):
            hidden = encode(self.model.model, ids, bounds, longest, self.backend, steps=self.steps)
            loss = sum_over_chunks(self.cross_entropy, hidden[places], labels) / len(labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def cross_entropy(self, hidden: Tensor, labels: Tensor) -> Tensor:
        logits = self.model.decoder(self.model.head(hidden))
        return F.cross_entropy(logits.float(), labels, reduction="sum")

    def flops(self, lengths: list[int]) -> float:
        """Of forward and backward; head and vocabulary see the masked tokens only."""
        config, counts = self.model.config, np.array(lengths, float)
        head = config.hidden_size * (config.hidden_size + config.vocab_size) * MASKED_SHARE
        dense = 2.0 * (matrix_weights(self.model.model.layers) + head) * counts.sum()
        return 3.0 * (dense + attention_flops(config, counts))


def finetune(bench: Bench) -> Iterator[dict[str, object]]:
    """Steps of a sequence task with sentences as long as ChemProt's (16 a batch, 20 to 120 tokens)."""
    lengths = np.random.default_rng(0).integers(20, 120, 16).tolist()
    batch = {name: tensor.to(bench.device) for name, tensor in padded_batch(lengths).items()}
    labels = torch.arange(16, device=bench.device) % 6
    calls = {}
    for side in ("hf_sdpa", "packed"):
        torch.manual_seed(0)
        model = ModernBertForSequenceClassification(bench.config(bench.sizes[0], num_labels=6)).to(bench.device).train()
        if side == "packed":
            use_packed_forward(model, choose_packed_backend("auto", bench.device, "bf16").value)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
        calls[side] = functools.partial(finetune_step, model, optimizer, batch, labels, bench.device)
    for side, seconds in bench.seconds(calls).items():
        yield {"model": bench.sizes[0], "side": side, **rate(seconds, sum(lengths))}


def finetune_step(model, optimizer, batch: dict[str, Tensor], labels: Tensor, device: str) -> None:
    with torch.autocast(device, torch.bfloat16):
        loss = model(**batch, labels=labels).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def rate(seconds: list[float], tokens: int) -> dict[str, object]:
    """Median time, real tokens per second at it, and the spread of the times as a part of it."""
    middle = statistics.median(seconds)
    return {"seconds": middle, "tokens_per_s": tokens / middle, "spread": (max(seconds) - min(seconds)) / middle}


# --- Output -----------------------------------------------------------------------------------------------------------

SECTIONS = {"parity": parity, "kernels": kernels, "forward": forward, "train": train, "finetune": finetune}


def print_row(row: dict[str, object], is_first: bool) -> None:
    """A line of a Markdown table, with its head above the first one."""
    if is_first:
        print("| " + " | ".join(row) + " |\n|" + "---|" * len(row))
    print("| " + " | ".join(shown(value) for value in row.values()) + " |", flush=True)


def shown(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def main() -> None:
    args = parse_args()
    if not args.tiny and not torch.cuda.is_available():
        raise UserError("this needs a CUDA device; --tiny runs every section with small models on the CPU")
    deadline = time.monotonic() + 60 * args.minutes
    real = Bench("cuda", ("base", "large"), 8192, 5, deadline)
    bench = Bench("cpu", ("tiny",), 256, 1, deadline) if args.tiny else real
    results: dict[str, list[dict[str, object]]] = {}
    for name in args.sections:
        print(f"\n{name}: {SECTIONS[name].__doc__}\n")
        results[name] = []
        if bench.is_late:
            print(f"left out: the {args.minutes} minutes are over")
            continue
        for row in SECTIONS[name](bench):
            print_row(row, is_first=not results[name])
            results[name].append(row)
    print()
    if not args.tiny:
        write_record("gpu", {"masked_share": MASKED_SHARE}, results)
    print(json.dumps(results))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9, help="no new measurement begins after these (default: 9)")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="default: all")
    parser.add_argument("--tiny", action="store_true", help="small models on the CPU: a check of this script")
    return parser.parse_args()


if __name__ == "__main__":
    run_cli(main)
