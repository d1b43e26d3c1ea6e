"""Low-rank adapters in an encoder, through peft: put in, saved beside nothing else, read back, merged.

peft replaces linear modules in place, so that whatever calls them (ModernBERT's packed forward too) computes with the
adapter. What follows the last layer (poolers, the task's head) is trained and saved whole.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel

from bioclinical.encoders.layers import NUMBERED, layer_numbers
from bioclinical.errors import UserError

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"  # peft's names
PREFIX = "base_model.model."  # of weights in peft's files


def require_peft() -> None:
    """Raises UserError where peft is absent."""
    if importlib.util.find_spec("peft") is None:
        raise UserError("adapters need peft; install it with: pip install 'bioclinical[adapters]'")


def linear_modules(model: nn.Module) -> dict[str, str]:
    """Full name -> last part of the name of every linear module in the numbered layers."""
    kinds = ("Linear", "Conv1D")  # GPT-2 computes linear maps with the latter
    found = [name for name, module in model.named_modules() if type(module).__name__ in kinds and NUMBERED.search(name)]
    return {name: name.rpartition(".")[2] for name in found}


def add_adapter(model: PreTrainedModel, r: int, alpha: float, dropout: float, targets: Sequence[str]) -> None:
    """Puts adapters into the linear modules of the numbered layers, and freezes all but these and the head.

    Raises UserError where a target names none of the modules.
    """
    require_peft()
    from peft import LoraConfig

    modules = linear_modules(model)
    known = sorted(set(modules.values()))
    if unknown := sorted(set(targets) - set(known)):
        raise UserError(
            f"--lora targets={'+'.join(unknown)}: this network has no such modules; known: {', '.join(known)}"
        )
    chosen = [name for name, last in modules.items() if not targets or last in targets]
    inject(model, LoraConfig(r=r, lora_alpha=alpha, lora_dropout=dropout, target_modules=chosen, bias="none"))


def inject(model: PreTrainedModel, config: Any) -> None:
    """Puts the adapters of a peft config in; only they and what follows the last layer stay trained."""
    from peft import inject_adapter_in_model

    config.fan_in_fan_out = any(type(module).__name__ == "Conv1D" for module in model.modules())
    after_last = head_weights(model)
    inject_adapter_in_model(config, model)
    for name, weight in model.named_parameters():
        weight.requires_grad_("lora_" in name or name in after_last)


def head_weights(model: nn.Module) -> set[str]:
    """Names of the weights after the last layer."""
    layers = layer_numbers(name for name, _ in model.named_parameters())
    last = max(layers.values())
    return {name for name, layer in layers.items() if layer == last}


def save_adapter(model: PreTrainedModel, folder: Path, base: str) -> None:
    """The trained weights and their description, as peft's own files. base: where the frozen weights came from."""
    config = model.peft_config["default"]
    model.config.architectures = [type(model).__name__]
    heads = sorted(
        {name.rpartition(".")[0] for name, w in model.named_parameters() if w.requires_grad and "lora_" not in name}
    )
    config.base_model_name_or_path, config.modules_to_save, config.inference_mode = base, heads, True
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    model.config.save_pretrained(folder)
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    tensors = {
        PREFIX + name.replace(".default.", "."): weight.detach().cpu().contiguous() for name, weight in trained.items()
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def load_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Puts a saved adapter with its head into its base model and merges it. Raises UserError where it does not fit."""
    require_peft()
    from peft import LoraConfig

    try:
        config = LoraConfig.from_pretrained(folder)
        config.modules_to_save = None  # `inject` knows them
        inject(model, config)
        tensors = load_file(folder / WEIGHTS)
    except (ValueError, OSError, TypeError) as error:
        raise UserError(
            f"the adapter in '{folder}' cannot be read or does not fit its base ({type(error).__name__})"
        ) from error
    own = dict(model.named_parameters())
    stored = {in_model(name): tensor for name, tensor in tensors.items()}
    expected = {name for name, weight in own.items() if weight.requires_grad}
    if set(stored) != expected or any(own[name].shape != tensor.shape for name, tensor in stored.items()):
        raise UserError(f"the adapter in '{folder}' does not fit its base: other layers, head or sizes")
    with torch.no_grad():
        for name, tensor in stored.items():
            own[name].copy_(tensor)
    merge(model)


def in_model(name: str) -> str:
    """A weight's name in peft's files -> in a model with the adapter in it."""
    return name.removeprefix(PREFIX).replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")


def merge(model: PreTrainedModel) -> None:
    """Adds the adapters to the weights that they stand beside, and leaves a model as if there had been none."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, module.get_base_layer())
    model.requires_grad_(True)
    del model.peft_config


def freeze(model: nn.Module, embeddings: bool, layers: set[int]) -> str:
    """Takes the embeddings and numbered layers out of training; what to tell about it.

    Raises UserError where a number is that of no layer.
    """
    numbers = layer_numbers(name for name, _ in model.named_parameters())
    count = max(numbers.values())
    if beyond := sorted(layer for layer in layers if layer >= count):
        raise UserError(f"--freeze: there is no layer {beyond[0]}; this network has {count}, numbered from 0")
    frozen = layers | ({-1} if embeddings else set())
    for name, weight in model.named_parameters():
        if numbers[name] in frozen:
            weight.requires_grad_(False)
    return f"frozen: {'embeddings and ' if embeddings else ''}{len(layers)} of {count} layers"
