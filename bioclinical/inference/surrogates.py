"""Plausible stand-ins for what identifies people: names, dates, places, ids.

The same name of one patient always gets the same stand-in, and the dates of one patient move by one secret number of
days, so that a redacted record still reads as one. All of it follows from a random key that lives in memory only: two
runs give different stand-ins, and nobody can compute one from the original. Stand-ins are drawn by Faker.
"""

import hashlib
import hmac
import json
import random
import re
import secrets
from collections import Counter
from collections.abc import Callable

from bioclinical.errors import UserError
from bioclinical.inference.redact import placeholder
from bioclinical.inference.shifted_dates import shifted
from bioclinical.text.letters import cased

OLDEST_AGE = 90  # ages from here on are one group (45 CFR 164.514(b)(2)(i)(C))
FEWEST_DAYS, MOST_DAYS = 366, 3650  # a record moves into the past by 1 to 10 years

# A type's kind by the words in its name, the first that fits: "age", "phone_nb", "LOCATION-OTHER", "MEDICALRECORD".
KINDS = (
    ("age", {"age"}),
    ("date", {"date", "dates", "birthdate", "dob"}),
    ("id", {"id", "idnum", "mrn", "medicalrecord", "record", "account", "ssn", "phone", "fax", "pager", "contact",
            "device", "license", "licence", "serial", "bioid", "healthplan", "zip", "email", "url", "username", "ip"}),
    ("name", {"name", "patient", "doctor", "physician", "person", "relative"}),
    ("place", {"location", "hospital", "city", "state", "country", "street", "address", "place", "organization"}),
)  # fmt: skip
TITLES = {"dr", "mr", "mrs", "ms", "miss", "prof", "md", "phd", "rn"}
# O'Neil, Smith-Jones; the s of "Lee's" is no word.
NAME_WORD = re.compile(r"(?<!\w['\u2019])[^\W\d_]+(?:['\u2019-](?!s\b)[^\W\d_]+)*")
INSTITUTION = re.compile(
    r"\b(?:hospital|medical (?:center|centre)|clinic|infirmary|hospice|nursing home|health (?:center|centre))\b", re.I
)
ADDRESS = re.compile(r"\d+\s+[^\W\d_]")
TRIES = 100


def kind_of(entity_type: str) -> str | None:
    """What sort of identifier a type names; None for one that gets no stand-in."""
    words = set(re.split(r"[^a-z]+", entity_type.lower()))
    return next((kind for kind, names in KINDS if words & names), None)


class Surrogates:
    """The stand-ins of one run. counts: (type, "surrogate" | "kept" | "placeholder") -> entities."""

    def __init__(self) -> None:
        """Raises UserError where Faker is absent."""
        try:
            from faker import Faker
        except ImportError as error:
            raise UserError("--surrogates needs Faker; install it: pip install '.[surrogates]'") from error
        self.key = secrets.token_bytes(32)
        self.faker = Faker("en_US")
        self.used: dict[str, dict[str, str]] = {}  # patient -> what was replaced, in small letters -> its stand-in
        self.counts: Counter[tuple[str, str]] = Counter()
        self.makers: dict[str, Callable[[str, str], str | None]] = {
            "age": self.age,
            "date": self.date,
            "id": self.identifier,
            "name": self.name,
            "place": self.place,
        }

    def substitute(self, patient: str, entity_type: str, surface: str) -> str:
        """What stands for an entity of a patient: a stand-in of its kind, or its [type] where there is none."""
        kind = kind_of(entity_type)
        made = None if kind is None else self.makers[kind](patient, surface)
        outcome = "placeholder" if made is None else "kept" if kind == "age" and made == surface else "surrogate"
        self.counts[entity_type, outcome] += 1
        return placeholder(entity_type, surface) if made is None else made

    def report(self) -> dict[str, dict[str, int]]:
        """For each type how many entities got a stand-in or their [type], or were kept (ages under 90)."""
        outcomes = ("surrogate", "placeholder", "kept")
        types = sorted({entity_type for entity_type, _ in self.counts})
        return {one: {outcome: self.counts[one, outcome] for outcome in outcomes} for one in types}

    def seed(self, *parts: str) -> int:
        """A number that nobody can compute without the key."""
        return int.from_bytes(hmac.new(self.key, json.dumps(parts).encode(), hashlib.sha256).digest())

    def drawn(self, patient: str, original: str, draw: Callable[[random.Random], str]) -> str:
        """The stand-in of a word or phrase: the one that the patient has already, else a new one, which stands for
        nothing else of the patient and is not the original."""
        known, word = self.used.setdefault(patient, {}), original.casefold()
        if word not in known:
            seed = self.seed(patient, word)
            self.faker.seed_instance(seed)
            generator, taken = random.Random(seed), {one.casefold() for one in known.values()} | {word}
            candidates = [draw(generator)]
            while candidates[-1].casefold() in taken and len(candidates) < TRIES:
                candidates.append(draw(generator))
            known[word] = candidates[-1]
        return known[word]

    def age(self, patient: str, surface: str) -> str | None:
        """Ages from 90 on are 90; younger ones stay. None for an age in words."""
        if not re.search(r"\d", surface):
            return None
        return re.sub(r"\d+", lambda found: found[0] if int(found[0]) < OLDEST_AGE else str(OLDEST_AGE), surface)

    def date(self, patient: str, surface: str) -> str | None:
        """The date moved by the patient's number of days; None where no date can be read."""
        return shifted(surface, -FEWEST_DAYS - self.seed(patient) % (MOST_DAYS - FEWEST_DAYS + 1))

    def identifier(self, patient: str, surface: str) -> str:
        """Digits for digits and letters for letters, everything else as it stands."""
        return self.drawn(patient, surface, lambda generator: "".join(scrambled(one, generator) for one in surface))

    def name(self, patient: str, surface: str) -> str:
        """Every word by itself, so that a full name and a part of it agree; titles stay, initials are initials."""
        words = list(NAME_WORD.finditer(surface))
        last = max((word.start() for word in words if word.group().lower() not in TITLES), default=-1)

        def replaced(found: re.Match[str]) -> str:
            word = found.group()
            if word.lower() in TITLES:
                return word
            if len(word) == 1:
                return self.drawn(patient, word, lambda generator: scrambled(word, generator))
            draw = self.faker.last_name if found.start() == last else self.faker.first_name
            return cased(self.drawn(patient, word, lambda generator: draw()), word)

        text = NAME_WORD.sub(replaced, surface)
        return re.sub(r"\d+", lambda found: self.identifier(patient, found.group()), text)

    def place(self, patient: str, surface: str) -> str:
        """An institution for an institution, an address for an address, a state for its two letters, else a town."""
        institution = INSTITUTION.search(surface)
        if institution:
            return cased(
                self.drawn(patient, surface, lambda generator: self.faker.last_name() + " " + institution[0]), surface
            )
        if not re.search(r"[^\W\d_]", surface):
            return self.identifier(patient, surface)
        draws = ((ADDRESS, self.faker.street_address), (re.compile(r"[A-Z]{2}\Z"), self.faker.state_abbr))
        draw = next((draw for pattern, draw in draws if pattern.match(surface)), self.faker.city)
        return cased(self.drawn(patient, surface, lambda generator: draw()), surface)


def scrambled(character: str, generator: random.Random) -> str:
    """Another digit or letter of the same case; what is neither stays."""
    if character.isdigit():
        return str(generator.randrange(10))
    if character.isalpha():
        letter = generator.choice("abcdefghijklmnopqrstuvwxyz")
        return letter.upper() if character.isupper() else letter
    return character
