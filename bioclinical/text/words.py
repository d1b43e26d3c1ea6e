"""Text cut into words by a regular expression."""

import re

WHITESPACE_TOKENS = r"\S+"
WORD_AND_PUNCTUATION_TOKENS = r"\w+|[^\w\s]"


def token_offsets(text: str, pattern: str) -> list[tuple[int, int]]:
    """Character offsets [start, end) of the pattern's matches."""
    return [match.span() for match in re.finditer(pattern, text)]
