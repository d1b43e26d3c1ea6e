"""The attention of an encoder: this project's packed forward, or an implementation of transformers; and why."""

from transformers import PretrainedConfig

from bioclinical.encoders.attention_names import ATTENTION_CHOICES  # noqa: F401  (main.py takes it from here)
from bioclinical.errors import UserError
from bioclinical.modeling import why_not_packed
from bioclinical.modeling.backend_choice import choose_packed_backend, why_no_package
from bioclinical.runtime.choice import Choice


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
    head_dim = None if no_packed else config.hidden_size // config.num_attention_heads
    if kind == "packed":
        choice = choose_packed_backend(backend or "auto", device, precision, head_dim)
        return Choice(f"packed:{choice.value}", choice.reason if backend else f"asked for; {choice.reason}")
    if kind == "auto" and no_packed is None and device != "mps":  # nobody has compared the numbers on an Apple GPU
        choice = choose_packed_backend("auto", device, precision, head_dim)
        return Choice(f"packed:{choice.value}", f"no padding is computed; {choice.reason}")
    return choose_transformers_attention(requested, model_class, device, precision)


def choose_transformers_attention(requested: str, model_class: type, device: str, precision: str) -> Choice:
    """The attention implementation to ask transformers for."""
    name = model_class.__name__
    has_sdpa = getattr(model_class, "_supports_sdpa", False)
    no_flash = why_no_package("flash_attn_2")
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
