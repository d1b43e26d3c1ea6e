"""Questions with options as texts that a causal model goes on with, without having been trained on them.

Question and, where letters answer, its options; then "Answer:", as lm-evaluation-harness does for MedQA and MMLU.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bioclinical.tasks.example import Example

LETTERS = "ABCDEFGHIJ"
FORMS = ("letters", "texts")


@dataclass(frozen=True)
class Prompt:
    """What the model reads, and the texts of which it prefers one: with the blank before them, and without."""

    text: str
    answers: tuple[str, ...]

    @property
    def continuations(self) -> tuple[str, ...]:
        return tuple(f" {answer}" for answer in self.answers)


def prompts_of(examples: Sequence[Example], shown: Sequence[Example], form: str) -> list[Prompt]:
    """A prompt for each example. shown: examples that stand before every one with their answers.  form: of FORMS."""
    answered = "".join(f"{asked(example, form)} {answers(example, form)[example['answer']]}\n\n" for example in shown)
    return [Prompt(answered + asked(example, form), answers(example, form)) for example in examples]


def asked(example: Example, form: str) -> str:
    """A question up to where its answer begins."""
    lines = [f"Question: {example['question'].strip()}"]
    if form == "letters":
        lines += [f"{letter}. {option.strip()}" for letter, option in zip(LETTERS, example["options"])]
    return "\n".join([*lines, "Answer:"])


def answers(example: Example, form: str) -> tuple[str, ...]:
    """What the options are called."""
    if form == "letters":
        return tuple(LETTERS[: len(example["options"])])
    return tuple(option.strip() for option in example["options"])
