"""What turns a model's scores into decisions: a temperature for its probabilities, and thresholds of labels.

One label of several (tags, classes): the label that has a threshold is said where its probability reaches it, else the
best of the others. Any number of labels: each is said where its probability reaches its threshold.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bioclinical.errors import UserError

ABSTAINED = "[abstained]"  # in place of an answer; no label is called so


@dataclass(frozen=True)
class OperatingPoint:
    """temperature: logits are divided by it.  thresholds: label -> the smallest probability at which it is said."""

    temperature: float = 1.0
    thresholds: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, stored: Any, labels: Sequence[str], most: int | None, where: str) -> "OperatingPoint":
        """A point from JSON. most: how many thresholds the kind of problem takes, None for any number.

        Raises UserError, naming `where`, for anything that is none of a model with these labels.
        """
        if not isinstance(stored, dict):
            raise UserError(f"{where} holds no operating point: an object with temperature and thresholds")
        temperature, thresholds = stored.get("temperature", 1.0), stored.get("thresholds", {})
        if not is_number(temperature) or not 0 < temperature <= 1000:
            raise UserError(f"{where}: temperature must be a number above 0, at most 1000")
        if not isinstance(thresholds, dict) or not all(is_number(t) and 0 <= t <= 1 for t in thresholds.values()):
            raise UserError(f"{where}: thresholds must be an object of labels with numbers from 0 to 1")
        if others := [label for label in thresholds if label not in labels]:
            raise UserError(
                f"{where} is for other labels: {len(others)} of its {len(thresholds)} are none of the model's "
                f"{len(labels)}; calibrate this model (main.py --calibrate) or name the file that belongs to it"
            )
        if most is not None and len(thresholds) > most:
            raise UserError(f"{where} has {len(thresholds)} thresholds; this kind of problem takes {most}")
        return cls(float(temperature), {label: float(t) for label, t in thresholds.items()})


@dataclass(frozen=True)
class Aim:
    """What thresholds are chosen for: the highest `best` among those where `given` is at least `least`."""

    best: str
    given: str
    least: float

    @classmethod
    def parse(cls, text: str) -> "Aim":
        """`recall@precision=0.95`, or the reverse. Raises UserError for anything else."""
        found = re.fullmatch(r"(recall|precision)@(recall|precision)=(\d*\.?\d+)", text)
        if found is None or found[1] == found[2] or not 0 < float(found[3]) <= 1:
            raise UserError(f"--operating_point {text}: write recall@precision=0.95 or precision@recall=0.95")
        return cls(found[1], found[2], float(found[3]))


@dataclass(frozen=True)
class Calibration:
    """A point chosen on validation.

    reached: whether the aim's condition holds there for every label.  scores: what was reached, by label (or for all
    together), precision, recall and F1.  nll: the mean negative log-likelihood before and after the temperature.
    decisions: how many the temperature was fitted to.
    """

    point: OperatingPoint
    reached: bool
    scores: dict[str, dict[str, float]]
    nll: tuple[float, float]
    decisions: int


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def decided(shares: np.ndarray, labels: Sequence[str], thresholds: Mapping[str, float]) -> np.ndarray:
    """(..., labels) probabilities -> (...) the label that is said; at most one label has a threshold."""
    if not thresholds:
        return shares.argmax(-1)
    ((label, least),) = thresholds.items()
    own = labels.index(label)
    others = np.where(np.arange(len(labels)) == own, -1.0, shares).argmax(-1)
    return np.where(shares[..., own] >= least, own, others)
