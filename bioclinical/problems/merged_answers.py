"""The answers of several snippets to one question, merged as BioBERT's submission programs for BioASQ merge them.

Every snippet gives its n best answers with their probabilities. Texts are cleaned, equal ones (whatever their case) are
taken together and their probabilities added. A factoid question gets the five most probable; a list question as many as
its own words ask for ("which three ..."), else those whose mean probability is above a threshold, at least one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

MOST_FACTOIDS = 5  # BioASQ's limit, which its program does not enforce
LONGEST = 100  # characters of an answer
BRACKETS = {"(": ")", "[": "]", "{": "}"}
NUMBER_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
WORDS_THAT_ASK = 5


@dataclass(frozen=True)
class Candidate:
    """One answer of one snippet: what it says, how probable it is there, and where it stands (snippet, start, end)."""

    text: str
    probability: float
    place: tuple[int, int, int]


@dataclass
class Merged:
    """Equal answers: the text and place of the first, the sum of their probabilities and their number."""

    text: str
    place: tuple[int, int, int]
    probability: float = 0.0
    count: int = 0


def factoid_answers(candidates: Sequence[Candidate]) -> list[Merged]:
    """At most five answers, the most probable first."""
    return merged(candidates)[:MOST_FACTOIDS]


def list_answers(candidates: Sequence[Candidate], question: str, threshold: float) -> list[Merged]:
    """The answers of a list question, the most probable first; none where there is no candidate at all."""
    ranked = without_conjunctions(merged(candidates))
    wanted = asked_number(question)
    if wanted is not None:
        return ranked[:wanted]
    return [one for one in ranked if one.probability / one.count > threshold] or ranked[:1]


def merged(candidates: Sequence[Candidate]) -> list[Merged]:
    """Cleaned and taken together, the most probable first; equally probable ones in the order in which they came."""
    found: dict[str, Merged] = {}
    for candidate in candidates:
        text = cleaned(candidate.text)
        if text is not None:
            one = found.setdefault(text.lower(), Merged(text, candidate.place))
            one.probability += candidate.probability
            one.count += 1
    return sorted(found.values(), key=lambda one: -one.probability)


def cleaned(text: str) -> str | None:
    """Without a final comma, full stop or blank, or else without brackets around it; None for what is no answer."""
    if text.endswith((",", ".", " ")):
        text = text[:-1]
    elif len(text) > 1 and BRACKETS.get(text[0]) == text[-1]:
        text = text[1:-1]
    is_balanced = all(text.count(opening) == text.count(closing) for opening, closing in BRACKETS.items())
    return text if text.strip() and len(text) <= LONGEST and is_balanced else None


def asked_number(question: str) -> int | None:
    """The number among a question's first words; None without one. "phase 3" is none."""
    words = re.findall(r"\w+", question.lower())[:WORDS_THAT_ASK]
    for before, word in zip(["", *words], words):
        if before == "phase":
            continue
        if word in NUMBER_WORDS:
            return NUMBER_WORDS.index(word) + 1
        if word.isdecimal():
            return max(1, int(word))
    return None


def without_conjunctions(ranked: list[Merged]) -> list[Merged]:
    """Without "A and B" where both A and B are among the answers."""
    texts = {one.text.lower() for one in ranked}

    def is_both(text: str) -> bool:
        return any(text[: m.start()] in texts and text[m.end() :] in texts for m in re.finditer(" and ", text))

    return [one for one in ranked if not is_both(one.text.lower())]
