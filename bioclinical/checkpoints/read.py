"""The one reader of checkpoints: weights and optimizer moments of FlexBERT's and this project's .pt files, and of
Hugging Face folders, under Hugging Face's names, without running code from them.
"""

import datetime
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct, scalar
from safetensors.torch import load_file
from torch import Tensor
from torch.torch_version import TorchVersion
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    ElectraForPreTraining,
    PretrainedConfig,
    PreTrainedModel,
)

from bioclinical.checkpoints.found import is_whole
from bioclinical.checkpoints.names import MAIN, flexbert_name, own_name
from bioclinical.errors import UserError, first_line

MOMENTS = ("exp_avg", "exp_avg_sq")
DISCRIMINATORS = ("ElectraForPreTraining", "ModernBertForReplacedTokens")
GENERATOR_ENDING = "-generator"  # of the folder beside a discriminator's
Content = dict[str, Any]  # of a .pt file: state (model, optimizers, timestamp, callbacks ...) and rng


@dataclass
class Checkpoint:
    """What a checkpoint holds for a new phase.

    networks: weights by network and Hugging Face name. moments: `<network>.<Hugging Face name>` -> exp_avg and
    exp_avg_sq; None without them. groups: per such name the hyperparameters of its optimizer group. clock: Composer's
    timestamp. model_config: FlexBERT's, and hf_config: transformers', where stored. facts: what this project's own
    checkpoints say about their run.
    """

    networks: dict[str, dict[str, Tensor]]
    moments: dict[str, dict[str, Tensor]] | None = None
    groups: dict[str, dict[str, Any]] | None = None
    clock: dict[str, Any] | None = None
    model_config: dict[str, Any] | None = None
    facts: dict[str, Any] | None = None
    hf_config: dict[str, Any] | None = None

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.networks[MAIN]


def safe_globals() -> list[Any]:
    """The classes beside tensors and plain values that a checkpoint may hold.

    NumPy's random state, lengths of time, a version.
    """
    dtypes = [type(np.dtype(kind)) for kind in ("uint32", "int64", "float64")]
    # numpy 1 wrote the same function under another module's name.
    old_names = [(function, f"numpy.core.multiarray.{function.__name__}") for function in (_reconstruct, scalar)]
    return [_reconstruct, scalar, *old_names, np.ndarray, np.dtype, *dtypes, datetime.timedelta, TorchVersion]


def read_checkpoint(path: Path, trust: bool | None = False) -> Content:
    """The content of a .pt file, tensors mapped from disk, without running code from it unless `trust`.

    trust: None where trusting is no choice. Raises UserError where the file is missing, cut, no Composer checkpoint, or
    holds other classes than `safe_globals`.
    """
    if not path.is_file():
        raise UserError(
            f"there is no checkpoint '{path}'; download it first (scripts/download_checkpoints.sh) or correct the "
            "path; docs/checkpoints.md says where published ones are"
        )
    if not zipfile.is_zipfile(path):
        raise UserError(f"'{path}' is cut off or no torch checkpoint; copy or download it again")
    if not is_whole(path):
        raise UserError(f"'{path}' is damaged (a checksum in it differs); copy or download it again")
    try:
        with torch.serialization.safe_globals(safe_globals()):
            content = torch.load(path, map_location="cpu", weights_only=not trust, mmap=True)
    except Exception as error:  # UnpicklingError for a class not allowed, RuntimeError for damaged content
        foreign = [] if trust else foreign_classes(path)
        if not foreign:
            raise UserError(f"'{path}' cannot be read ({first_line(error)}); copy or download it again") from error
        way_out = (
            "remove it, or continue from another checkpoint"
            if trust is None
            else "if you trust them, set trust_checkpoint=true (export: --trust_checkpoint)"
        )
        raise UserError(
            f"'{path}' holds more than tensors and plain values: {', '.join(foreign)}. Reading such a file can run "
            f"code of its maker; {way_out}"
        ) from error
    state = content.get("state") if isinstance(content, dict) else None
    model = state.get("model") if isinstance(state, dict) else None
    if not isinstance(model, dict) or not model or not all(isinstance(one, Tensor) for one in model.values()):
        raise UserError(f"'{path}' is no Composer checkpoint (it has no tensors in state.model)")
    return content


def foreign_classes(path: Path) -> list[str]:
    """The classes and functions that reading a file would call and that are not on the list of safe ones."""
    try:
        names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    except Exception:  # whatever damaged bytes make of it; the reader has said so already
        return []
    allowed = {f"{one.__module__}.{one.__qualname__}" for one in safe_globals() if hasattr(one, "__qualname__")}
    return sorted(set(names) - allowed - {"numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar"})


