"""Which kernel computes the packed attention on this machine, and why."""

import importlib
import importlib.metadata
import importlib.util

import torch

from bioclinical.errors import UserError
from bioclinical.modeling import BACKENDS, EXPERIMENTAL_BACKENDS
from bioclinical.runtime.machine import Choice

# Tried in this order. flex_attention is left to those who ask for it: it compiles anew for other numbers of tokens.
AUTOMATIC_BACKENDS = ("flash_attn_3", "flash_attn_2", "banded_sdpa")


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
