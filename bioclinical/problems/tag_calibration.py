"""An operating point for tags: a temperature, and for an aim the probability from which a word is no entity's.

The threshold is that of O: where O is less probable, the best other tag is said. The higher it is, the more entities
are found, and the more of these wrongly.
"""

from collections.abc import Sequence

import numpy as np

from bioclinical.problems.calibration import best_index, fit_temperature, scores_at
from bioclinical.problems.encoding import Coder, EncodedSplit
from bioclinical.problems.operating_point import Aim, Calibration, OperatingPoint, decided
from bioclinical.problems.tag_rows import OUTSIDE

MOST_WORDS = 50_000  # that a temperature is fitted to
CANDIDATES = 60
CERTAIN = 1e-7  # a word that is outside with a higher certainty is never tried as an entity's


def calibrated_tags(coder: Coder, split: EncodedSplit, logits: Sequence[np.ndarray], aim: Aim | None) -> Calibration:
    """logits: (words, tags) of the scored words of each row. Entities are counted over the words that were seen."""
    documents = [joined(rows) for rows in split.by_example(logits)]
    gold = [[example["tags"][word] for word in words] for example, (words, _) in zip(split.examples, documents)]
    values = np.concatenate([own for _, own in documents if len(own)]).astype(np.float64)
    ids = np.array([coder.labels.index(tag) for tags in gold for tag in tags])
    step = -(-len(ids) // MOST_WORDS)
    temperature, nll = fit_temperature(values[::step], ids[::step])
    if aim is None:
        return Calibration(OperatingPoint(temperature), True, {}, nll, len(ids[::step]))
    shares = softmax(values / temperature)
    candidates = outside_thresholds(shares[:, coder.labels.index(OUTSIDE)])
    ends = np.cumsum([len(tags) for tags in gold])[:-1]
    gold_entities = [entities(tags) for tags in gold]
    counts = np.zeros((len(candidates), 3), dtype=int)
    for k, threshold in enumerate(candidates):
        said = decided(shares, coder.labels, {OUTSIDE: threshold})
        for own, found in zip(gold_entities, np.split(said, ends)):
            predicted = entities([coder.labels[i] for i in found])
            counts[k] += len(own & predicted), len(predicted), len(own)
    best, reached = best_index(counts, aim)
    point = OperatingPoint(temperature, {OUTSIDE: float(candidates[best])})
    return Calibration(point, reached, {"entities": scores_at(counts[best])}, nll, len(ids[::step]))


def joined(rows: Sequence[tuple]) -> tuple[list[int], np.ndarray]:
    """The words of a document's rows in their order, and their logits."""
    pairs = [pair for note, own in rows for pair in zip(note.words, own)]
    pairs.sort(key=lambda pair: pair[0])
    return [word for word, _ in pairs], np.array([own for _, own in pairs])


def outside_thresholds(shares: np.ndarray) -> np.ndarray:
    """Probabilities of O to try: quantiles over the words in doubt, from "never outside" to "always unless certain"."""
    doubted = shares[(shares > CERTAIN) & (shares < 1 - CERTAIN)]
    quantiles = np.quantile(doubted, np.linspace(0, 1, CANDIDATES)) if len(doubted) else np.array([0.5])
    return np.unique(np.append(quantiles, [0.5, 1 - CERTAIN]))


def softmax(values: np.ndarray) -> np.ndarray:
    from scipy.special import softmax as of_rows  # slow to import

    return of_rows(values, axis=-1)


def entities(tags: list[str]) -> set:
    """As seqeval reads BIO: (type, first word, last word)."""
    from seqeval.metrics.sequence_labeling import get_entities  # slow to import

    return set(get_entities(tags))
