"""Averages of checkpoints: in place of a learning rate's decay, of several runs (soups), and TIES over a common start.

Averaging the checkpoints of a run at a constant rate emulates a decay of that rate (WSM, arXiv 2507.17634): the mean
sum_j c_j theta_j equals the first checkpoint plus the later updates, update i scaled by w_i = sum_{j >= i} c_j. So the
weights of a decay w are c_0 = 1 - w_1, c_j = w_j - w_{j+1}, c_k = w_k. That holds exactly where gradients do not depend
on the weights. TIES: arXiv 2306.01708.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bioclinical.checkpoints.found import own_checkpoints
from bioclinical.checkpoints.read import load_checkpoint, read_checkpoint
from bioclinical.errors import UserError
from bioclinical.files import atomic_path

# What is left of the learning rate at x = 0 (the decay's start) to 1 (its end).
DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: 1 - x,
    "one_minus_sqrt": lambda x: 1 - math.sqrt(x),
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
}
LARGEST_ERROR = 1e-6  # in the sum of weights given by hand


def decay_weights(clocks: Sequence[float], decay: str) -> list[float]:
    """The weight of each checkpoint, oldest first, that emulates a decay over them. clocks: tokens seen at each.

    With k + 1 checkpoints at equal distances, update i is scaled by the decay at i / (k + 1).
    """
    if len(clocks) < 2:
        raise UserError(f"{len(clocks)} checkpoint(s) in the span; averaging needs two or more (a longer --span)")
    intervals = len(clocks) - 1
    whole = (clocks[-1] - clocks[0]) * (intervals + 1) / intervals
    scales = [1.0, *(DECAYS[decay]((clock - clocks[0]) / whole) for clock in clocks[1:]), 0.0]
    return [now - after for now, after in itertools.pairwise(scales)]


def in_span(run: Path, span: int) -> tuple[list[Path], list[int]]:
    """A run's kept checkpoints of its last `span` tokens, oldest first, and the tokens seen at each."""
    paths = own_checkpoints(run)[::-1]
    if not paths:
        raise UserError(f"'{run}' holds no checkpoints (ep*-ba*-rank0.pt); give the folder of a run")
    clocks = []
    for path in paths:
        clock = read_checkpoint(path)["state"].get("timestamp", {}).get("Timestamp")
        if not clock:
            raise UserError(f"'{path}' does not say how many tokens it has seen; name files and --weights instead")
        clocks.append(clock["token"])
    chosen = [i for i, clock in enumerate(clocks) if clock >= clocks[-1] - span]
    return [paths[i] for i in chosen], [clocks[i] for i in chosen]


def check_weights(weights: Sequence[float], count: int) -> None:
    """Raises UserError where there is not one weight a checkpoint, or they do not sum to 1."""
    if len(weights) != count:
        raise UserError(f"--weights: {len(weights)} weights for {count} checkpoints; give one each")
    if not abs(sum(weights) - 1) <= LARGEST_ERROR:
        raise UserError(f"--weights: they sum to {sum(weights):g}; they must sum to 1")


def average(paths: Sequence[Path], weights: Sequence[float]) -> dict[str, Tensor]:
    """The weighted mean of the checkpoints' floating-point tensors, summed in fp32; of other tensors the first's.

    Holds one checkpoint in memory beside the one being read. Raises UserError where the checkpoints do not fit.
    """
    total: dict[str, Tensor] = {}
    for path, weight in zip(paths, weights):
        tensors = load_checkpoint(path).weights
        if total:
            check_same(total, tensors, paths[0], path)
        shared: dict[int, Tensor] = {}  # a tied table is summed once
        for name, tensor in tensors.items():
            if not tensor.is_floating_point():
                total.setdefault(name, tensor.clone())
            elif tensor.data_ptr() in shared:
                total[name] = shared[tensor.data_ptr()]
            else:
                start = total[name] if name in total else torch.zeros(tensor.shape, dtype=torch.float32)
                total[name] = shared[tensor.data_ptr()] = start.add_(tensor.float(), alpha=weight)
    return total


def ties(base: Path, paths: Sequence[Path], keep: float) -> dict[str, Tensor]:
    """The base plus, at each weight, the mean of those changes that agree with the sign of their sum.

    keep: the share of each model's changes that counts, the largest of each tensor; the others are taken as zero.
    """
    start = load_checkpoint(base).weights
    models = [load_checkpoint(path).weights for path in paths]
    for path, tensors in zip(paths, models):
        check_same(start, tensors, base, path)
    merged: dict[str, Tensor] = {}
    shared: dict[int, Tensor] = {}
    for name, tensor in start.items():
        if not tensor.is_floating_point():
            merged[name] = tensor.clone()
        elif tensor.data_ptr() in shared:
            merged[name] = shared[tensor.data_ptr()]
        else:
            changes = torch.stack([largest(model[name].float() - tensor.float(), keep) for model in models])
            agreeing = (changes.sign() == changes.sum(dim=0).sign()) & (changes != 0)
            mean = (changes * agreeing).sum(dim=0) / agreeing.sum(dim=0).clamp(min=1)
            merged[name] = shared[tensor.data_ptr()] = tensor.float() + mean
    return merged


def largest(change: Tensor, keep: float) -> Tensor:
    """The change with all but its `keep` share of largest entries set to zero."""
    count = max(1, round(keep * change.numel()))
    smallest_kept = change.abs().flatten().kthvalue(change.numel() - count + 1).values
    return change.masked_fill(change.abs() < smallest_kept, 0.0)


def check_same(first: dict[str, Tensor], other: dict[str, Tensor], first_path: Path, other_path: Path) -> None:
    """Raises UserError naming the first tensor that is missing or of another shape."""
    for name in sorted(first.keys() | other.keys()):
        shapes = [tuple(one[name].shape) if name in one else "absent" for one in (first, other)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"'{other_path}' and '{first_path}' are not of one architecture: {name} is {shapes[1]} and {shapes[0]}"
            )


def check_one_model(paths: Sequence[Path]) -> None:
    """Raises UserError where checkpoints state different architectures or tokenizers."""
    stated = [load_checkpoint(path) for path in paths]
    for path, one in zip(paths[1:], stated[1:]):
        for what, value, expected in (
            ("architecture", one.hf_config or one.model_config, stated[0].hf_config or stated[0].model_config),
            ("tokenizer", tokenizer_of(one.facts), tokenizer_of(stated[0].facts)),
        ):
            if value != expected:
                raise UserError(f"'{path}' states another {what} than '{paths[0]}'; they cannot be averaged")


def tokenizer_of(facts: dict[str, Any] | None) -> str | None:
    return facts["config"]["model"]["tokenizer_name"] if facts else None


def write_average(weights: dict[str, Tensor], last: Path, out: Path, made_of: dict[str, Any]) -> None:
    """Writes a checkpoint of weights alone, with what `last` says about its run and `made_of` what it is a mean of."""
    former = read_checkpoint(last)["state"]
    state = {"model": {f"model.{name}": tensor for name, tensor in weights.items()}, "averaged": made_of}
    state |= {key: former[key] for key in ("timestamp", "integrations") if key in former}
    facts = (former.get("callbacks") or {}).get("Checkpoints", {}).get("facts")
    if facts:
        state["callbacks"] = {"Checkpoints": {"facts": facts}}
    with atomic_path(out) as partial:
        torch.save({"state": state}, partial)
