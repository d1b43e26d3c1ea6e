"""Losses for rare labels: weighted cross-entropy, and focal loss (Lin et al. 2017). torch is imported by what uses it.

All are means over labels that count, so that a step's gradient does not depend on how it is divided into batches.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bioclinical.text.labels import IGNORED_LABEL

LOSSES = ("plain", "weighted", "focal")
FOCUS = 2.0  # gamma
Loss = Callable[..., Any]  # (outputs, labels, num_items_in_batch) -> the mean loss


def balanced_weights(counts: Sequence[int]) -> np.ndarray:
    """A weight for each label, inverse to its count, 1 on average over the examples; 1 for one that does not occur.

    The formula is scikit-learn's class_weight="balanced": n / (labels * count).
    """
    numbers = np.asarray(counts, dtype=float)
    found = numbers > 0
    return np.where(found, numbers.sum() / (found.sum() * np.maximum(numbers, 1)), 1.0)


def positive_weights(positives: Sequence[int], examples: int) -> np.ndarray:
    """A weight for each label's positives: negatives / positives; 1 where there are none of either."""
    numbers = np.asarray(positives, dtype=float)
    mixed = (numbers > 0) & (numbers < examples)
    return np.where(mixed, (examples - numbers) / np.maximum(numbers, 1), 1.0)


def weighted_cross_entropy(weights: np.ndarray) -> Loss:
    """Cross-entropy of one label among several; each term times its gold label's weight."""

    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        import torch

        logits, gold = scored_rows(outputs["logits"], labels)
        own = torch.tensor(weights, dtype=logits.dtype, device=logits.device)
        return torch.nn.functional.cross_entropy(logits, gold, weight=own, reduction="sum") / len(gold)

    return loss


def focal_cross_entropy(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    """Each term times (1 - probability of the gold label) ** FOCUS."""
    logits, gold = scored_rows(outputs["logits"], labels)
    log_share = logits.log_softmax(-1).gather(-1, gold.unsqueeze(-1)).squeeze(-1)
    return (-((1 - log_share.exp()) ** FOCUS) * log_share).sum() / len(gold)


def weighted_binary(weights: np.ndarray) -> Loss:
    """Binary cross-entropy of any number of labels; each positive term times its label's weight."""

    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
        import torch

        logits = outputs["logits"].float()
        own = torch.tensor(weights, dtype=logits.dtype, device=logits.device)
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.float(), pos_weight=own)

    return loss


def focal_binary(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> Any:
    """Each label's term times (1 - probability of what is true of it) ** FOCUS."""
    import torch

    log_share = torch.nn.functional.logsigmoid(outputs["logits"].float() * (2 * labels.float() - 1))
    return (-((1 - log_share.exp()) ** FOCUS) * log_share).mean()


def scored_rows(logits: Any, labels: Any) -> tuple[Any, Any]:
    """(terms, labels) and (terms,) of what is not ignored."""
    gold = labels.flatten()
    counted = gold != IGNORED_LABEL
    return logits.flatten(0, -2)[counted].float(), gold[counted]
