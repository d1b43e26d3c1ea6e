"""BioASQ's phase B from its own JSON: a training file, and the golden files of a year's batches as the test set.

yesno: the question, and its snippets joined by blanks, as BLURB has them.
factoid, list: every snippet of a question is an example of its own (as in BioBERT's files), the question their group.
For training only snippets in which an answer stands are taken, of a list question once for each answer; all snippets of
the others, and the scores are a question's (bioclinical/problems/ranked_answers.py).
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bioclinical.errors import UserError
from bioclinical.metrics.bioasq import yes_no_answer
from bioclinical.tasks.example import Example
from bioclinical.tasks.readers.bioasq import read_questions
from bioclinical.tasks.splits import PAPER, Protocol, hold_out_groups
from bioclinical.tasks.task import RawData, counted

YES_NO = ("no", "yes")
VALIDATION_SHARE = 0.1  # of the training questions; the releases have no validation part
NO_SNIPPETS = "question(s) without snippets: they are asked of their own words"
UNANSWERED = "training question(s) left out: no snippet holds an answer"


@dataclass(frozen=True)
class BioasqReader:
    """The questions of one kind. golden: the batches; an example of one names it as its `part`."""

    kind: Literal["yesno", "factoid", "list"]
    training: str
    golden: tuple[str, ...]

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / name for name in (self.training, *self.golden)]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        counts: Counter[str] = Counter()
        training, *golden = self.raw_files(folder)
        read_file = read_yes_no if self.kind == "yesno" else read_ranked
        known = read_file(training, self.kind, counts)
        test = [e | {"part": path.stem.split("_")[0]} for path in golden for e in read_file(path, self.kind, counts)]
        require_new_questions(known, test)
        train, validation = hold_out_groups(known, VALIDATION_SHARE, protocol.split_seed)
        if self.kind != "yesno":
            train = training_examples(train, counts)
        return RawData({"train": train, "validation": validation, "test": test}, counted(counts))


def require_new_questions(training: list[Example], test: list[Example]) -> None:
    """Raises UserError for a test question that is among the training ones, or in two batches."""
    seen = {example["group"]: "training" for example in training}
    for example in test:
        if seen.setdefault(example["group"], example["part"]) != example["part"]:
            raise UserError(
                f"{example['where']}: this question is also in {seen[example['group']]}; the files are of two releases"
            )


def questions_of_kind(path: Path, kind: str, counts: Counter[str]) -> Iterator[tuple[dict[str, Any], list[str], str]]:
    """(question, its snippets' texts, place). Raises UserError for one without text, or malformed snippets."""
    for question in read_questions(path):
        if question.get("type") != kind:
            continue
        where = f"'{path}' question {question['id']}"
        body = question.get("body")
        if not isinstance(body, str) or not body.strip():
            raise UserError(f"{where}: the body is empty or no text")
        texts = snippet_texts(question, where)
        if not texts:
            counts[NO_SNIPPETS] += 1
        yield question, texts or [body], where


def snippet_texts(question: dict[str, Any], where: str) -> list[str]:
    """The texts of a question's snippets, each once, in their order. Raises UserError for malformed ones."""
    snippets = question.get("snippets") or []
    if not isinstance(snippets, list) or not all(
        isinstance(snippet, dict) and isinstance(snippet.get("text"), str) for snippet in snippets
    ):
        raise UserError(f'{where}: snippets must be a list of {{"text": ...}}')
    return list(dict.fromkeys(snippet["text"].strip() for snippet in snippets if snippet["text"].strip()))


def read_yes_no(path: Path, kind: str, counts: Counter[str]) -> list[Example]:
    """A pair of texts a question. Raises UserError for an answer that is neither yes nor no."""
    examples: list[Example] = []
    for question, texts, where in questions_of_kind(path, kind, counts):
        answer = question.get("exact_answer")
        answer = answer[0] if isinstance(answer, list) and answer else answer
        label = yes_no_answer(answer) if isinstance(answer, str) else "none"
        if label not in YES_NO:
            raise UserError(f"{where}: the exact_answer of a yesno question must be yes or no")
        example: Example = {"id": question["id"], "group": question["id"], "text": question["body"].strip()}
        examples.append(example | {"text_b": " ".join(texts), "labels": label, "where": where})
    return examples


def read_ranked(path: Path, kind: str, counts: Counter[str]) -> list[Example]:
    """An example a snippet, ids `<question>_<number>`, with all places where one of its question's answers stands."""
    examples: list[Example] = []
    for question, texts, where in questions_of_kind(path, kind, counts):
        entries = gold_entries(question.get("exact_answer"), kind, where)
        for number, text in enumerate(texts, start=1):
            example: Example = {"id": f"{question['id']}_{number:03d}", "group": question["id"], "context": text}
            example |= {"question": question["body"].strip(), "answers": places(text, entries), "entries": entries}
            examples.append(example | {"where": where})
    return examples


def gold_entries(value: Any, kind: str, where: str) -> list[list[str]]:
    """Answers with their synonyms. Training files also have flat lists: a factoid's synonyms, a list's answers.

    Raises UserError for anything else, or no answer at all.
    """
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and value and all(isinstance(entry, str) for entry in value):
        value = [value] if kind == "factoid" else [[entry] for entry in value]
    is_nested = isinstance(value, list) and all(
        isinstance(entry, list) and all(isinstance(text, str) for text in entry) for entry in value
    )
    entries = [[text.strip() for text in entry if text.strip()] for entry in value] if is_nested else []
    if not any(entries):
        raise UserError(
            f"{where}: the exact_answer of a {kind} question must be [[answer, synonym], ...]; files without answers "
            "can be asked of a saved model (python -m bioclinical.bioasq), not scored"
        )
    return [entry for entry in entries if entry]


def places(text: str, entries: list[list[str]]) -> list[dict[str, Any]]:
    """For each answer the first place of the first of its synonyms that stands in the text, whatever its case."""
    found = []
    for entry in entries:
        for synonym in entry:
            if match := re.search(rf"(?<!\w){re.escape(synonym)}(?!\w)", text, re.IGNORECASE):
                found.append({"text": match[0], "start": match.start()})
                break
    return found


def training_examples(examples: list[Example], counts: Counter[str]) -> list[Example]:
    """One example for each answer that stands in a snippet; what no snippet answers is left out and counted."""
    chosen = []
    for example in examples:
        for number, answer in enumerate(example["answers"]):
            name = example["id"] + (f"_{number + 1}" if number else "")
            chosen.append(example | {"id": name, "answers": [answer]})
    counts[UNANSWERED] += len({e["group"] for e in examples} - {e["group"] for e in chosen})
    return chosen
