"""From the hidden states of a text's tokens to one vector: their mean, their maximum, or the first token's state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Pooling:
    """One way to make a vector.

    of_rows: hidden states (rows, columns, hidden) and which of the tokens count (rows, columns) -> (rows, hidden).
    of_windows: the vectors of a text's windows (windows, hidden) and how many tokens count in each -> (hidden,).
    """

    of_rows: Callable[["Tensor", "Tensor"], "Tensor"]
    of_windows: Callable[[np.ndarray, Sequence[int]], np.ndarray]


def mean_of_rows(hidden: "Tensor", counts: "Tensor") -> "Tensor":
    """The mean over the tokens that count; zeros where none does."""
    weights = counts.to(hidden.dtype).unsqueeze(-1)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


def maximum_of_rows(hidden: "Tensor", counts: "Tensor") -> "Tensor":
    """The largest value of each dimension over the tokens that count."""
    return hidden.masked_fill(~counts.bool().unsqueeze(-1), float("-inf")).amax(1)


POOLINGS = {
    # Weighted by their tokens, the windows' means are the mean over all tokens of the text.
    "mean": Pooling(mean_of_rows, lambda windows, tokens: np.average(windows, axis=0, weights=tokens)),
    "cls": Pooling(lambda hidden, counts: hidden[:, 0], lambda windows, tokens: windows.mean(axis=0)),
    "max": Pooling(maximum_of_rows, lambda windows, tokens: windows.max(axis=0)),
}
