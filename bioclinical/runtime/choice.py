"""A decision of the program with its reason."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Choice:
    """A decision of the program and why it was taken; both are printed and stored with the result."""

    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.value} ({self.reason})"


@dataclass(frozen=True)
class Device(Choice):
    """The kind of device to compute on (cuda, mps, cpu), why, and what the system calls it."""

    name: str
