"""From start and end scores over windows to the best answers of each question, as Hugging Face's run_qa selects them.

Of each window the n best starts and ends by score (positions of the question and of special tokens take part and are
dropped afterwards); their pairs in order and within the longest answer; over all windows of a question the n best sums.
The score of "no answer" is the smallest over its windows of start[0] + end[0]. Vectorised over windows and questions.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

WINDOWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Candidates:
    """The n best answers of each question, best first.

    starts, ends: (questions, n) characters, -1 where there are fewer; scores: (questions, n), -inf there.
    null: (questions,) the score of "no answer".
    """

    starts: np.ndarray
    ends: np.ndarray
    scores: np.ndarray
    null: np.ndarray

    @property
    def null_odds(self) -> np.ndarray:
        """(questions,) how far "no answer" is above the best answer; infinite without one."""
        return self.null - self.scores[:, 0]

    def probabilities(self, with_null: bool) -> tuple[np.ndarray, np.ndarray]:
        """Softmax over the kept answers: (questions, n), and (questions,) of "no answer" (0 unless with_null).

        With it, a list of n keeps the n best of all, and "no answer" in any case, which makes n + 1 where it is last.
        """
        kept = self.scores.astype(np.float64)
        if not with_null:
            kept[:, 0] = np.where(np.isfinite(kept[:, 0]), kept[:, 0], 0.0)  # no answer at all: nothing to share
            return softmax(kept, axis=1), np.zeros(len(kept))
        is_pushed_out = self.null > kept[:, -1]
        kept[is_pushed_out, -1] = -np.inf
        shares = softmax(np.column_stack([kept, self.null]), axis=1)
        return shares[:, :-1], shares[:, -1]


def select(
    start_logits: np.ndarray,
    end_logits: np.ndarray,
    offsets: np.ndarray,
    question: np.ndarray,
    n_best: int = 20,
    longest: int = 30,
) -> Candidates:
    """The n best answers of each question.

    start_logits, end_logits: (windows, length), -inf at padding.  offsets: (windows, length, 2) characters of each
    position's token, start == end where a position is no token of the context.  question: (windows,) the number of
    the question that a window belongs to, from 0 without gaps, ascending.  longest: tokens of an answer.
    """
    parts = [
        window_candidates(start_logits[part], end_logits[part], offsets[part], n_best, longest)
        for part in (slice(k, k + WINDOWS_AT_ONCE) for k in range(0, len(question), WINDOWS_AT_ONCE))
    ]
    scores, spans = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    questions = int(question[-1]) + 1
    null = np.full(questions, np.inf, dtype=scores.dtype)
    np.minimum.at(null, question, start_logits[:, 0] + end_logits[:, 0])

    owner, flat = np.repeat(question, scores.shape[1]), scores.ravel()
    order = np.lexsort((-flat, owner))  # stable: equal scores stay in the order of windows and ranks
    rank = np.arange(len(order)) - np.searchsorted(owner, owner[order])
    order, rank = order[rank < n_best], rank[rank < n_best]
    best = np.full((questions, n_best), -np.inf, dtype=scores.dtype)
    characters = np.full((questions, n_best, 2), -1, dtype=np.int64)
    best[owner[order], rank] = flat[order]
    characters[owner[order], rank] = spans.reshape(-1, 2)[order]
    characters[~np.isfinite(best)] = -1
    return Candidates(characters[..., 0], characters[..., 1], best, null)


def window_candidates(
    start_logits: np.ndarray, end_logits: np.ndarray, offsets: np.ndarray, n_best: int, longest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Scores (windows, n) and characters (windows, n, 2) of the best pairs of each window; -inf where there are fewer.

    As run_qa's own loop: of equal logits the later position comes first, of equal sums the pair met first.
    """
    starts, ends = (
        np.argsort(logits, axis=1, kind="stable")[:, ::-1][:, :n_best] for logits in (start_logits, end_logits)
    )
    rows = np.arange(len(starts))[:, None]
    first, last = starts[:, :, None], ends[:, None, :]
    first_characters, last_characters = offsets[rows, starts], offsets[rows, ends]
    is_token = [(part[..., 0] < part[..., 1]) for part in (first_characters, last_characters)]
    fits = (first <= last) & (last - first < longest) & is_token[0][:, :, None] & is_token[1][:, None, :]
    sums = start_logits[rows, starts][:, :, None] + end_logits[rows, ends][:, None, :]
    sums = np.where(fits, sums, -np.inf).reshape(len(starts), -1)
    chosen = np.argsort(-sums, axis=1, kind="stable")[:, :n_best]
    pairs = np.stack(
        [first_characters[rows, chosen // ends.shape[1], 0], last_characters[rows, chosen % ends.shape[1], 1]], -1
    )
    return np.take_along_axis(sums, chosen, axis=1), pairs


def best_threshold(null_odds: np.ndarray, scores: np.ndarray, has_answer: np.ndarray) -> float:
    """The threshold on `null_odds`, strictly above which a question gets no answer, with the highest mean score.

    scores: (questions,) of the best answer. Equal odds are taken together, so that the score is reached; of equal
    thresholds the lowest. Without a question it is 0.
    """
    order = np.argsort(null_odds, kind="stable")
    odds = null_odds[order]
    gain = np.where(has_answer[order], scores[order], -1.0)
    total = np.cumsum(gain)
    is_last_of_equals = np.append(odds[1:] != odds[:-1], True)[: len(odds)]
    at = np.flatnonzero(is_last_of_equals & np.isfinite(odds))
    if not len(at):
        return 0.0
    best = at[np.argmax(total[at])]
    return float(odds[best]) if total[best] > 0 else float(np.nextafter(odds[0], -np.inf))
