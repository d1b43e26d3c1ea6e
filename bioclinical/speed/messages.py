"""What a measuring process sends back; importing this imports no torch."""

from collections.abc import Callable
from typing import TypedDict

from bioclinical.speed.document import Row


class Message(TypedDict, total=False):
    """One of: what the process is doing, passes done since the last message, a finished row, why it failed."""

    state: str
    passes: int
    row: Row
    failed: str


Send = Callable[[Message], None]
