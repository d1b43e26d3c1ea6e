"""What computes a saved model: torch, or onnxruntime for a folder made by export_onnx."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PretrainedConfig

from bioclinical.encoders.source import Source
from bioclinical.errors import UserError
from bioclinical.files import sha256_of_file
from bioclinical.inference.finetuned import load_finetuned
from bioclinical.inference.onnx_model import MODEL_FILE, OnnxModel
from bioclinical.problems import Problem
from bioclinical.problems.encoding import arguments_of
from bioclinical.runtime import machine


@dataclass(frozen=True)
class Loaded:
    """A model that is called with its inputs by name, those inputs' names, its device, what computes it in words, and
    what its config and weights in Hugging Face layout do not say of its identity."""

    model: Callable[..., Any]
    arguments: frozenset[str]
    device: str
    description: str
    identity: str = ""


def in_torch(source: Source, config: PretrainedConfig, problem: Problem, base: str | None = None) -> Loaded:
    """The model on the device that is there. base: where the model of an adapter is now.

    Raises UserError for weights that do not fit.
    """
    device = machine.choose_device().value
    head = problem.head_class(config, source.name)
    model, attention = load_finetuned(source, config, head, device, base)
    return Loaded(model.to(device).eval(), arguments_of(model), device, f"device: {device}, attention: {attention}")


def in_onnxruntime(source: Source, config: PretrainedConfig, problem: Problem, base: str | None = None) -> Loaded:
    """The folder's model.onnx on the CPU. Raises UserError where it or onnxruntime is absent."""
    if base:
        raise UserError(f"--base: '{source.name}' holds a whole model, which needs no other one")
    model = OnnxModel(Path(source.name))
    identity = sha256_of_file(Path(source.name) / MODEL_FILE)
    return Loaded(model, model.arguments, "cpu", "device: cpu, onnxruntime", identity)


RUNTIMES = {"torch": in_torch, "onnx": in_onnxruntime}
