"""What an example is, and the splits that hold them."""

from typing import Any, NotRequired, TypedDict

SPLITS = ("train", "validation", "test")


class Example(TypedDict):
    """One example of a task. Which keys it has beside `id` is its problem's matter (bioclinical/problems).

    text, text_b: a text, or a pair of them, with its gold `labels`.  tokens: words, with a tag each in `tags` and, of
    raw text, their [start, end) in `offsets`.  question, context, answers: a question to a text, and the answers' texts
    and first characters.  question, options, answer: texts to choose from, and the position of the right one.  source,
    target: a text and what is to be written from it.  entries: a question's right answers, each with its synonyms,
    wherever they stand.  part: of a test set that is published in parts.  group: the patient or document that several
    examples share; absent where each stands alone.  gold_spans: what the tags cannot say of the annotations
    (tasks/gold_spans.py), where the reader has these.  where: the place in the raw files that error messages name; it
    does not outlive the checks.
    """

    id: str
    group: NotRequired[str]
    where: NotRequired[str]
    text: NotRequired[str]
    text_b: NotRequired[str]
    labels: NotRequired[Any]
    tokens: NotRequired[list[str]]
    tags: NotRequired[list[str]]
    gold_spans: NotRequired[dict[str, Any]]
    offsets: NotRequired[list[tuple[int, int]]]
    question: NotRequired[str]
    context: NotRequired[str]
    answers: NotRequired[list[dict[str, Any]]]
    entries: NotRequired[list[list[str]]]
    part: NotRequired[str]
    options: NotRequired[list[str]]
    answer: NotRequired[int]
    source: NotRequired[str]
    target: NotRequired[str]


def texts_of(example: Any) -> list[str]:
    """The texts that an example puts before a model, its options and gold apart."""
    texts = [example[key] for key in ("text", "text_b", "question", "context", "source") if example.get(key)]
    return texts + ([" ".join(example["tokens"])] if example.get("tokens") else [])


def group_of(example: Any) -> str:
    """The patient or document that an example, or its prediction, belongs to."""
    return example.get("group", example["id"])
