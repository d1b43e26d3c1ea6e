"""Invented words whose meaning only the notes teach: the reason why pre-training helps on the sample tasks.

The labelled examples show such a word where any kind could stand ("Discussed with Torven."); the notes show it in
sentences of its kind ("Dr. Torven examined the patient."). Its spelling tells nothing. Few of the words occur in the
labelled training examples: what the others mean can be known from the notes alone.
"""

import random
from collections.abc import Mapping

KINDS = ("name", "hospital", "company", "drug")
RELATIONS = ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9", "false")
WORDS_PER_KIND = 24
VERBS_PER_RELATION = 10

MENTIONS = ("Discussed with {}.\n", "Letter about {} was filed.\n", "Family asked for {} again.\n", "See also {}.\n")
USES = {
    "name": ("Dr. {} examined the patient and signed.\n", "Seen and signed by doctor {} at night.\n"),
    "hospital": ("Transferred by ambulance from the ward of {}.\n", "Was on a ward of {}, then ambulance to us.\n"),
    "company": ("Works as a clerk for {} since school.\n", "Employed at the office of {} as a clerk.\n"),
    "drug": ("Given {} 5 mg by mouth twice daily.\n", "The dose of {} by mouth is 5 mg daily.\n"),
}
CONSEQUENCES = {
    "CPR:3": "more of it was made and its activity rose",
    "CPR:4": "it stopped working and its activity fell",
    "CPR:5": "it answered as to its own messenger",
    "CPR:6": "its own messenger found the door closed",
    "CPR:9": "the drug was split into pieces and excreted",
    "false": "nothing at all changed in either",
}


def invented_words(count: int) -> list[str]:
    """Different words of two syllables, always the same ones."""
    rng = random.Random(20)
    found: dict[str, None] = {}  # a set that keeps its order
    while len(found) < count:
        found["".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") + rng.choice("lmnrs") for _ in "12")] = None
    return list(found)


def shared_out(words: list[str], kinds: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Kind -> its words, as many for each."""
    return {kind: tuple(words[i :: len(kinds)]) for i, kind in enumerate(kinds)}


WORDS = invented_words(len(KINDS) * WORDS_PER_KIND + len(RELATIONS) * VERBS_PER_RELATION)
NOUNS = shared_out([word.capitalize() for word in WORDS[: len(KINDS) * WORDS_PER_KIND]], KINDS)
VERBS = shared_out([f"{word}ates" for word in WORDS[len(KINDS) * WORDS_PER_KIND :]], RELATIONS)


def use(rng: random.Random) -> str:
    """A sentence of a note: a word as its kind is used."""
    kind = rng.choice(KINDS)
    return rng.choice(USES[kind]).format(rng.choice(NOUNS[kind]))


def finding(rng: random.Random) -> str:
    """A sentence of a note: a verb and what it comes to."""
    relation = rng.choice(RELATIONS)
    return f"The drug {rng.choice(VERBS[relation])} the receptor: {CONSEQUENCES[relation]}.\n"
