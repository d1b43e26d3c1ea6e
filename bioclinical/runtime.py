"""Device, precision and attention of a run, each with its reason; seeding; and what ran (versions, git, hardware)."""

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import random
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import PretrainedConfig

from bioclinical.errors import UserError
from bioclinical.modeling import BACKENDS, EXPERIMENTAL_BACKENDS, why_not_packed

ATTENTION_CHOICES = ("auto", "packed", *(f"packed:{name}" for name in BACKENDS), "sdpa", "eager", "flash_attention_2")
# Tried in this order. flex_attention is left to those who ask for it: it compiles anew for other numbers of tokens.
AUTOMATIC_BACKENDS = ("flash_attn_3", "flash_attn_2", "banded_sdpa")
RECORDED_PACKAGES = (
    "torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy", "pandas", "scikit-learn", "seqeval",
    "mosaicml", "mosaicml-streaming", "torch-optimi", "flash-attn",
)  # fmt: skip
LINUX_STATUS = Path("/proc/self/status")
# Dense peaks in TFLOP/s (NVIDIA's data sheets of each GPU; where they print the figure with sparsity, half of it).
# The first entry whose words all stand in torch's name of the GPU counts.
PEAK_TFLOPS = {
    "H200 NVL": {"bf16": 835.5, "fp16": 835.5, "tf32": 417.5, "fp32": 60.0},
    "H200": {"bf16": 989.4, "fp16": 989.4, "tf32": 494.7, "fp32": 66.9},
    "H100 NVL": {"bf16": 835.5, "fp16": 835.5, "tf32": 417.5, "fp32": 60.0},
    "H100 PCIe": {"bf16": 756.5, "fp16": 756.5, "tf32": 378.0, "fp32": 51.2},
    "H100 HBM3": {"bf16": 989.4, "fp16": 989.4, "tf32": 494.7, "fp32": 66.9},
    "A100": {"bf16": 312.0, "fp16": 312.0, "tf32": 156.0, "fp32": 19.5},
    "A10": {"bf16": 125.0, "fp16": 125.0, "tf32": 62.5, "fp32": 31.2},
    "L40S": {"bf16": 362.1, "fp16": 362.1, "tf32": 183.0, "fp32": 91.6},
    "L40": {"bf16": 181.1, "fp16": 181.1, "tf32": 90.5, "fp32": 90.5},
    "L4": {"bf16": 121.0, "fp16": 121.0, "tf32": 60.0, "fp32": 30.3},
    "V100 SXM2": {"fp16": 125.0, "fp32": 15.7},
    "V100 PCIE": {"fp16": 112.0, "fp32": 14.0},
    "T4": {"fp16": 65.0, "fp32": 8.1},
}


@dataclass(frozen=True)
class Choice:
    """A decision of the program and why it was taken; both are printed and stored with the result."""

    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"


def use_one_gpu() -> None:
    """Hides all GPUs but the first of those the user allows; call before CUDA is touched.

    HF Trainer would otherwise spread one run over all of them (DataParallel) and multiply its batch size.
    """
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = allowed.split(",")[0]


def choose_device(requested: str = "auto") -> Choice:
    """cuda, mps or cpu: the one asked for (UserError where it is not there), or the first one that works here."""
    works = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if requested != "auto" and not works[requested]:
        raise UserError(f"--device {requested}: none found here; use --device auto or cpu")
    if requested == "cuda" or requested == "auto" and works["cuda"]:
        return Choice("cuda", torch.cuda.get_device_name(0))
    if requested != "auto":
        return Choice(requested, "asked for")
    if works["mps"]:
        return Choice("mps", "no CUDA device, Apple GPU found")
    return Choice("cpu", "no CUDA device and no Apple GPU found")


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


def why_no_flash_attention(module: str = "flash_attn") -> str | None:
    """None if flash-attn (2: `flash_attn`, 3: `flash_attn_interface`) can be used on this machine, else the reason."""
    if not torch.cuda.is_available():
        return "flash-attn needs a CUDA device"
    if importlib.util.find_spec(module) is None:
        return "flash-attn is not installed" if module == "flash_attn" else f"{module} is not installed"
    try:
        importlib.import_module(module)  # a wheel built for another torch or CUDA fails only here
    except Exception as error:
        return f"flash-attn is installed but does not load ({type(error).__name__}: {error})"
    return None


def why_no_backend(backend: str, device: str, precision: str) -> str | None:
    """None if a kernel of the packed forward can run on this device in this precision, else the reason."""
    if backend == "banded_sdpa":
        return None
    if device != "cuda":
        return f"{backend} needs a CUDA device"
    if backend == "flex_attention":
        return None
    if precision != "bf16":
        return "flash-attn computes in half precision only; it needs bf16"
    if backend == "flash_attn_3" and torch.cuda.get_device_capability()[0] != 9:
        return "flash-attn 3 is written for Hopper GPUs"
    return why_no_flash_attention("flash_attn_interface" if backend == "flash_attn_3" else "flash_attn")


