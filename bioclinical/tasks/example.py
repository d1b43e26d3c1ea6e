"""What an example is, and the splits that hold them."""

from typing import Any, NotRequired, TypedDict

SPLITS = ("train", "validation", "test")


class Example(TypedDict):
    """One example of a task. Which keys it has beside `id` is its problem's matter (bioclinical/problems).

    text, text_b: a text, or a pair of them, with its gold `labels`.  tokens: words, with a tag each in `tags` and, of
    raw text, their [start, end) in `offsets`.  group: the patient or document that several examples share; absent where
    each stands alone.  where: the place in the raw files that error messages name; it does not outlive the checks.
    """

    id: str
    group: NotRequired[str]
    where: NotRequired[str]
    text: NotRequired[str]
    text_b: NotRequired[str]
    labels: NotRequired[Any]
    tokens: NotRequired[list[str]]
    tags: NotRequired[list[str]]
    offsets: NotRequired[list[tuple[int, int]]]


def group_of(example: Any) -> str:
    """The patient or document that an example, or its prediction, belongs to."""
    return example.get("group", example["id"])
