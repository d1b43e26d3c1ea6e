"""Device, precision and attention of a run, each with its reason; seeding; and what ran (versions, git, hardware)."""

import functools
import importlib.metadata
import importlib.util
import os
import platform
import random
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bioclinical.errors import UserError

ATTENTION_CHOICES = ("auto", "sdpa", "eager", "flash_attention_2")
RECORDED_PACKAGES = (
    "torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy", "pandas", "scikit-learn", "seqeval",
    "mosaicml", "mosaicml-streaming", "torch-optimi", "flash-attn",
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """A decision of the program and why it was taken; both are printed and stored with the result."""

    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"


def use_one_gpu() -> None:
    """Hides all GPUs but the first, unless the user chose; call before CUDA is touched.

    HF Trainer would otherwise spread one run over all of them (DataParallel) and multiply its batch size.
    """
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")


def choose_device() -> Choice:
    """cuda, mps or cpu: the first one that works here."""
    if torch.cuda.is_available():
        return Choice("cuda", torch.cuda.get_device_name(0))
    if torch.backends.mps.is_available():
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
    torch.set_float32_matmul_precision("high")
    return Choice("fp32", "published recipe" + (", matrix products in TF32" if device == "cuda" else ""))


def why_no_flash_attention() -> str | None:
    """None if flash-attn can be imported and a CUDA device is there, else the reason why not."""
    if not torch.cuda.is_available():
        return "flash-attn needs a CUDA device"
    if importlib.util.find_spec("flash_attn") is None:
        return "flash-attn is not installed"
    try:
        import flash_attn  # noqa: F401  (a wheel built for another torch or CUDA fails only here)
    except Exception as error:
        return f"flash-attn is installed but does not load ({type(error).__name__}: {error})"
    return None


def choose_attention(requested: str, model_class: type, device: str, precision: str) -> Choice:
    """The attention implementation to ask transformers for.

    `auto` never picks flash_attention_2 in fp32 (the kernel only has half precision) nor on a CPU, where its Triton
    rotary kernel crashes. Raises UserError where a requested one cannot run, saying why.
    """
    name = model_class.__name__
    has_sdpa = getattr(model_class, "_supports_sdpa", False)
    no_flash = why_no_flash_attention()
    if no_flash is None and not supports_flash(model_class):
        no_flash = f"{name} has no flash_attention_2 code"
    if no_flash is None and (device != "cuda" or precision != "bf16"):
        no_flash = "flash_attention_2 computes in half precision only; it needs --precision bf16 on a GPU"
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
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
