"""What ran: versions of packages, the machine's hardware and peak rates, the commit."""

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import platform
import re
import subprocess
from pathlib import Path

RECORDED_PACKAGES = (
    "torch", "transformers", "tokenizers", "accelerate", "datasets", "numpy", "pandas", "scikit-learn", "seqeval",
    "mosaicml", "mosaicml-streaming", "torch-optimi", "flash-attn",
)  # fmt: skip
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


@functools.cache
def installed_versions() -> dict[str, str]:
    """Versions of the packages that can change a number, Python and CUDA among them."""
    import torch  # slow; who only asks for a peak or the commit need not wait

    python_and_cuda = {"python": platform.python_version(), "cuda": torch.version.cuda or "none"}
    return python_and_cuda | versions_of(*RECORDED_PACKAGES)


def versions_of(*packages: str) -> dict[str, str]:
    """Versions of those packages that are installed."""
    versions = {}
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def hardware() -> dict[str, object]:
    """CPU, threads, GPU names and memory of this machine."""
    import torch

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
    root = Path(__file__).resolve().parents[2]
    try:
        run = functools.partial(subprocess.run, cwd=root, capture_output=True, text=True, timeout=10, check=True)
        commit = run(["git", "rev-parse", "HEAD"]).stdout.strip()
        return commit + ("+changes" if run(["git", "status", "--porcelain", "-uno"]).stdout.strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None
