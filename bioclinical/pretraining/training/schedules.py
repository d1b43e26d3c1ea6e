"""Learning rate schedules: the share of the base learning rate at a time of the clock that max_duration counts in.

A schedule is a pure function of that clock (tokens, as a rule), so restoring the clock restores the learning rate.
Composer sets the rate for a batch from the clock before the batch preceding it.
"""

import math
from collections.abc import Callable

from bioclinical.errors import UserError
from bioclinical.pretraining.recipe import schema
from bioclinical.pretraining.recipe.duration import FRACTION, Duration

Schedule = Callable[[float], float]


def constant_with_warmup(now: float, warmup: float) -> float:
    """Linear from 0 to 1, then 1."""
    return now / warmup if now < warmup else 1.0


def linear_decay_with_warmup(now: float, warmup: float, end: float, alpha_f: float) -> float:
    """Linear from 0 to 1, then linear to alpha_f at the end."""
    if now < warmup:
        return now / warmup
    return 1 + (alpha_f - 1) * share(now - warmup, end - warmup)


def linear_decay_times_warmup(now: float, warmup: float, end: float, alpha_f: float) -> float:
    """Linear from 1 to alpha_f over the whole training, times a linear warm-up from 0 to 1, as in ELECTRA's code."""
    return (1 + (alpha_f - 1) * share(now, end)) * share(now, warmup)


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


def build_schedule(section: schema.Schedule, max_duration: Duration) -> Schedule:
    """The schedule of a recipe's section `scheduler`.

    Raises UserError where its times have another unit or are too long.
    """

    def time(key: str) -> float:
        value = getattr(section, key)
        if value.unit == FRACTION:
            return value.value * max_duration.value
        if value.value and value.unit != max_duration.unit:
            raise UserError(
                f"scheduler.{key}: '{value}' must be in the unit of max_duration, {max_duration.unit}, or dur"
            )
        return value.value

    end = max_duration.value
    if section.name == "constant_with_warmup":
        warmup = time("t_warmup")
        return lambda now: constant_with_warmup(now, warmup)
    if section.name == "one_minus_sqrt":
        decay, end, alpha_f = time("t_decay"), time("t_max"), section.alpha_f
        if decay > end:
            raise UserError(f"scheduler.t_decay: '{section.t_decay}' is longer than t_max '{section.t_max}'")
        return lambda now: one_minus_sqrt(now, decay, end, alpha_f)
    warmup, alpha_f = time("t_warmup"), section.alpha_f
    if warmup > end:
        raise UserError(f"scheduler.t_warmup: '{section.t_warmup}' is longer than max_duration")
    if section.name == "warmup_stable_decay":
        decay = time("t_decay")
        return lambda now: warmup_stable_decay(now, warmup, decay, end, alpha_f)
    shape = {
        "linear_decay_with_warmup": linear_decay_with_warmup,
        "linear_decay_times_warmup": linear_decay_times_warmup,
        "cosine_with_warmup": cosine_with_warmup,
    }
    return lambda now: shape[section.name](now, warmup, end, alpha_f)
