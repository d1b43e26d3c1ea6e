"""The device, precision and memory of a run, each choice with its reason; seeding."""

import os
import re
import resource
import sys
from pathlib import Path

import torch
import transformers

from bioclinical.errors import UserError
from bioclinical.runtime.choice import Choice, Device
from bioclinical.runtime.provenance import cpu_name

LINUX_STATUS = Path("/proc/self/status")


def use_one_gpu() -> None:
    """Hides all GPUs but the first of those the user allows; call before CUDA is touched.

    HF Trainer would otherwise spread one run over all of them (DataParallel) and multiply its batch size.
    """
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = allowed.split(",")[0]


def choose_device(requested: str = "auto") -> Device:
    """cuda, mps or cpu: the one asked for (UserError where it is not there), or the first one that works here."""
    works = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if requested != "auto" and not works[requested]:
        raise UserError(f"--device {requested}: none found here; use --device auto or cpu")
    if requested == "cuda" or (requested == "auto" and works["cuda"]):
        name = torch.cuda.get_device_name(0)
        return Device("cuda", name, name)
    if requested != "auto":
        return Device(requested, "asked for", cpu_name())
    if works["mps"]:
        return Device("mps", "no CUDA device, Apple GPU found", cpu_name())
    return Device("cpu", "no CUDA device and no Apple GPU found", cpu_name())


def choose_precision(requested: str, device: str) -> Choice:
    """fp32 (TF32 matrix products on CUDA, as published) or bf16 autocast. Raises UserError where the device cannot."""
    if requested == "bf16":
        if device == "cuda" and not torch.cuda.is_bf16_supported():
            raise UserError("--precision bf16: this GPU has no bf16 units; use --precision fp32")
        if device == "mps":
            raise UserError("--precision bf16 is not supported on mps; use --precision fp32")
        return Choice("bf16", "asked for: autocast to bf16, weights stay fp32")
    if device != "cuda":
        return Choice("fp32", "published recipe")
    torch.set_float32_matmul_precision("high")
    return Choice("fp32", "published recipe, matrix products in TF32")


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch (all devices)."""
    transformers.set_seed(seed)


def peak_memory_bytes(device: str) -> int:
    """Largest memory of this process so far: allocated on the GPU, or resident in RAM without one."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if device == "mps":
        return torch.mps.driver_allocated_memory()
    if LINUX_STATUS.exists():  # unlike getrusage, it can be reset
        return 1024 * int(re.search(r"VmHWM:\s*(\d+)", LINUX_STATUS.read_text())[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def reset_peak_memory(device: str) -> None:
    """Lets peak_memory_bytes start anew; without CUDA or Linux that is impossible and nothing happens."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif device == "cpu" and LINUX_STATUS.exists():
        LINUX_STATUS.with_name("clear_refs").write_text("5")
