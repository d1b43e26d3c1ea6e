"""Measures one model on one workload, in a process of its own: load, find the batch size, warm up, time whole passes.

Timed is the encoder's forward over batches that lie on the device (no tokenizer, no copies), and the wait for the
device at the end of each pass. Branches for CUDA and MPS were not run: no GPU at hand.
"""

import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedModel

from bioclinical.encoders.loading import only_errors_from_transformers
from bioclinical.encoders.source import Source
from bioclinical.errors import RunFailed, UserError, first_line
from bioclinical.modeling import encode
from bioclinical.runtime.machine import Choice, peak_memory_bytes, reset_peak_memory
from bioclinical.runtime.provenance import peak_flops
from bioclinical.speed.batch_size import free_memory_bytes, is_out_of_memory, largest_that_fits, largest_worthwhile
from bioclinical.speed.flops import forward_flops
from bioclinical.speed.layouts import longest_first, make_batch, make_batches
from bioclinical.speed.workloads import Workload, draw_ids

TORCH_DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Job:
    """One model, one workload, the layouts wanted, and how."""

    source: Source
    workload: Workload
    attention: dict[str, Choice]  # by layout
    device: Choice
    dtype: str
    pad_id: int
    n_iters: int
    batch_size: int | None  # None: search
    compile: bool
    seconds: float = math.inf  # passes stop early so that about this much is used


def measure(job: Job, send: Callable[[dict[str, Any]], None]) -> None:
    """Sends {"state": text} and {"passes": 1} as it goes, and {"row": result} for each layout."""
    deadline = time.monotonic() + job.seconds
    with torch.inference_mode():
        send({"state": "loading"})
        model, about = load(job)
        ids = draw_ids(job.workload, model.config.vocab_size, job.pad_id).to(job.device.value)
        send({"state": "batch size"})
        batch_size, about["search_tries"] = choose_batch_size(job, model, ids)
        for left, layout in zip(range(len(job.attention), 0, -1), job.attention):
            send({"state": layout})
            until = time.monotonic() + (deadline - time.monotonic()) / left
            send({"row": about | measure_layout(job, model, ids, layout, batch_size, until, send)})


def load(job: Job) -> tuple[PreTrainedModel, dict[str, Any]]:
    """The encoder on its device, and what is to be said of it. A folder without weights gets random ones."""
    torch.set_float32_matmul_precision("high" if job.dtype == "tf32" else "highest")
    started, name = time.perf_counter(), job.source.name
    is_random = Path(name).is_dir() and not any(Path(name).glob("*.safetensors")) and not any(Path(name).glob("*.bin"))
    implementation = next((a.value for layout, a in job.attention.items() if layout != "packed"), "sdpa")
    options = {"attn_implementation": implementation, "torch_dtype": TORCH_DTYPES[job.dtype]}
    try:
        config = AutoConfig.from_pretrained(name, **job.source.options)
        config.reference_compile = False  # ModernBERT's own switch; compiling is --compile's to decide
        with only_errors_from_transformers():
            if is_random:
                model = AutoModel.from_config(config, trust_remote_code=job.source.trust_remote_code, **options)
            else:
                model = AutoModel.from_pretrained(name, config=config, **options, **job.source.options)
    except Exception as error:  # a damaged file raises classes of torch, safetensors or zipfile
        raise UserError(f"the weights of '{name}' cannot be loaded ({first_line(error)})") from error
    model = model.eval().to(job.device.value)
    about = {"model": name, "weights": "random" if is_random else "loaded"}
    return model, about | {"load_s": round(time.perf_counter() - started, 3)}


def forward_of(job: Job, model: PreTrainedModel, layout: str) -> Callable[[dict[str, Any]], object]:
    """What runs one batch; the compact types become the model's own here."""
    if layout == "packed":
        backend = job.attention["packed"].value.removeprefix("packed:")
        return lambda b: encode(model, b["input_ids"].long(), b["cu_seqlens"], b["max_seqlen"], backend)
    call = torch.compile(model) if job.compile else model
    return lambda batch: call(**{name: tensor.long() for name, tensor in batch.items()})


def timed(device: str, forward: Callable[[dict[str, Any]], object], batches: list[dict[str, Any]]) -> float:
    """Seconds of one pass over the batches, until the device has finished."""
    started = time.perf_counter()
    for batch in batches:
        forward(batch)
    if device != "cpu":
        getattr(torch, device).synchronize()
    return time.perf_counter() - started