def choose_packed_backend(requested: str, device: str, precision: str) -> Choice:
    """The kernel of the packed forward: `auto` or a name of modeling.BACKENDS.

    Raises UserError where a requested one is unknown or cannot run, saying why.
    """
    if requested != "auto":
        if requested not in BACKENDS:
            raise UserError(f"unknown attention backend '{requested}'; known: auto, {', '.join(BACKENDS)}")
        if reason := why_no_backend(requested, device, precision):
            raise UserError(f"attention backend {requested} cannot run here: {reason}; use auto")
        return Choice(requested, "asked for" + experimental_note(requested))
    reasons = {name: why_no_backend(name, device, precision) for name in AUTOMATIC_BACKENDS}
    chosen = next(name for name in AUTOMATIC_BACKENDS if reasons[name] is None)
    return Choice(chosen, (reasons["flash_attn_2"] or "flash-attn is installed") + experimental_note(chosen))


def experimental_note(backend: str) -> str:
    """What a result must say of a kernel that the project could not test."""
    return "; experimental: not yet tested on a GPU" if backend in EXPERIMENTAL_BACKENDS else ""


def choose_attention(
    requested: str, model_class: type, config: PretrainedConfig, device: str, precision: str
) -> Choice:
    """The attention of a run: `packed:<kernel>` for this project's own forward, else an implementation of transformers.

    `auto` takes the packed forward where the model has one, and never transformers' flash_attention_2 in fp32 (the
    kernel only has half precision) nor on a CPU, where its Triton rotary kernel crashes. Raises UserError where a
    requested one cannot run, saying why.
    """
    kind, _, backend = requested.partition(":")
    no_packed = why_not_packed(model_class, config)
    if kind == "packed" and no_packed:
        raise UserError(f"--attn {requested}: {no_packed}; use --attn auto")
    if kind == "packed":
        choice = choose_packed_backend(backend or "auto", device, precision)
        return Choice(f"packed:{choice.value}", choice.reason if backend else f"asked for; {choice.reason}")
    if kind == "auto" and no_packed is None and device != "mps":  # nobody has compared the numbers on an Apple GPU
        choice = choose_packed_backend("auto", device, precision)
        return Choice(f"packed:{choice.value}", f"no padding is computed; {choice.reason}")
    return choose_transformers_attention(requested, model_class, device, precision)


def choose_transformers_attention(requested: str, model_class: type, device: str, precision: str) -> Choice:
    """The attention implementation to ask transformers for."""
    name = model_class.__name__
    has_sdpa = getattr(model_class, "_supports_sdpa", False)
    no_flash = why_no_flash_attention()
    if no_flash is None and not supports_flash(model_class):
        no_flash = f"{name} has no flash_attention_2 code"
    if no_flash is None and (device != "cuda" or precision != "bf16"):
        no_flash = "flash_attention_2 computes in half precision only; it needs bf16 on a GPU"
    if requested == "flash_attention_2" and no_flash:
        raise UserError(f"--attn flash_attention_2 cannot run here: {no_flash}; use --attn auto")
    if requested == "sdpa" and not has_sdpa:
        raise UserError(f"--attn sdpa: {name} has no sdpa code in this transformers; use --attn auto or eager")
    if requested != "auto":
        return Choice(requested, "asked for")
    if no_flash is None:
        return Choice("flash_attention_2", "flash-attn is installed and the run is bf16 on a GPU")
    if has_sdpa:
        return Choice("sdpa", no_flash)
    return Choice("eager", f"{name} has no sdpa code in this transformers; {no_flash}")


def supports_flash(model_class: type) -> bool:
    """Whether transformers has a flash_attention_2 path for the class (the attribute's name differs by version)."""
    return bool(
        getattr(model_class, "_supports_flash_attn_2", False) or getattr(model_class, "_supports_flash_attn", False)
    )


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@functools.cache
def installed_versions() -> dict[str, str]:
    """Versions of the packages that can change a number, Python and CUDA among them."""
    versions = {"python": platform.python_version(), "cuda": torch.version.cuda or "none"}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def hardware() -> dict[str, object]:
    """CPU, threads, GPU names and memory of this machine."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "cpu": cpu_name(),
        "cpu_threads": torch.get_num_threads(),
        "gpus": gpus,
        "gpu_memory_bytes": [torch.cuda.get_device_properties(i).total_memory for i in range(len(gpus))],
        "platform": platform.platform(),
    }


def cpu_name() -> str:
    """The processor's name where the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def peak_flops(device_name: str, dtype: str) -> float | None:
    """Dense FLOP/s that a GPU (named as torch names it) can reach at most in bf16, fp16, tf32 or fp32.

    None where that is not known, where the GPU has no such units, and for a MIG slice (a part of a GPU).
    """
    words = set(re.split(r"[\W_]+", device_name.upper()))
    if "MIG" in words:
        return None
    peaks = next((peaks for name, peaks in PEAK_TFLOPS.items() if set(name.upper().split()) <= words), {})
    return peaks[dtype] * 1e12 if dtype in peaks else None


def git_commit() -> str | None:
    """The repository's commit, with '+changes' if the tree differs from it; None outside a git checkout."""
    root = Path(__file__).resolve().parent.parent
    try:
        run = functools.partial(subprocess.run, cwd=root, capture_output=True, text=True, timeout=10, check=True)
        commit = run(["git", "rev-parse", "HEAD"]).stdout.strip()
        return commit + ("+changes" if run(["git", "status", "--porcelain", "-uno"]).stdout.strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None


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
