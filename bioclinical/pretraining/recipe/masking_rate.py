"""The share of tokens that are masked, as a function of the token clock: constant, in steps, or on straight lines.

    mlm_probability:
      shape: steps                     # or linear
      rates: {0tok: 0.3, 0.8dur: 0.15, 0.95dur: 0.05}

A pure function of the clock at the beginning of a batch, so that resuming, workers and processes cannot change it.
"""

import dataclasses
import itertools
from bisect import bisect_right
from dataclasses import dataclass
from typing import Any

from bioclinical.errors import UserError
from bioclinical.pretraining.recipe.duration import FRACTION, Duration, parse_duration
from bioclinical.pretraining.recipe.keys import key


@dataclass(frozen=True, kw_only=True)
class MaskingSchedule:
    """dataset.mlm_probability as a section. rates: time -> share; steps: from that time on; linear: reached then."""

    shape: str = key("steps", only=("steps", "linear"))
    rates: dict[str, Any] = key()


@dataclass(frozen=True)
class MaskingRate:
    """clock (tokens) -> the share of tokens to mask. times: rising, the first is 0; rates: one for each."""

    times: tuple[float, ...]
    rates: tuple[float, ...]
    is_linear: bool = False

    @classmethod
    def constant(cls, rate: float) -> "MaskingRate":
        return cls((0.0,), (rate,))

    def __call__(self, clock: int) -> float:
        last = bisect_right(self.times, clock) - 1
        if not self.is_linear or last + 1 == len(self.times):
            return self.rates[last]
        (start, end), (before, after) = self.times[last : last + 2], self.rates[last : last + 2]
        return before + (after - before) * (clock - start) / (end - start)


def masking_rate(value: float | MaskingSchedule) -> MaskingRate:
    """The rate of a checked recipe."""
    if isinstance(value, float):
        return MaskingRate.constant(value)
    times = tuple(float(text.removesuffix("tok")) for text in value.rates)
    return MaskingRate(times, tuple(value.rates.values()), value.shape == "linear")


def in_tokens(name: str, value: MaskingSchedule, max_duration: Duration) -> MaskingSchedule:
    """The schedule of a recipe's key `name`, its times in tokens. Raises UserError where it is none."""
    if not value.rates:
        raise UserError(f"{name}.rates is empty; give times and shares, e.g. {{0tok: 0.3, 0.8dur: 0.15}}")
    times = [tokens_at(name, str(text), max_duration) for text in value.rates]
    if times[0] != 0 or any(after <= before for before, after in itertools.pairwise(times)):
        raise UserError(f"{name}.rates: the times {', '.join(map(str, value.rates))} must begin with 0tok and rise")
    for time, rate in value.rates.items():
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < 1:
            raise UserError(f"{name}.rates: '{rate}' at {time} must be above 0 and below 1")
    rates = {f"{time}tok": float(rate) for time, rate in zip(times, value.rates.values())}
    return dataclasses.replace(value, rates=rates)


def tokens_at(name: str, text: str, max_duration: Duration) -> int:
    """A schedule's time in tokens. Raises UserError for other units, and for shares of a run not counted in tokens."""
    duration = parse_duration(text, fractions=True)
    if duration is None or duration.unit not in ("tok", FRACTION):
        raise UserError(f"{name}.rates: '{text}' is no time of the token clock; write e.g. 5_000_000tok or 0.8dur")
    if duration.unit == "tok":
        return duration.value
    if duration.value and max_duration.unit != "tok":
        raise UserError(
            f"{name}.rates: '{text}' is a share of max_duration, which counts {max_duration.unit}; give times in "
            "tok, or max_duration in tok"
        )
    return round(duration.value * max_duration.value)
