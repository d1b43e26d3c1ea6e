"""What an example is."""

from typing import Any, NotRequired, TypedDict


class Example(TypedDict):
    """One example of a task. Which keys it has beside `id` is its problem's matter (bioclinical/problems).

    group: the patient or document that several examples share; absent where each stands alone.  where: the place in the
    raw files that error messages name; it does not outlive the checks.
    """

    id: str
    group: NotRequired[str]
    where: NotRequired[str]
    text: NotRequired[str]
    text_b: NotRequired[str]
    tokens: NotRequired[list[str]]
    labels: NotRequired[Any]
    tags: NotRequired[list[str]]


def group_of(example: Any) -> str:
    """The patient or document that an example, or its prediction, belongs to."""
    return example.get("group", example["id"])
