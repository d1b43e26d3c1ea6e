"""How good vectors are without training on them: similarity of pairs, and which half of a note belongs to which."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bioclinical.inference.documents import Document
from bioclinical.metrics.regression import Pearson, Spearman
from bioclinical.tasks.example import Example

FEWEST_WORDS = 20  # of a note that is cut into halves
BLOCK = 1024  # queries compared at a time

Vectors = Callable[[Sequence[Document]], np.ndarray]


def similarity_scores(pairs: Sequence[Example], vectors: Vectors) -> dict[str, Any]:
    """Pearson's and Spearman's correlation of the cosine with the pairs' scores."""
    first, second = (
        unit(vectors([Document(str(i), pair[key]) for i, pair in enumerate(pairs)])) for key in ("text", "text_b")
    )
    predictions = [
        {"id": str(i), "group": str(i), "gold": float(pair["labels"]), "predicted": float(a @ b)}
        for i, (pair, a, b) in enumerate(zip(pairs, first, second))
    ]
    scores = {metric.name: round(metric.score(predictions), 6) for metric in (Pearson(), Spearman())}
    return {"pairs": len(pairs)} | scores


def halves_scores(documents: Sequence[Document], vectors: Vectors) -> dict[str, Any]:
    """Each note's first half looks for its second half among those of all notes: how often it comes first, and the mean
    of 1 / its rank. Of equal similarities the others count first."""
    cut = [halves for document in documents if (halves := halves_of(document.text))]
    sides = [unit(vectors([Document(str(i), pair[side]) for i, pair in enumerate(cut)])) for side in (0, 1)]
    ranks = np.concatenate([ranks_of(*sides, start) for start in range(0, len(cut), BLOCK)]) if cut else np.empty(0)
    scores = {"first": (ranks == 1).mean(), "reciprocal_rank": (1 / ranks).mean(), "first_by_chance": 1 / len(cut)}
    return {"notes": len(cut)} | {name: round(float(score), 6) for name, score in scores.items()}


def halves_of(text: str) -> tuple[str, str] | None:
    """A note cut at the middle one of its words; None for one of few words."""
    words = text.split()
    if len(words) < FEWEST_WORDS:
        return None
    return " ".join(words[: len(words) // 2]), " ".join(words[len(words) // 2 :])


def ranks_of(queries: np.ndarray, targets: np.ndarray, start: int) -> np.ndarray:
    """Ranks, from 1, of the own targets of the queries from `start` on, one block of them."""
    similarity = queries[start : start + BLOCK] @ targets.T
    own = similarity[np.arange(len(similarity)), np.arange(start, start + len(similarity))]
    return (similarity >= own[:, None]).sum(axis=1)


def unit(vectors: np.ndarray) -> np.ndarray:
    """The vectors at length one."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
