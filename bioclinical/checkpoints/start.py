"""Starting a phase from other weights, once: model, optimizer moments, hyperparameters, clock."""

from pathlib import Path
from typing import Any

import torch
from composer.core import Timestamp
from transformers import PreTrainedTokenizerFast

from bioclinical.checkpoints.read import Checkpoint, load_checkpoint, load_pretrained, load_weights
from bioclinical.pretraining.architectures import Architecture, stored_architecture
from bioclinical.pretraining.architectures.modernbert import from_flexbert
from bioclinical.pretraining.architectures.special_ids import expect_own_tokenizer
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.recipe.schema import Recipe
from bioclinical.pretraining.training.composer_model import TrainedModel
from bioclinical.text.tokenization import load_tokenizer

HYPERPARAMETERS = ("lr", "betas", "eps", "weight_decay", "max_lr")


def start_from(
    recipe: Recipe, architecture: Architecture, model: TrainedModel, optimizer: torch.optim.Optimizer
) -> tuple[list[str], Timestamp | None]:
    """Loads recipe.load_path into model and optimizer; what to tell the user, and the clock unless reset_time.

    With `restart_override` the optimizer keeps the recipe's hyperparameters, else it takes the checkpoint's. Weights
    come without moments from Hugging Face folders, with load_weights_only, and where the checkpoint has none under
    names. A network that the checkpoint does not hold starts from random weights.
    """
    source = load_source(recipe.load_path, recipe.trust_checkpoint)
    notes = [f"loaded: {recipe.load_path}"]
    for name, network in model.networks.items():
        if name in source.networks:
            load_weights(network, source.networks[name], recipe.load_path)
        else:
            notes.append(f"  {name}: not in the checkpoint, random weights")
    stored = stated_architecture(source, load_tokenizer(recipe.model.tokenizer_name), Compute())
    for name in architecture.computation if stored else ():
        former, now = (getattr(one.config, name, None) for one in (stored, architecture))
        if former != now:
            notes.append(f"  architecture, {name}: checkpoint {former} -> used {now}")
    if recipe.load_weights_only or source.moments is None:
        why = "load_weights_only" if recipe.load_weights_only else "it holds no optimizer state by parameter name"
        notes.append(
            f"  fresh optimizer ({why}): a short scheduler.t_warmup is advised, since its moments start from zero"
        )
    else:
        load_moments(model, optimizer, source)
        notes += settle_hyperparameters(model, optimizer, source, recipe.restart_override)
    if recipe.reset_time or source.clock is None:
        return notes, None
    clock = Timestamp()
    clock.load_state_dict(source.clock)
    return notes, clock


def stated_architecture(
    source: Checkpoint, tokenizer: PreTrainedTokenizerFast, compute: Compute
) -> Architecture | None:
    """The architecture that a checkpoint states; None where it states none.

    Raises UserError where the tokenizer is not the one of a config that names its special tokens.
    """
    if source.hf_config:
        architecture = stored_architecture(source.hf_config, compute)
        expect_own_tokenizer(architecture.config, tokenizer)
        return architecture
    return from_flexbert(source.model_config, tokenizer, compute) if source.model_config else None


def load_source(path: str, trust: bool) -> Checkpoint:
    """A .pt file of FlexBERT or of this project, or a Hugging Face folder or id."""
    return load_checkpoint(Path(path), trust) if path.endswith(".pt") else load_pretrained(path)


def names_of(model: TrainedModel) -> dict[torch.Tensor, str]:
    return {parameter: name for name, parameter in model.named_parameters()}


def load_moments(model: TrainedModel, optimizer: torch.optim.Optimizer, source: Checkpoint) -> None:
    """Gives every parameter the moments stored under its name, and its group the number of steps behind them.

    What was frozen so far has none; its moments begin at zero.
    """
    names = names_of(model)
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if stored := source.moments.get(names[parameter]):
                optimizer.state[parameter] = {
                    name: value.to(parameter.device, torch.float32) for name, value in stored.items()
                }
        step = stored_group(source, names, group).get("step", 1)
        if "step" in group:
            group["step"] = int(step)
        else:  # AdamW counts per parameter
            for parameter in filter(optimizer.state.__contains__, group["params"]):
                optimizer.state[parameter]["step"] = torch.tensor(float(step))


def stored_group(source: Checkpoint, names: dict[torch.Tensor, str], group: dict[str, Any]) -> dict[str, Any]:
    """The checkpoint's group of the first of a group's parameters that it has trained."""
    return next(source.groups[names[one]] for one in group["params"] if names[one] in source.groups)


def settle_hyperparameters(
    model: TrainedModel, optimizer: torch.optim.Optimizer, source: Checkpoint, override: bool
) -> list[str]:
    """Config's (override) or checkpoint's values in every group; one line per value that differs.

    A learning rate of the checkpoint is the base one, so that the schedule is applied to it once, also from mid-decay.
    """
    names, notes = names_of(model), []
    for number, group in enumerate(optimizer.param_groups):
        stored = stored_values(stored_group(source, names, group))
        for name in HYPERPARAMETERS:
            if name not in stored or name not in group:
                continue
            used = group[name] if override else stored[name]
            if stored[name] != group[name]:
                notes.append(f"  optimizer group {number}, {name}: checkpoint {stored[name]} -> used {used}")
            group[name] = used
    return notes


def stored_values(group: dict[str, Any]) -> dict[str, Any]:
    """A stored group's hyperparameters as plain numbers, under the names used here."""
    values = {name: value.item() if isinstance(value, torch.Tensor) else value for name, value in group.items()}
    if "beta1" in values:
        values["betas"] = (values["beta1"], values["beta2"])
    if "betas" in values:
        values["betas"] = tuple(values["betas"])
    values["lr"] = values.get("initial_lr", values["lr"])
    if not values.get("decouple_lr", True):
        values.pop("max_lr", None)
    return values