def load_checkpoint(path: Path, trust: bool = False) -> Checkpoint:
    """A Composer checkpoint of FlexBERT or of this project. Raises UserError as `read_checkpoint` does."""
    state = read_checkpoint(path, trust)["state"]
    try:
        facts = (state.get("callbacks") or {}).get("Checkpoints", {}).get("facts")
        integration = state.get("integrations", {}).get("huggingface", {}).get("model", {})
        model_config = integration.get("config", {}).get("content")
        name_of = own_name if facts else flexbert_name
        moments, groups = optimizer_state(state.get("optimizers") or {}, name_of)
        clock = (state.get("timestamp") or {}).get("Timestamp")
        hf_config = facts and facts["hf_config"]
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(
            f"'{path}' is no Composer checkpoint: its state is arranged otherwise ({first_line(error)}); give another"
        ) from error
    networks: dict[str, dict[str, Tensor]] = {MAIN: {}}
    for name, tensor in state["model"].items():
        network, rest = name_of(name)
        networks.setdefault(network, {})[rest] = tensor
    return Checkpoint(
        networks,
        moments=moments,
        groups=groups,
        clock=clock,
        model_config=model_config,
        facts=facts,
        hf_config=hf_config,
    )


def optimizer_state(
    optimizers: Mapping[str, Any], name_of: Callable[[str], tuple[str, str]]
) -> tuple[dict | None, dict | None]:
    """Moments and group hyperparameters per parameter; (None, None) where they are not stored by name."""
    for optimizer in optimizers.values():
        state, groups = optimizer.get("state", {}), optimizer.get("param_groups", [])
        if not state or not all(isinstance(name, str) for name in state):
            return None, None
        moments = {
            ".".join(name_of(name)): {moment: value[moment] for moment in MOMENTS}
            for name, value in state.items()
            if all(moment in value for moment in MOMENTS)
        }
        values = {
            ".".join(name_of(name)): {k: v for k, v in group.items() if k != "params"}
            for group in groups
            for name in group["params"]
        }
        for name, value in state.items():
            if "step" in value:  # AdamW counts per parameter
                values[".".join(name_of(name))].setdefault("step", value["step"])
        return moments or None, values
    return None, None


def load_pretrained(name: str) -> Checkpoint:
    """The weights of a Hugging Face folder or hub id; with an exported discriminator also those of the generator beside
    it (NAME-generator).
    """
    try:
        config = AutoConfig.from_pretrained(name)
        networks = {MAIN: pretrained_weights(name, config)}
        generator = Path(f"{name}{GENERATOR_ENDING}")
        if is_discriminator(config) and generator.is_dir():
            networks["generator"] = pretrained_weights(str(generator), AutoConfig.from_pretrained(generator))
    except Exception as error:  # the hub client and safetensors each raise classes of their own
        raise UserError(
            f"load_path: '{name}' is neither a .pt file nor a language model that transformers can load "
            f"({first_line(error)})"
        ) from error
    return Checkpoint(networks, hf_config=config.to_dict())


def is_discriminator(config: PretrainedConfig) -> bool:
    """Whether a folder holds the network that tells replaced tokens."""
    return (config.architectures or [""])[0] in DISCRIMINATORS


def pretrained_weights(name: str, config: PretrainedConfig) -> dict[str, Tensor]:
    """The tensors of a folder or id as its own kind of network names them, in fp32."""
    if is_discriminator(config) and config.model_type != "electra":
        return load_file(Path(name) / "model.safetensors")  # a class of this project
    if is_discriminator(config):
        auto_class = ElectraForPreTraining
    else:
        is_masked = type(config) in AutoModelForMaskedLM._model_mapping
        auto_class = AutoModelForMaskedLM if is_masked else AutoModelForCausalLM
    return auto_class.from_pretrained(name, torch_dtype=torch.float32).state_dict()


def load_weights(model: PreTrainedModel, weights: Mapping[str, Tensor], source: str) -> None:
    """Copies the weights into the model; a tied tensor may stand under any of its names.

    Raises UserError listing the first tensors that are missing, extra or of other shape.
    """
    wanted = model.state_dict()
    storage = {wanted[name].data_ptr(): tensor for name, tensor in weights.items() if name in wanted}
    weights = {
        name: storage[tensor.data_ptr()]
        for name, tensor in wanted.items()
        if name not in weights and tensor.data_ptr() in storage
    } | dict(weights)
    problems = [f"{name} is missing" for name in wanted if name not in weights]
    problems += [f"{name} is not in this architecture" for name in weights if name not in wanted]
    problems += [
        f"{name} has {tuple(weights[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if problems:
        raise UserError(
            f"'{source}' does not fit model.model_config: {'; '.join(problems[:5])}"
            f"{f'; and {len(problems) - 5} more' if len(problems) > 5 else ''}"
        )
    model.load_state_dict(weights)
