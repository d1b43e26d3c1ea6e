"""Questions over texts in SQuAD's JSON: SQuAD 1.1 and 2.0, COVID-QA, BioASQ as BioBERT's authors wrote it, one's own.

`{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text", "answer_start"}]}]}]}]}`
Offsets count characters. A question without answers is one that its context does not answer.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.tasks.example import SPLITS, Example, group_of
from bioclinical.tasks.splits import PAPER, Protocol, grouped_split
from bioclinical.tasks.task import RawData, counted

NOT_IN_CONTEXT = "answer(s) that do not stand in their context; scored, but never a target of training. The first: "
MOVED = "answer offset(s) that were off by a blank, repaired"
NEAR = 2  # characters: how far an offset may be off to be repaired
SHARES = (0.15, 0.15)  # of articles, for validation and test


@dataclass(frozen=True)
class SquadReader:
    """One file, split by article 70/15/15; or train and test (validation: `held_out` of train's articles); or three.

    articles_are_groups: tests of differences draw whole articles rather than questions.
    """

    files: tuple[str, ...]
    held_out: float = 0.05
    articles_are_groups: bool = True

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / name for name in self.files]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        counts: Counter[str] = Counter()
        parts = [with_positions(read_squad(path), counts) for path in self.raw_files(folder)]
        if len(parts) == 1:
            splits = grouped_split(parts[0], SHARES, protocol.split_seed)
        elif len(parts) == 2:
            splits = {**two_way_split(parts[0], self.held_out, protocol.split_seed), "test": parts[1]}
        else:
            splits = protocol.given(dict(zip(SPLITS, parts)))
        if not self.articles_are_groups:
            splits = {name: [without_group(e) for e in examples] for name, examples in splits.items()}
        return RawData(splits, counted(counts))


def without_group(example: Example) -> Example:
    return {key: value for key, value in example.items() if key != "group"}


def two_way_split(examples: list[Example], share: float, seed: int) -> dict[str, list[Example]]:
    """Train and validation, a share of the articles drawn at random."""
    validation = grouped_split(examples, (share, share), seed)["validation"]
    held_out = {group_of(example) for example in validation}
    return {"train": [e for e in examples if group_of(e) not in held_out], "validation": validation}


def read_squad(path: Path) -> list[Example]:
    """The questions of a file in its order: id, question, context, answers (text, start), group (the article), where.

    Raises UserError where the file has another form or an id occurs twice.
    """
    try:
        content = json.loads(read_utf8(path, keep_bom=False))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is no JSON file; SQuAD's form is expected") from error
    examples, seen = [], set()
    try:
        for number, (title, context, question) in enumerate(questions_of(content)):
            example = one_question(title, context, question, f"'{path}' question {number + 1}")
            if example["id"] in seen:
                raise UserError(f"'{path}': the question id {example['id']} occurs twice; ids must be unique")
            seen.add(example["id"])
            examples.append(example)
    except (KeyError, TypeError, ValueError) as error:
        what = f"the key {error}" if isinstance(error, KeyError) else "a value of the expected kind"
        raise UserError(
            f"'{path}' is not in SQuAD's form: {what} is missing after question {len(examples)}; expected: "
            "data, paragraphs, context, qas, id, question, answers, text, answer_start"
        ) from error
    if not examples:
        raise UserError(f"'{path}' holds no question")
    return examples


def questions_of(content: Any) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(article, context, question) in order; an article without title is named by its document id or number."""
    for number, article in enumerate(content["data"], start=1):
        for paragraph in article["paragraphs"]:
            name = article.get("title") or paragraph.get("document_id") or f"article {number}"
            for question in paragraph["qas"]:
                yield str(name), paragraph["context"], question


def one_question(article: str, context: str, question: dict[str, Any], where: str) -> Example:
    """A question as an example; its answers as they stand."""
    answers = [] if question.get("is_impossible") else question.get("answers", [])
    if not isinstance(context, str) or not isinstance(question["question"], str):
        raise TypeError
    return {
        "id": str(question["id"]),
        "question": question["question"],
        "context": context,
        "answers": [{"text": str(a["text"]), "start": int(a["answer_start"])} for a in answers],
        "group": article,
        "where": where,
    }


def with_positions(examples: list[Example], counts: Counter[str]) -> list[Example]:
    """The examples with answers checked against their contexts: offsets off by a blank repaired, others -1; counted."""
    outside: list[str] = []
    for example in examples:
        for answer in example["answers"]:
            start = position(example["context"], answer["text"], answer["start"])
            if start is None:
                outside.append(example["id"])
            elif start != answer["start"]:
                counts[MOVED] += 1
            answer["start"] = -1 if start is None else start
    if outside:
        counts[NOT_IN_CONTEXT + outside[0]] = len(outside)
    return examples


def position(context: str, text: str, start: int) -> int | None:
    """Where the answer stands: at its offset or next to it; None where it does not."""
    for distance in range(NEAR + 1):
        for place in (start - distance, start + distance):
            if text and place >= 0 and context.startswith(text, place):
                return place
    return None
