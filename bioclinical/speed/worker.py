"""Measures one model on one workload, in a process of its own: load, find the batch size, warm up, time whole passes.

Timed is the encoder's forward pass over batches that lie on the device: no tokenizer, no copies from the host. The
device is waited for at the end of each pass. The CUDA and MPS branches were not run: no GPU was at hand.
"""

import gc
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedModel

from bioclinical.errors import RunFailed, UserError, first_line
from bioclinical.finetuning.model import Source, only_errors_from_transformers
from bioclinical.modeling import encode
from bioclinical.runtime import Choice, peak_flops, peak_memory_bytes, reset_peak_memory
from bioclinical.speed.batch_size import free_memory_bytes, is_out_of_memory, largest_that_fits, largest_worthwhile
from bioclinical.speed.flops import forward_flops
from bioclinical.speed.layouts import Batch, longest_first, make_batch, make_batches
from bioclinical.speed.workloads import Workload, draw_ids

TORCH_DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WEIGHT_FILES = ("*.safetensors", "*.bin")


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
    batch_size: int | None = None  # None: search
    compile: bool = False
    seconds: float = math.inf  # iterations stop early so that about this much is used


def measure(job: Job, send: Callable[[dict[str, Any]], None]) -> None:
    """Sends {"state": text}, {"passes": 1} as it goes and {"row": result} for each layout."""
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
    started, folder = time.perf_counter(), Path(job.source.name)
    is_random = folder.is_dir() and not any(path for pattern in WEIGHT_FILES for path in folder.glob(pattern))
    implementation = next((a.value for layout, a in job.attention.items() if layout != "packed"), "sdpa")
    config = AutoConfig.from_pretrained(job.source.name, **job.source.options)
    if hasattr(config, "reference_compile"):
        config.reference_compile = False  # compiling is --compile's to decide
    options = {"attn_implementation": implementation, "torch_dtype": TORCH_DTYPES[job.dtype]}
    try:
        with only_errors_from_transformers():
            if is_random:
                model = AutoModel.from_config(config, trust_remote_code=job.source.trust_remote_code, **options)
            else:
                model = AutoModel.from_pretrained(job.source.name, config=config, **options, **job.source.options)
    except Exception as error:  # a damaged file raises classes of torch, safetensors or zipfile
        raise UserError(f"the weights of '{job.source.name}' cannot be loaded ({first_line(error)})") from error
    model = model.eval().to(job.device.value)
    load_s = round(time.perf_counter() - started, 3)
    return model, {"model": job.source.name, "weights": "random" if is_random else "loaded", "load_s": load_s}


def forward_of(job: Job, model: PreTrainedModel, layout: str) -> Callable[[Batch], object]:
    """What runs one batch."""
    if layout == "packed":
        backend = job.attention["packed"].value.removeprefix("packed:")
        return lambda batch: encode(model, batch.input_ids.long(), batch.cu_seqlens, batch.max_seqlen, backend)
    call = torch.compile(model) if job.compile else model
    return lambda batch: call(input_ids=batch.input_ids.long(), attention_mask=batch.mask.long())


def timed(job: Job, forward: Callable[[Batch], object], batches: list[Batch]) -> float:
    """Seconds of one pass over the batches, until the device has finished."""
    started = time.perf_counter()
    for batch in batches:
        forward(batch)
    if job.device.value != "cpu":
        getattr(torch, job.device.value).synchronize()
    return time.perf_counter() - started


def choose_batch_size(job: Job, model: PreTrainedModel, ids: Tensor) -> tuple[Choice, int]:
    """The batch size of all layouts, found with the set's longest samples in the first layout; and the tries it took."""
    lengths, layout = job.workload.lengths, next(iter(job.attention))
    if job.batch_size:
        return Choice(str(min(job.batch_size, len(lengths))), "asked for"), 0
    order, forward = longest_first(lengths), forward_of(replace(job, compile=False), model, layout)

    def run(n: int) -> float:
        return timed(job, forward, [make_batch(layout, ids, lengths, order[:n])])

    if job.device.value == "cuda":
        n, tries = largest_that_fits(lambda n: succeeds(lambda: run(n)), len(lengths))
        if n == 0:
            raise RunFailed(f"not even one sample of {job.workload.longest:,} tokens fits the GPU's memory")
        return Choice(str(n), "the largest that fits"), tries
    before = 0

    def throughput(n: int) -> float:
        nonlocal before
        reset_peak_memory(job.device.value)
        before = peak_memory_bytes(job.device.value)
        return n / min(run(n), run(n))  # the first run also warms up

    def has_room(n: int) -> bool:
        return 2 * (peak_memory_bytes(job.device.value) - before) <= free_memory_bytes() / 2

    return largest_worthwhile(throughput, has_room, len(lengths))


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
    forward, size = forward_of(job, model, layout), int(batch_size.value)
    batches = make_batches(layout, ids, job.workload.lengths, size)
    while not succeeds(lambda: timed(job, forward, batches)):
        if job.batch_size or size == 1:
            raise RunFailed(f"out of memory in the {layout} layout with batches of {size:,}; use --batch_size auto")
        size = size * 9 // 10
        batches = make_batches(layout, ids, job.workload.lengths, size)
    send({"passes": 1})
    reset_peak_memory(job.device.value)
    times: list[float] = []
    while len(times) < job.n_iters and (not times or time.monotonic() < until):
        times.append(timed(job, forward, batches))
        send({"passes": 1})
    return {
        "dataset": job.workload.name,
        "layout": layout,
        "attention": job.attention[layout].value,
        "attention_reason": job.attention[layout].reason,
        "compiled": job.compile and layout != "packed",
        "batch_size": size,
        "batch_size_reason": batch_size.reason if size == int(batch_size.value) else "reduced after a full pass",
        **figures(job.workload, times, batches),
        "mfu": utilisation(job, model, float(np.median(times))),
        "peak_memory_bytes": peak_memory_bytes(job.device.value),
    }


def figures(workload: Workload, times: list[float], batches: list[Batch]) -> dict[str, Any]:
    """Throughput and spread of passes that took `times` seconds.

    ktok_per_sec counts true tokens over the median; the nominal one, as published, nominal tokens over the mean.
    """
    samples, tokens = len(workload.lengths), int(workload.lengths.sum())
    median, mean = float(np.median(times)), float(np.mean(times))
    nominal = workload.nominal_length and samples * workload.nominal_length / mean / 1000
    p5, p95 = np.percentile(times, (5, 95))
    return {
        "ktok_per_sec": tokens / median / 1000,
        "ktok_per_sec_nominal": nominal,
        "samples_per_sec": samples / median,
        "ms_per_batch": 1000 * median / len(batches),
        "median_s": median,
        "mean_s": mean,
        "sd_s": float(np.std(times, ddof=1)) if len(times) > 1 else None,
        "p5_s": float(p5),
        "p95_s": float(p95),
        "times_s": times,
        "samples": samples,
        "tokens": tokens,
        "padding_share": 1 - tokens / sum(batch.input_ids.numel() for batch in batches),
    }


def utilisation(job: Job, model: PreTrainedModel, seconds: float) -> float | None:
    """Share of the device's peak that the true tokens' operations make up; None where either is not known."""
    peak = peak_flops(job.device.reason, job.dtype) if job.device.value == "cuda" else None
    flops = forward_flops(model, job.workload.lengths)
    return flops / seconds / peak if peak and flops else None
