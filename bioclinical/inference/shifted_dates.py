"""Dates as they are written, moved by a number of days and written the same way.

What a date leaves out is filled for the calculation only: the day by the middle of the month, the month by the middle
of the year, the year by a leap year. Between whole dates the days are kept exactly.
"""

import re
from datetime import date, timedelta

from bioclinical.text.letters import cased

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LEAP_YEAR = 2000
FIRST_OF_1900S = 69  # two digits below this are of the 2000s, as POSIX reads them


def either(names: tuple[str, ...]) -> str:
    """A pattern of whole names and their first three letters."""
    return "|".join(f"{name[:3]}(?:{name[3:]})?" for name in names)


MONTH = rf"(?P<b>{either(MONTHS)}|Sept)\.?"
DAY = r"(?P<d>\d{1,2})(?P<s>st|nd|rd|th)?"
YEAR = r"(?P<y>\d{4}|\d{2})"
WEEKDAY = rf"(?P<w>{either(WEEKDAYS)})\.?"
# The first form that fits at a place counts; numbers alone are month first, unless that is no month.
FORMS = [
    re.compile(rf"(?<![\w/])(?:{form})(?![\w/])", re.IGNORECASE)
    for form in (
        r"(?P<y>\d{4})(?P<sep>[-/.])(?P<m>\d{1,2})(?P=sep)(?P<d>\d{1,2})",
        rf"(?P<m>\d{{1,2}})(?P<sep>[-/.])(?P<d>\d{{1,2}})(?P=sep){YEAR}",
        rf"{MONTH}\s+{DAY}(?:\s*,\s*|\s+){YEAR}",
        rf"{DAY}(?:\s+of)?[\s-]+{MONTH}[\s,-]+{YEAR}",
        rf"{MONTH},?\s+(?P<y>\d{{4}})",
        r"(?P<m>\d{1,2})[/-](?P<y>\d{4})",
        rf"{MONTH}\s+{DAY}",
        rf"{DAY}(?:\s+of)?[\s-]+{MONTH}",
        r"(?P<m>\d{1,2})[/-](?P<d>\d{1,2})",
        r"(?P<y>(?:18|19|20|21)\d{2})",
        MONTH,
        WEEKDAY,
    )
]
# What may stand beside the dates of an entity and says nothing of anybody.
HARMLESS = re.compile(
    r"(?:[\s,.;()\u2013\u2014/-]|\d{1,2}:\d{2}(?::\d{2})?|\b(?:to|and|through|thru|until|till|from|at|on|of|in|the|am|pm)\b)*",
    re.IGNORECASE,
)


def shifted(text: str, days: int) -> str | None:
    """The text with each of its dates moved; None where there is none, or something else that may tell."""
    parts, rest, place, dates = [], "", 0, 0
    while place < len(text):
        found = next((match for form in FORMS if (match := form.match(text, place))), None)
        moved = text[place] if found is None else rewritten(found, days)
        if moved is None:
            return None
        parts.append(moved)
        dates += found is not None
        rest += text[place] if found is None else " "
        place = place + 1 if found is None else found.end()
    return "".join(parts) if dates and HARMLESS.fullmatch(rest) else None


def rewritten(found: re.Match[str], days: int) -> str | None:
    """A date in its own form, moved; None for one that does not exist."""
    groups = {name: value for name, value in found.groupdict().items() if value is not None}
    if "w" in groups:
        moved_day = (number_of(groups["w"], WEEKDAYS) + days) % 7
        return filled(found, {"w": word_like(groups["w"], WEEKDAYS[moved_day])})
    day_first = "m" in groups and "d" in groups and int(groups["m"]) > 12 >= int(groups["d"])
    month, day = ("d", "m") if day_first else ("m", "d")
    try:
        moved = date(
            year_of(groups.get("y")),
            number_of(groups["b"], MONTHS) + 1 if "b" in groups else int(groups.get(month, 7)),
            int(groups.get(day, 15)),
        ) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    numbers = [groups[name] for name in ("m", "d") if name in groups]
    has_zero = any(number.startswith("0") for number in numbers)
    is_padded = has_zero or ("b" not in groups and all(len(number) == 2 for number in numbers))
    values = {
        month: f"{moved.month:02d}" if is_padded else str(moved.month),
        day: f"{moved.day:02d}" if is_padded else str(moved.day),
        "y": f"{moved.year:04d}"[-len(groups.get("y", "0000")) :],
        "b": word_like(groups.get("b", ""), MONTHS[moved.month - 1]),
        "s": cased(ordinal_ending(moved.day), groups.get("s", "")),
    }
    return filled(found, {name: value for name, value in values.items() if name in groups})


def filled(found: re.Match[str], values: dict[str, str]) -> str:
    """The matched text with other values in its groups."""
    text, offset = found.group(), found.start()
    for name in sorted(values, key=found.start, reverse=True):
        text = text[: found.start(name) - offset] + values[name] + text[found.end(name) - offset :]
    return text


def number_of(name: str, names: tuple[str, ...]) -> int:
    """Which one of the names it is, by its first three letters."""
    return next(i for i, one in enumerate(names) if one[:3].lower() == name[:3].lower())


def word_like(old: str, new: str) -> str:
    """A name of a month or day, cut to three letters where the old one was cut, in the old one's case."""
    is_whole = old.lower() in (name.lower() for name in MONTHS + WEEKDAYS)
    return cased(new if is_whole else new[:3], old)


def year_of(written: str | None) -> int:
    """The year; of two digits the century is chosen."""
    if written is None:
        return LEAP_YEAR
    number = int(written)
    return number if len(written) == 4 else number + (2000 if number < FIRST_OF_1900S else 1900)


def ordinal_ending(day: int) -> str:
    """st, nd, rd, th."""
    return "th" if 11 <= day <= 13 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
