"""Where and how a run computes: device and precision under the names of torch, of Composer and of the kernels."""

from dataclasses import dataclass

import torch

from bioclinical.errors import UserError

PRECISIONS = {"amp_bf16": "bf16", "amp_fp16": "fp16", "fp32": "fp32"}


@dataclass(frozen=True)
class Compute:
    """device: cuda or cpu. precision: bf16, fp16 or fp32. attention: the kernel asked for, or auto."""

    device: str = "cpu"
    precision: str = "fp32"
    attention: str = "auto"

    @property
    def composer_device(self) -> str:
        return "gpu" if self.device == "cuda" else self.device


def choose_compute(device: str | None, precision: str, attention: str) -> Compute:
    """From the recipe's values; without a device the GPU where there is one.

    Raises UserError where there is no such device, or it cannot compute in the precision.
    """
    device = device or ("gpu" if torch.cuda.is_available() else "cpu")
    if device == "gpu" and not torch.cuda.is_available():
        raise UserError("device: 'gpu' was asked for, but torch sees no CUDA device; use device=cpu")
    if device == "cpu" and precision != "fp32":
        raise UserError(f"precision: '{precision}' needs a GPU, and none is used here; on a CPU use precision=fp32")
    if precision == "amp_bf16" and not torch.cuda.is_bf16_supported():
        raise UserError("precision: 'amp_bf16' is not supported by this GPU; use precision=amp_fp16 or fp32")
    return Compute("cuda" if device == "gpu" else device, PRECISIONS[precision], attention)
