"""Continuing a run from its own checkpoint: what is checked before Composer opens the file, and how it may open it."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from bioclinical.checkpoints.read import Content, safe_globals
from bioclinical.errors import UserError
from bioclinical.pretraining.recipe.duration import Duration

FORCE_SAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"


def has_ended(content: Content, max_duration: Duration) -> bool:
    """Whether a run's own checkpoint stands at or past the end."""
    return content["state"]["timestamp"]["Timestamp"][max_duration.clock] >= max_duration.value


def expect_same_model(content: Content, model: torch.nn.Module, recipe: Mapping[str, Any], path: Path) -> None:
    """Raises UserError where the checkpoint's tensors are not the model's, naming the first key that differs, or where
    other layers were frozen.
    """
    facts = (content["state"].get("callbacks") or {}).get("Checkpoints", {}).get("facts", {})
    frozen = facts.get("config", {}).get("freeze_layers")
    if facts and frozen != recipe.get("freeze_layers"):
        raise UserError(
            f"'{path}' was written with freeze_layers {frozen}, here it is {recipe.get('freeze_layers')}; it can "
            "change between phases only: continue with the former value, or start a new run with load_path"
        )
    stored = {name: tensor.shape for name, tensor in content["state"]["model"].items()}
    if stored == {name: tensor.shape for name, tensor in model.state_dict().items()}:
        return
    former = flat(facts.get("config", {}).get("model", {}), "model.")
    now = flat(recipe["model"], "model.")
    differing = next((name for name in now if name in former and former[name] != now[name]), None)
    where = (
        f"{differing}: {former[differing]} there, {now[differing]} here"
        if differing
        else "its tensors have other shapes"
    )
    raise UserError(
        f"'{path}' is of another model ({where}); continue it with its own values, or start a new run with another "
        "run_name"
    )


def flat(section: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Nested keys as dotted names."""
    values: dict[str, Any] = {}
    for key, value in section.items():
        values |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return values


@contextlib.contextmanager
def only_safe_pickles() -> Iterator[None]:
    """Composer reads checkpoints with weights_only=False; within this block torch allows it plain values only."""
    before = os.environ.get(FORCE_SAFE)
    os.environ[FORCE_SAFE] = "1"
    try:
        with torch.serialization.safe_globals(safe_globals()):
            yield
    finally:
        if before is None:
            del os.environ[FORCE_SAFE]
        else:
            os.environ[FORCE_SAFE] = before
