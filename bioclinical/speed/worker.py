"""Measures one model on one workload, in a process of its own: load, find the batch size, warm up, time whole passes.

Timed is the encoder's forward over batches that lie on the device (no tokenizer, no copies), and the wait for the
device at the end of each pass. Branches for CUDA and MPS were not run: no GPU at hand.
"""

import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedModel

from bioclinical.encoders.loading import has_weights, load_weights
from bioclinical.encoders.source import load_config
from bioclinical.errors import RunFailed
from bioclinical.modeling import encode
from bioclinical.runtime.choice import Choice
from bioclinical.runtime.machine import peak_memory_bytes, reset_peak_memory
from bioclinical.runtime.provenance import peak_flops
from bioclinical.speed.batch_size import free_memory_bytes, is_out_of_memory, largest_that_fits, largest_worthwhile
from bioclinical.speed.flops import encoder_flops
from bioclinical.speed.job import Job
from bioclinical.speed.layouts import Batch, longest_first, make_batch, make_batches
from bioclinical.speed.messages import Send
from bioclinical.speed.workloads import Workload, draw_ids

TORCH_DTYPES = {"fp32": "float32", "tf32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def measure(job: Job, send: Send) -> None:
    """Sends {"state": text} and {"passes": 1} as it goes, and {"row": result} for each layout."""
    deadline = time.monotonic() + job.seconds
    with torch.inference_mode():
        send({"state": "loading"})
        started = time.perf_counter()
        model = load(job)
        load_s = round(time.perf_counter() - started, 3)
        ids = draw_ids(job.workload, model.config.vocab_size, job.pad_id).to(job.device.value)
        send({"state": "batch size"})
        batch_size, tries = choose_batch_size(job, model, ids)
        of_model = {
            "model": job.source.name,
            "weights": "loaded" if has_weights(job.source) else "random",
            "load_s": load_s,
            "search_tries": tries,
        }
        layouts_left = len(job.attention)
        for layout in job.attention:
            send({"state": layout})
            until = time.monotonic() + (deadline - time.monotonic()) / layouts_left
            layouts_left -= 1
            send({"row": of_model | measure_layout(job, model, ids, layout, batch_size, until, send)})


def load(job: Job) -> PreTrainedModel:
    """The encoder on its device, in the job's dtype. A folder without weights gets random ones."""
    torch.set_float32_matmul_precision("high" if job.dtype == "tf32" else "highest")
    implementation = next((choice.value for layout, choice in job.attention.items() if layout != "packed"), "sdpa")
    config = load_config(job.source)
    if has_weights(job.source):
        model, _ = load_weights(job.source, config, AutoModel, implementation, TORCH_DTYPES[job.dtype])
    else:
        config.reference_compile = False  # ModernBERT's own switch; compiling is --compile's to decide
        model = AutoModel.from_config(
            config,
            trust_remote_code=job.source.trust_remote_code,
            attn_implementation=implementation,
            torch_dtype=getattr(torch, TORCH_DTYPES[job.dtype]),
        )
    return model.eval().to(job.device.value)


def forward_of(job: Job, model: PreTrainedModel, layout: str) -> Callable[[Batch], object]:
    """What runs one batch; the compact types become the model's own here."""
    if layout == "packed":
        backend = job.attention["packed"].value.removeprefix("packed:")
        return lambda batch: encode(model, batch["input_ids"].long(), batch["cu_seqlens"], batch["max_seqlen"], backend)
    call = torch.compile(model) if job.compile else model
    return lambda batch: call(**{name: tensor.long() for name, tensor in batch.items()})


def timed(device: str, forward: Callable[[Batch], object], batches: list[Batch]) -> float:
    """Seconds of one pass over the batches, until the device has finished."""
    started = time.perf_counter()
    for batch in batches:
        forward(batch)
    if device != "cpu":
        getattr(torch, device).synchronize()
    return time.perf_counter() - started


def choose_batch_size(job: Job, model: PreTrainedModel, ids: Tensor) -> tuple[Choice, int]:
    """Samples a batch of all layouts, found with the set's longest samples in the first layout; and the tries."""
    lengths, device = job.workload.lengths, job.device.value
    if job.batch_size:
        return Choice(str(min(job.batch_size, len(lengths))), "asked for"), 0
    layout = next(iter(job.attention))
    forward = forward_of(job, model, layout)
    order = longest_first(lengths)
    before = 0

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
    job: Job, model: PreTrainedModel, ids: Tensor, layout: str, batch_size: Choice, until: float, send: Send
) -> dict[str, Any]:
    """A row but for what the model's rows share: a full pass to warm up and see that it fits, then n_iters timed ones.

    until: of time.monotonic(), when no further pass begins (one is always made).
    """
    forward, device = forward_of(job, model, layout), job.device.value
    batches, size = batches_that_fit(job, ids, layout, forward, int(batch_size.value))
    send({"passes": 1})
    reset_peak_memory(device)
    times: list[float] = []
    while len(times) < job.n_iters and (not times or time.monotonic() < until):
        times.append(timed(device, forward, batches))
        send({"passes": 1})
    was_reduced = size != int(batch_size.value)
    found = figures(job.workload, times, sum(batch["input_ids"].numel() for batch in batches), len(batches))
    return {
        "dataset": job.workload.name,
        "layout": layout,
        "attention": job.attention[layout].value,
        "compiled": job.compile and layout != "packed",
        "batch_size": size,
        "reasons": {
            "attention": job.attention[layout].reason,
            "batch_size": "reduced: out of memory in a full pass" if was_reduced else batch_size.reason,
        },
        **found,
        "mfu": flops_utilisation(job, model, found["median_s"]),
        "peak_memory_bytes": peak_memory_bytes(device),
    }


def batches_that_fit(
    job: Job, ids: Tensor, layout: str, forward: Callable[[Batch], object], size: int
) -> tuple[list[Batch], int]:
    """The set in batches of `size` samples, or of the most below it with which a full pass fits into the memory."""
    while True:
        batches = make_batches(layout, ids, job.workload.lengths, size)
        if succeeds(lambda: timed(job.device.value, forward, batches)):
            return batches, size
        if job.batch_size or size == 1:
            raise RunFailed(f"out of memory in the {layout} layout with batches of {size:,}; use --batch_size auto")
        size = size * 9 // 10


def flops_utilisation(job: Job, model: PreTrainedModel, seconds: float) -> float | None:
    """Share of the device's peak that a pass of so many seconds reached; None where the peak or the work is unknown."""
    peak, flops = peak_flops(job.device.name, job.dtype), encoder_flops(model, job.workload.lengths)
    return flops / seconds / peak if peak and flops else None


def figures(workload: Workload, times: list[float], computed_tokens: int, batch_count: int) -> dict[str, Any]:
    """Throughput and spread of passes that took `times` seconds.

    ktok_per_sec counts true tokens over the median; the nominal one, as published, nominal tokens over the mean.
    """
    samples, tokens = len(workload.lengths), int(workload.lengths.sum())
    median, mean = float(np.median(times)), float(np.mean(times))
    p5, p95 = np.percentile(times, (5, 95)).tolist()
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
