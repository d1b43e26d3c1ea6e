"""Words of which a tokenizer leaves nothing: zero-width characters, accents that stand alone. No model can tag them."""

import unicodedata
from collections.abc import Collection, Sequence

from bioclinical.problems.tag_rows import OUTSIDE


def filled(tags: Sequence[str], missing: Collection[int], words: Sequence[str]) -> list[str]:
    """The tags with those of the missing words taken from around them.

    A missing word goes on with the entity before it where that entity goes on after it too, or where the word is
    combining marks, which belong to the letter before them; else it is O.
    """
    found = list(tags)
    after = dict.fromkeys(missing, OUTSIDE)  # the tag of the next word that was tagged
    for i in sorted(missing, reverse=True):
        if i + 1 < len(found):
            after[i] = after[i + 1] if i + 1 in after else found[i + 1]
    for i in sorted(missing):
        before = found[i - 1] if i else OUTSIDE
        inside = "I" + before[1:]
        goes_on = before != OUTSIDE and (after[i] == inside or is_mark(words[i]))
        found[i] = inside if goes_on else OUTSIDE
    return found


def is_mark(word: str) -> bool:
    """Whether a word is combining marks and nothing else."""
    return all(unicodedata.category(character).startswith("M") for character in word)
