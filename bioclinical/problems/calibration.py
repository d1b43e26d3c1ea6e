"""Choosing an operating point on validation: a temperature by likelihood (Guo et al. 2017), thresholds by an aim."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bioclinical.metrics.f1 import f1, precision, recall
from bioclinical.problems.operating_point import Aim

LOWEST, HIGHEST = 0.05, 20.0  # temperatures; labels that the logits tell apart without an error would have 0
FORMULAS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"precision": precision, "recall": recall, "f1": f1}


def fit_temperature(logits: np.ndarray, gold: np.ndarray) -> tuple[float, tuple[float, float]]:
    """The temperature with the smallest negative log-likelihood, and that before and after.

    logits: (decisions, labels).  gold: (decisions,) ids of one label each, or (decisions, labels) of 0 and 1.
    """
    from scipy.optimize import minimize_scalar  # slow to import

    negative_log_likelihood = binary_nll if gold.ndim == 2 else softmax_nll
    logits = logits.astype(np.float64)
    found: Any = minimize_scalar(
        lambda x: negative_log_likelihood(logits / np.exp(x), gold),
        bounds=(np.log(LOWEST), np.log(HIGHEST)),
        method="bounded",
        options={"xatol": 1e-4},
    )
    before = negative_log_likelihood(logits, gold)
    # A search within bounds need not see 1 itself.
    return (float(np.exp(found.x)), (before, float(found.fun))) if found.fun < before else (1.0, (before, before))


def softmax_nll(logits: np.ndarray, gold: np.ndarray) -> float:
    """Of one label among several, the mean over decisions."""
    from scipy.special import log_softmax

    return float(-log_softmax(logits, axis=-1)[np.arange(len(gold)), gold].mean())


def binary_nll(logits: np.ndarray, gold: np.ndarray) -> float:
    """Of any number of labels, the mean over decisions and labels."""
    return float(np.logaddexp(0, -logits * (2 * gold - 1)).mean())


def best_index(counts: np.ndarray, aim: Aim | None) -> tuple[int, bool]:
    """Which of the candidates serves the aim best, and whether its condition is met; without an aim, the best F1.

    counts: (candidates, 3), correct, predicted and gold. Where no candidate meets the condition, the one nearest to it.
    Precision counts as 1 where nothing is predicted, as a condition on it is then met.
    """
    if aim is None:
        return int(np.argmax(f1(counts))), True
    scores = {"recall": recall(counts), "precision": np.where(counts[:, 1] == 0, 1.0, precision(counts))}
    meets = scores[aim.given] >= aim.least
    if not meets.any():
        return int(np.lexsort((scores[aim.best], scores[aim.given]))[-1]), False
    order = np.lexsort((scores[aim.given], np.where(meets, scores[aim.best], -1.0)))
    return int(order[-1]), True


def scores_at(counts: np.ndarray) -> dict[str, float]:
    """Precision, recall and F1 of (3,) correct, predicted and gold."""
    return {name: float(formula(counts)) for name, formula in FORMULAS.items()}


def between(values: np.ndarray, most: int = 400) -> np.ndarray:
    """Thresholds that divide values in every way, from below the smallest to above the largest one, at most so many."""
    distinct = np.unique(values.astype(np.float64))
    if len(distinct) > most:
        distinct = np.unique(np.quantile(distinct, np.linspace(0, 1, most)))
    return np.concatenate([[distinct[0] / 2], (distinct[1:] + distinct[:-1]) / 2, [(1 + distinct[-1]) / 2]])


def label_counts_at(shares: np.ndarray, gold: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(candidates, 3) for one label of any number: shares (examples,) its probabilities, gold (examples,) 0 or 1."""
    said = shares[None, :] >= thresholds[:, None]
    correct = (said & (gold[None, :] == 1)).sum(1)
    return np.stack([correct, said.sum(1), np.full(len(thresholds), int(gold.sum()))], axis=1)
