"""How well the generator fills and the discriminator tells.

The accuracy over all tokens would say little, since most are originals.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import BinaryAUROC

THRESHOLDS = 1000  # of the area under the curve: memory stays constant, the area is right to about 0.001

# name -> function of objectives.replaced_tokens.Judged: (numerator, denominator), summed over rows.
RATIOS: dict[str, Callable[[Any], tuple[Tensor | float, Tensor | float]]] = {
    "GeneratorCrossEntropy": lambda one: (F.cross_entropy(one.logits, one.labels, reduction="sum"), len(one.labels)),
    "GeneratorAccuracy": lambda one: ((one.logits.argmax(-1) == one.labels).sum(), len(one.labels)),
    "SampledAccuracy": lambda one: ((one.fillings == one.labels).sum(), len(one.labels)),
    "DiscriminatorCrossEntropy": lambda one: (
        F.binary_cross_entropy_with_logits(one.scores, one.replaced.float(), reduction="sum"),
        len(one.scores),
    ),
    "ReplacedPrecision": lambda one: ((one.replaced & (one.scores > 0)).sum(), (one.scores > 0).sum()),
    "ReplacedRecall": lambda one: ((one.replaced & (one.scores > 0)).sum(), one.replaced.sum()),
}


class Ratio(Metric):
    """One of RATIOS; 0 where its denominator is (a discriminator that calls nothing replaced has precision 0)."""

    full_state_update = False

    def __init__(self, name: str):
        super().__init__()
        self.ratio = name
        for state in ("part", "whole"):
            self.add_state(state, torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, judged: Any) -> None:
        part, whole = RATIOS[self.ratio](judged)
        self.part += part
        self.whole += whole

    def compute(self) -> Tensor:
        return self.part / self.whole.clamp(min=1)


class ReplacedAUROC(BinaryAUROC):
    """Area under the curve of telling replaced from original tokens."""

    def __init__(self):
        super().__init__(thresholds=THRESHOLDS)

    def update(self, judged: Any) -> None:
        super().update(judged.scores.sigmoid(), judged.replaced.long())
