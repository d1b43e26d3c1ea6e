"""Learning rate schedules: the share of the base learning rate at a time of the clock that max_duration counts in.

A schedule is a pure function of that clock (tokens, as a rule), so restoring the clock restores the learning rate.
Composer sets the rate for a batch from the clock before the batch preceding it.
"""

import math
from collections.abc import Callable

from composer.core import State, Time
from omegaconf import DictConfig

from bioclinical.errors import UserError
from bioclinical.pretraining.recipe.load import parse_time

Schedule = Callable[[float], float]


def constant_with_warmup(now: float, warmup: float) -> float:
    """Linear from 0 to 1, then 1."""
    return now / warmup if now < warmup else 1.0


def linear_decay_with_warmup(now: float, warmup: float, end: float, alpha_f: float) -> float:
    """Linear from 0 to 1, then linear to alpha_f at the end."""
    if now < warmup:
        return now / warmup
    return 1 + (alpha_f - 1) * share(now - warmup, end - warmup)


def cosine_with_warmup(now: float, warmup: float, end: float, alpha_f: float) -> float:
    """Linear from 0 to 1, then half a cosine to alpha_f at the end."""
    if now < warmup:
        return now / warmup
    return alpha_f + (1 - alpha_f) * (1 + math.cos(math.pi * share(now - warmup, end - warmup))) / 2


def warmup_stable_decay(now: float, warmup: float, decay: float, end: float, alpha_f: float) -> float:
    """Linear from almost 0 to 1, constant, then linear to alpha_f over the last `decay`."""
    if now < warmup:
        return 1e-10 + (1 - 1e-10) * now / warmup
    if now <= end - decay:
        return 1.0
    return 1 + (alpha_f - 1) * share(now - (end - decay), decay)


def one_minus_sqrt(now: float, decay: float, end: float, alpha_f: float) -> float:
    """Constant, then 1 - sqrt(share of the decay gone by) down to alpha_f.

    Source: Haegele et al. 2024 (arXiv:2405.18392).
    """
    if now <= end - decay:
        return 1.0
    return alpha_f + (1 - alpha_f) * (1 - math.sqrt(share(now - (end - decay), decay)))


def share(part: float, whole: float) -> float:
    """part / whole, at most 1."""
    return min(part / whole, 1.0) if whole > 0 else 1.0


def build_schedule(config: DictConfig, max_duration: Time) -> Schedule:
    """The schedule of a config's section `scheduler`.

    Raises UserError where its times have another unit or are too long.
    """

    def time(key: str) -> float:
        value = parse_time(f"scheduler.{key}", config[key], fractions=True)
        if value.unit.value == "dur":
            return value.value * max_duration.value
        if value.value and value.unit != max_duration.unit:
            raise UserError(
                f"scheduler.{key}: '{config[key]}' must be in the unit of max_duration, "
                f"{max_duration.unit.value}, or dur"
            )
        return value.value

    end = max_duration.value
    if config.name == "constant_with_warmup":
        warmup = time("t_warmup")
        return lambda now: constant_with_warmup(now, warmup)
    if config.name == "one_minus_sqrt":
        decay, end, alpha_f = time("t_decay"), time("t_max"), config.alpha_f
        if decay > end:
            raise UserError(f"scheduler.t_decay: '{config.t_decay}' is longer than t_max '{config.t_max}'")
        return lambda now: one_minus_sqrt(now, decay, end, alpha_f)
    warmup, alpha_f = time("t_warmup"), config.alpha_f
    if warmup > end:
        raise UserError(f"scheduler.t_warmup: '{config.t_warmup}' is longer than max_duration")
    if config.name == "warmup_stable_decay":
        decay = time("t_decay")
        return lambda now: warmup_stable_decay(now, warmup, decay, end, alpha_f)
    shape = {"linear_decay_with_warmup": linear_decay_with_warmup, "cosine_with_warmup": cosine_with_warmup}[
        config.name
    ]
    return lambda now: shape(now, warmup, end, alpha_f)


def composer_schedule(schedule: Schedule, max_duration: Time) -> Callable[[State, float], float]:
    """The schedule as Composer calls it."""
    return lambda state, ssr=1.0: schedule(state.timestamp.get(max_duration.unit).value)
