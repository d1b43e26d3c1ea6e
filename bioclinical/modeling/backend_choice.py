"""Which kernel computes the packed attention on this machine, and why."""

import torch

from bioclinical.errors import UserError, first_line
from bioclinical.modeling import BACKENDS, EXPERIMENTAL_BACKENDS
from bioclinical.modeling.flash import FUNCTIONS, find_function
from bioclinical.runtime.choice import Choice

# Tried in this order. The others are left to those who ask for them: flash-attn 2 is what torch has inside,
# flash-attn 4 is young, and flex_attention compiles anew for other numbers of tokens.
AUTOMATIC_BACKENDS = ("flash_attn_3", "torch_flash", "banded_sdpa")
LARGEST_HEAD = 256  # FlashAttention's kernels: a multiple of 8 up to this


def why_no_package(package: str) -> str | None:
    """None if the kernel of a flash-attn release (a key of flash.FUNCTIONS) can be called here, else the reason."""
    if not torch.cuda.is_available():
        return "flash-attn needs a CUDA device"
    try:
        find_function(package)
    except ModuleNotFoundError as error:
        return f"{error.name or FUNCTIONS[package][0]} is not installed"
    except Exception as error:  # a wheel built for another torch or CUDA fails only here, in classes of its own
        return f"flash-attn is installed but does not load ({type(error).__name__}: {first_line(error)})"
    return None


def why_no_flash_in_torch() -> str | None:
    """None if torch's own FlashAttention runs on this GPU, else the reason."""
    if torch.cuda.get_device_capability() < (8, 0):
        return "torch's FlashAttention needs an Ampere GPU (compute capability 8.0) or newer"
    if not torch.backends.cuda.is_flash_attention_available():
        return "this build of torch has no FlashAttention"
    return None


def why_no_backend(backend: str, device: str, precision: str, head_dim: int | None = None) -> str | None:
    """None if a kernel of the packed forward can run on this device in this precision, else the reason."""
    if backend == "banded_sdpa":
        return None
    if device != "cuda":
        return f"{backend} needs a CUDA device"
    if backend == "flex_attention":
        return None
    if precision not in ("bf16", "fp16"):
        return "flash-attn computes in half precision only; it needs bf16"
    if head_dim and (head_dim % 8 or head_dim > LARGEST_HEAD):
        return f"its heads must be a multiple of 8 up to {LARGEST_HEAD} wide, and this model's are {head_dim}"
    if backend == "torch_flash":
        return why_no_flash_in_torch()
    if backend == "flash_attn_3" and torch.cuda.get_device_capability()[0] != 9:
        return "flash-attn 3 is written for Hopper GPUs"
    return why_no_package(backend)


def choose_packed_backend(requested: str, device: str, precision: str, head_dim: int | None = None) -> Choice:
    """The kernel of the packed forward: `auto` or a name of modeling.BACKENDS. head_dim: width of a head, if known.

    Raises UserError where a requested one is unknown or cannot run, saying why and what would run instead.
    """
    reasons = {name: why_no_backend(name, device, precision, head_dim) for name in AUTOMATIC_BACKENDS}
    best = next(name for name in AUTOMATIC_BACKENDS if reasons[name] is None)
    if requested == "auto":
        place = AUTOMATIC_BACKENDS.index(best)
        why = reasons[AUTOMATIC_BACKENDS[place - 1]] if place else "the fastest kernel on this GPU"
        return Choice(best, why + experimental_note(best))
    if requested not in BACKENDS:
        raise UserError(f"unknown attention backend '{requested}'; known: auto, {', '.join(BACKENDS)}")
    if reason := why_no_backend(requested, device, precision, head_dim):
        raise UserError(f"attention backend {requested} cannot run here: {reason}; auto would take {best}")
    return Choice(requested, "asked for" + experimental_note(requested))


def experimental_note(backend: str) -> str:
    """What a result must say of a kernel that the project could not test."""
    return "; experimental: not yet tested on a GPU" if backend in EXPERIMENTAL_BACKENDS else ""
