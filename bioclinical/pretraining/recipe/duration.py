"""Lengths of training: a number and a unit, as recipes write them (1_000_000tok, 500ba, 0.1dur)."""

import re
from dataclasses import dataclass

UNITS = {"tok": "token", "ba": "batch", "sp": "sample"}
FRACTION = "dur"  # of max_duration


@dataclass(frozen=True)
class Duration:
    """value: whole, unless the unit is `dur`. unit: tok, ba, sp or dur. text: as the recipe has it."""

    value: float
    unit: str
    text: str

    def __str__(self) -> str:
        return self.text

    @property
    def clock(self) -> str:
        """The name of what is counted in a timestamp: token, batch or sample."""
        return UNITS[self.unit]


def parse_duration(text: str, fractions: bool = False) -> Duration | None:
    """The duration that a text gives; None where it is none, or a fraction although `fractions` are not allowed."""
    units = [*UNITS, FRACTION] if fractions else list(UNITS)
    match = re.fullmatch(rf"\s*(.+?)({'|'.join(units)})\s*", text, flags=re.IGNORECASE)
    try:
        value = float(match[1]) if match else float("nan")  # float first: 1e9tok is a whole number as well
    except ValueError:
        return None
    unit = match[2].lower() if match else ""
    if unit == FRACTION:
        return Duration(value, unit, text) if 0 <= value <= 1 else None
    return Duration(int(value), unit, text) if value == value and abs(value) < 2**63 and value == int(value) else None
