"""How many tokens of a document are chosen for prediction, and which, as the published systems count them.

independent: each token with the given probability, so that the number varies (ModernBERT, Hugging Face).
fairseq: int(p x length + U(0, 1)) of all tokens, special ones too (RoBERTa).
bert: max(1, round(p x length)), special tokens left out (BERT, ALBERT).
electra: round(p x length) between 1 and int((p + 0.005) x longest), special tokens left out (ELECTRA; it draws with
replacement and counts a position drawn twice double in its loss, which is not done here).
All but `independent` draw without replacement.
"""

import numpy as np


def number_of_tokens(counting: str, probability: float, length: int, longest: int, rng: np.random.Generator) -> int:
    """How many tokens of a document of `length` to choose. longest: tokens of the longest document."""
    if counting == "fairseq":
        return int(probability * length + rng.random())
    count = max(1, round(probability * length))
    return min(count, max(1, int((probability + 0.005) * longest))) if counting == "electra" else count


def choose_tokens(may_be_chosen: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(tokens,) bool: `count` of those that may be chosen, or all where they are fewer."""
    chosen = np.zeros(len(may_be_chosen), bool)
    chosen[rng.permutation(np.flatnonzero(may_be_chosen))[:count]] = True
    return chosen


def choose_words(
    may_be_chosen: np.ndarray, starts_word: np.ndarray, count: int, longest_ngram: int, rng: np.random.Generator
) -> np.ndarray:
    """(tokens,) bool: whole words, 1 to `longest_ngram` in a row, `count` tokens at most (a first word may be longer).

    The number n of words in a row is drawn with P(n) ~ 1/n, and lowered where that many do not fit (ALBERT).
    """
    words = words_of(may_be_chosen, starts_word)
    chosen = np.zeros(len(may_be_chosen), bool)
    shares = 1 / np.arange(1, longest_ngram + 1)
    for first in rng.permutation(len(words)):
        room = count - int(chosen.sum())
        if room <= 0:
            break
        wanted = 1 + int(rng.choice(longest_ngram, p=shares / shares.sum()))
        for n in range(wanted, 0, -1):
            tokens = np.concatenate(words[first : first + n])
            fits = len(tokens) <= room or (n == 1 and not chosen.any())
            if fits and not chosen[tokens].any() and first + n <= len(words):
                chosen[tokens] = True
                break
    return chosen


def words_of(may_be_chosen: np.ndarray, starts_word: np.ndarray) -> list[np.ndarray]:
    """The positions of each word: from a token that begins one, up to the next such, or one that cannot be chosen."""
    positions = np.flatnonzero(may_be_chosen)
    follows = np.r_[False, np.diff(positions) == 1] & ~starts_word[positions]
    return [word for word in np.split(positions, np.flatnonzero(~follows)) if len(word)]