def choose_batch_size(job: Job, model: PreTrainedModel, ids: Tensor) -> tuple[Choice, int]:
    """Samples a batch of all layouts, found with the set's longest samples in the first layout; and the tries."""
    lengths, layout, device = job.workload.lengths, next(iter(job.attention)), job.device.value
    if job.batch_size:
        return Choice(str(min(job.batch_size, len(lengths))), "asked for"), 0
    order, forward, before = longest_first(lengths), forward_of(job, model, layout), 0

    def run(n: int) -> float:
        return timed(device, forward, [make_batch(layout, ids, lengths, order[:n])])

    def throughput(n: int) -> float:
        nonlocal before
        reset_peak_memory(device)
        before = peak_memory_bytes(device)
        return n / min(run(n), run(n))  # the first one also warms up

    def has_room() -> bool:
        return 2 * (peak_memory_bytes(device) - before) <= free_memory_bytes() / 2

    if device != "cuda":
        return largest_worthwhile(throughput, has_room, len(lengths))
    n, tries = largest_that_fits(lambda n: succeeds(lambda: run(n)), len(lengths))
    if n == 0:
        raise RunFailed(f"not even one sample of {job.workload.longest:,} tokens fits the GPU's memory")
    return Choice(str(n), "the largest that fits"), tries


def succeeds(run: Callable[[], object]) -> bool:
    """Whether it runs within the memory; errors of any other kind are raised."""
    try:
        run()
        return True
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    gc.collect()
    torch.cuda.empty_cache()
    return False


def measure_layout(
    job: Job, model: PreTrainedModel, ids: Tensor, layout: str, batch_size: Choice, until: float, send: Callable
) -> dict[str, Any]:
    """One result row: a full pass to warm up and to see that it fits, then n_iters timed ones (fewer if time is up)."""
    forward, size, device, times = forward_of(job, model, layout), int(batch_size.value), job.device.value, []
    batches = make_batches(layout, ids, job.workload.lengths, size)
    while not succeeds(lambda: timed(device, forward, batches)):
        if job.batch_size or size == 1:
            raise RunFailed(f"out of memory in the {layout} layout with batches of {size:,}; use --batch_size auto")
        size = size * 9 // 10
        batches = make_batches(layout, ids, job.workload.lengths, size)
    send({"passes": 1})
    reset_peak_memory(device)
    while len(times) < job.n_iters and (not times or time.monotonic() < until):
        times.append(timed(device, forward, batches))
        send({"passes": 1})
    row = {"dataset": job.workload.name, "layout": layout, "attention": job.attention[layout].value}
    row |= {"compiled": job.compile and layout != "packed", "batch_size": size}
    reason = batch_size.reason if size == int(batch_size.value) else "reduced: out of memory in a full pass"
    row |= {"reasons": {"attention": job.attention[layout].reason, "batch_size": reason}}
    row |= figures(job.workload, times, sum(batch["input_ids"].numel() for batch in batches), len(batches))
    peak, flops = peak_flops(job.device.reason, job.dtype), forward_flops(model, job.workload.lengths)
    row |= {"mfu": flops / row["median_s"] / peak if peak and flops else None}
    return row | {"peak_memory_bytes": peak_memory_bytes(device)}


def figures(workload: Workload, times: list[float], computed_tokens: int, batch_count: int) -> dict[str, Any]:
    """Throughput and spread of passes that took `times` seconds.

    ktok_per_sec counts true tokens over the median; the nominal one, as published, nominal tokens over the mean.
    """
    samples, tokens = len(workload.lengths), int(workload.lengths.sum())
    median, mean, (p5, p95) = float(np.median(times)), float(np.mean(times)), np.percentile(times, (5, 95)).tolist()
    return {
        "ktok_per_sec": tokens / median / 1000,
        "ktok_per_sec_nominal": workload.nominal_length and samples * workload.nominal_length / mean / 1000,
        "samples_per_sec": samples / median,
        "ms_per_batch": 1000 * median / batch_count,
        "median_s": median,
        "mean_s": mean,
        "sd_s": float(np.std(times, ddof=1)) if len(times) > 1 else None,
        "p5_s": p5,
        "p95_s": p95,
        "times_s": times,
        "samples": samples,
        "tokens": tokens,
        "padding_share": 1 - tokens / computed_tokens,
    }
