"""From what a user asks for to the jobs of a run; a user's mistake is found here, before anything is measured."""

import os
from dataclasses import dataclass

import torch
from transformers import AutoModel, PretrainedConfig, PreTrainedTokenizerFast

from bioclinical.encoders.attention_choice import choose_attention, choose_transformers_attention
from bioclinical.encoders.loading import model_class
from bioclinical.encoders.source import Source, load_config, model_identity
from bioclinical.errors import UserError
from bioclinical.modeling import why_not_packed
from bioclinical.modeling.backend_choice import choose_packed_backend
from bioclinical.runtime.choice import Choice, Device
from bioclinical.speed.job import Job
from bioclinical.speed.request import Request
from bioclinical.speed.workloads import Workload, choose_published, from_texts, published
from bioclinical.text.lengths import context_limit
from bioclinical.text.tokenization import load_tokenizer

DEVICE_DTYPES = {"cpu": ("fp32", "bf16"), "mps": ("fp32", "fp16"), "cuda": ("fp32", "fp16")}


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
    is_ampere = device == "cuda" and capability >= (8, 0)
    if requested == "auto" and is_ampere:
        return Choice("bf16", "the GPU has bf16 units")
    if requested == "auto":
        return Choice("fp32", f"default on this {device}")
    allowed = list(DEVICE_DTYPES[device])
    if is_ampere:
        allowed += ["tf32", "bf16"]
    if requested not in allowed:
        raise UserError(f"--dtype {requested}: this {device} has none; allowed here: {', '.join(allowed)}")
    return Choice(requested, "asked for")


@dataclass(frozen=True)
class ModelPlan:
    """What is to be measured of one model, and the hash of its content."""

    jobs: list[Job]
    sha256: str


def plan_model(name: str, request: Request, device: Device, dtype: str) -> ModelPlan:
    """A job for each workload that the model can take.

    Raises UserError for an unknown model, one that cannot be padded, and whatever cannot run on the device.
    """
    source = Source(name, trust_remote_code=request.trust_remote_code)
    config = load_config(source)
    needs_tokenizer = config.pad_token_id is None or request.text_file is not None
    tokenizer = load_tokenizer(name, **source.options) if needs_tokenizer else None
    pad_id = config.pad_token_id if config.pad_token_id is not None else tokenizer.pad_token_id
    if pad_id is None:
        raise UserError(f"neither the config nor the tokenizer of '{name}' has a padding token; batches need one")
    attention = choose_layouts(request.attn, model_class(AutoModel, config, source), config, device.value, dtype)
    jobs = [
        Job(
            source=source,
            workload=workload,
            attention=layouts_for(workload, attention),
            device=device,
            dtype=dtype,
            pad_id=pad_id,
            n_iters=request.n_iters,
            batch_size=request.batch_size,
            compile=request.compile,
        )
        for workload in choose_workloads(name, request, context_limit(config), tokenizer)
    ]
    return ModelPlan(jobs, model_identity(source, config))


def choose_workloads(
    name: str, request: Request, limit: int | None, tokenizer: PreTrainedTokenizerFast | None
) -> list[Workload]:
    """The published sets and the user's own texts, as far as the model's context (tokens) holds them."""
    workloads = []
    if request.datasets or not request.text_file:
        names = choose_published(request.datasets, limit, name)
        workloads = [published(dataset, request.num_samples) for dataset in names]
    if request.text_file:
        workloads.append(from_texts(request.text_file, tokenizer, limit, request.num_samples))
    return workloads


def layouts_for(workload: Workload, attention: dict[str, Choice]) -> dict[str, Choice]:
    """The layouts worth measuring: where all samples are of one length there is nothing to sort."""
    if (workload.lengths == workload.longest).all():
        return {layout: choice for layout, choice in attention.items() if layout != "sorted"}
    return attention


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
