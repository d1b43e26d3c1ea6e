"""From the command line's words to the jobs of a run; a user's mistake is found here, before anything is measured."""

import argparse
import os
from pathlib import Path

import torch
from transformers import AutoModel, PretrainedConfig

from bioclinical.encoders.attention_choice import choose_attention, choose_transformers_attention
from bioclinical.encoders.loading import model_class
from bioclinical.encoders.source import Source, load_config, model_identity
from bioclinical.errors import UserError
from bioclinical.modeling import why_not_packed
from bioclinical.modeling.backend_choice import choose_packed_backend
from bioclinical.runtime.machine import Choice
from bioclinical.speed.worker import Job
from bioclinical.speed.workloads import choose_published, from_texts, published
from bioclinical.text.tokenization import context_limit, load_tokenizer


def use_gpu(number: int) -> None:
    """Hides all GPUs but one of those the user allows; call before CUDA is touched. Raises UserError if absent."""
    count = torch.cuda.device_count()
    if not 0 <= number < max(count, 1):
        raise UserError(f"--gpu {number}: this machine has {count} usable GPUs, numbered from 0")
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
    os.environ["CUDA_VISIBLE_DEVICES"] = allowed.split(",")[number]


def choose_dtype(requested: str, device: str, capability: tuple[int, int]) -> Choice:
    """fp32, tf32, bf16 or fp16, for weights and computation. Raises UserError where the device has none.

    capability: of a CUDA device; 8.0 (Ampere) brought TF32 and bf16.
    """
    ampere = device == "cuda" and capability >= (8, 0)
    if requested == "auto":
        return Choice("bf16", "the GPU has bf16 units") if ampere else Choice("fp32", f"default on this {device}")
    allowed = {"cpu": ["fp32", "bf16"], "mps": ["fp32", "fp16"], "cuda": ["fp32", "fp16"] + ["tf32", "bf16"] * ampere}
    if requested not in allowed[device]:
        raise UserError(f"--dtype {requested}: this {device} has none; allowed here: {', '.join(allowed[device])}")
    return Choice(requested, "asked for")


def plan_model(name: str, args: argparse.Namespace, device: Choice, dtype: str) -> tuple[list[Job], str]:
    """A job for each workload that the model can take, and the hash of the model's content.

    Raises UserError for an unknown model, one that cannot be padded, and whatever cannot run on the device.
    """
    source = Source(name, trust_remote_code=args.trust_remote_code)
    config = load_config(source)
    tokenizer = load_tokenizer(name, **source.options) if config.pad_token_id is None or args.text_file else None
    pad_id = config.pad_token_id if config.pad_token_id is not None else tokenizer.pad_token_id
    if pad_id is None:
        raise UserError(f"neither the config nor the tokenizer of '{name}' has a padding token; batches need one")
    limit, workloads = context_limit(config), []
    if args.datasets or not args.text_file:
        names = choose_published(args.datasets, limit, name)
        workloads = [published(dataset, args.num_samples) for dataset in names]
    if args.text_file:
        workloads.append(from_texts(Path(args.text_file), tokenizer, limit, args.num_samples))
    attention = choose_layouts(args.attn, model_class(AutoModel, config, source), config, device.value, dtype)
    jobs = []
    for workload in workloads:  # nothing to sort where all are of one length
        is_fixed = bool((workload.lengths == workload.longest).all())
        layouts = {layout: a for layout, a in attention.items() if not (layout == "sorted" and is_fixed)}
        jobs.append(Job(source, workload, layouts, device, dtype, pad_id, args.n_iters, args.batch_size, args.compile))
    return jobs, model_identity(source, config)


def choose_layouts(attn: str, encoder: type, config: PretrainedConfig, device: str, dtype: str) -> dict[str, Choice]:
    """The layouts to measure and the attention of each: all that apply for `auto`, else those of the one asked for."""
    precision = "bf16" if dtype == "fp16" else dtype  # flash-attn has both
    if attn.startswith("packed"):
        return {"packed": choose_attention(attn, encoder, config, device, precision)}
    padded = choose_transformers_attention(attn, encoder, device, precision)
    if attn != "auto" or device == "mps" or why_not_packed(encoder, config):
        return {"padded": padded, "sorted": padded}
    packed = choose_packed_backend("auto", device, precision)
    return {"padded": padded, "sorted": padded, "packed": Choice(f"packed:{packed.value}", packed.reason)}
