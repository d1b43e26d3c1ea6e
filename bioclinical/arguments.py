"""Types of command-line arguments: numbers within limits, sizes in bytes. What they raise are usage errors."""

import argparse
import re
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)

# NumPy, torch and tokenizers take no larger seed, size or count, and no count of ours comes near.
LARGEST = 2**31 - 1
UNITS = {"": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}


def positive(number: type[Number], most: float = LARGEST) -> Callable[[str], Number]:
    """A number above zero."""
    return within(number, lambda value: value > 0, "above zero", most)


def at_least_zero(number: type[Number], most: float = LARGEST) -> Callable[[str], Number]:
    """Zero or a positive number."""
    return within(number, lambda value: value >= 0, "zero or above", most)


def fraction(text: str) -> float:
    """A number above zero, at most one."""
    return positive(float, most=1)(text)


def within(
    number: type[Number], is_allowed: Callable[[Number], bool], allowed: str, most: float
) -> Callable[[str], Number]:
    """A number that fulfils `is_allowed` (NaN does not), and is at most `most`."""

    def parse(text: str) -> Number:
        value = number(text)
        if not is_allowed(value):
            raise argparse.ArgumentTypeError(f"{text} is not {allowed}")
        if value > most:
            raise argparse.ArgumentTypeError(f"{text} is too large; at most {most:,}")
        return value

    parse.__name__ = number.__name__  # argparse: "invalid int value: 'many'"
    return parse


def size_in_bytes(most: int) -> Callable[[str], int]:
    """A size such as 64mb, 1.5gb or 4096 (bytes); units are powers of 1024."""

    def parse(text: str) -> int:
        match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,6})?)\s*([a-z]{0,2})", text.strip().lower())
        if match is None or match[2] not in UNITS:
            raise argparse.ArgumentTypeError(f"{text} is not a size; e.g. 64mb")
        size = int(float(match[1]) * UNITS[match[2]])
        if not 0 < size <= most:
            raise argparse.ArgumentTypeError(f"{text} is not allowed; 1 to {most:,} bytes")
        return size

    return parse
