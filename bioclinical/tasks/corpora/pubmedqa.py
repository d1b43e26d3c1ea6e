"""PubMedQA, labelled part: a question about an abstract without its conclusion, answered yes, no or maybe.

    ori_pqal.json            the 1,000 labelled questions by PMID
    test_ground_truth.json   the 500 of the test part

The ten folds of the other 500 are those of the publishers' split program (a generator seeded with 0), computed anew.
"""

import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.tasks.example import Example
from bioclinical.tasks.splits import PAPER, Protocol
from bioclinical.tasks.task import RawData

LABELS = ("maybe", "no", "yes")
FOLDS = range(10)
BLURB_FOLD = 0
# The order in which the split program shuffles them.
SHUFFLED_LABELS = ("yes", "no", "maybe")

Questions = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class PubmedQaReader:
    """The reasoning-required setting: the question, and the abstract's sections joined; never its conclusion.

    Protocol.fold chooses which tenth of the 500 is the validation part; without one it is fold 0, BLURB's split.
    """

    def raw_files(self, folder: Path) -> list[Path]:
        return [folder / "ori_pqal.json", folder / "test_ground_truth.json"]

    def read(self, folder: Path, protocol: Protocol = PAPER) -> RawData:
        questions_path, test_path = self.raw_files(folder)
        questions = read_questions(questions_path)
        test, validation, train = split_ids(questions, BLURB_FOLD if protocol.fold is None else protocol.fold)
        published = read_object(test_path)
        if set(published) != set(test):
            raise UserError(
                f"'{test_path}': its {len(published):,} PMIDs are not those that the publishers' split program takes "
                f"from '{questions_path.name}'; fetch both files from the same release"
            )
        parts = {"train": train, "validation": validation, "test": list(published)}
        splits = {
            split: [example(pmid, questions[pmid], questions_path) for pmid in pmids] for split, pmids in parts.items()
        }
        return RawData(protocol.given(splits), [])


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object; raises UserError naming the line where the file is broken or holds something else."""
    try:
        content = json.loads(read_utf8(path, keep_bom=False))
    except json.JSONDecodeError as error:
        raise UserError(f"'{path}' line {error.lineno}: not valid JSON; fetch the file again") from error
    if not isinstance(content, dict) or not content:
        raise UserError(f"'{path}': not a JSON object keyed by PMID")
    return content


def read_questions(path: Path) -> Questions:
    """The questions by PMID. Raises UserError where one lacks its text, its sections or a known answer."""
    questions = read_object(path)
    for pmid, question in questions.items():
        where = f"'{path}' PMID {pmid}"
        if not isinstance(question, dict) or not isinstance(question.get("QUESTION"), str):
            raise UserError(f"{where}: it lacks the key QUESTION")
        sections = question.get("CONTEXTS")
        if not isinstance(sections, list) or not sections or not all(isinstance(text, str) for text in sections):
            raise UserError(f"{where}: it lacks the key CONTEXTS, a list of texts")
        if question.get("final_decision") not in LABELS:
            raise UserError(f"{where}: its final_decision is none of {', '.join(LABELS)}")
    return questions


def example(pmid: str, question: dict[str, Any], path: Path) -> Example:
    """Question and sections, in BLURB's order."""
    return {
        "id": pmid,
        "text": question["QUESTION"],
        "text_b": " ".join(question["CONTEXTS"]),
        "labels": question["final_decision"],
        "where": f"'{path}' PMID {pmid}",
    }


def split_ids(questions: Questions, fold: int) -> tuple[list[str], list[str], list[str]]:
    """(test, validation, train): the PMIDs of one fold, as the publishers' program draws them."""
    generator = random.Random(0)
    answers = {pmid: question["final_decision"] for pmid, question in questions.items()}
    rest, test = drawn_parts(answers, 2, generator)
    folds = drawn_parts({pmid: answers[pmid] for pmid in rest}, len(FOLDS), generator)
    return test, folds[fold], [pmid for i, part in enumerate(folds) if i != fold for pmid in part]


def drawn_parts(answers: dict[str, str], count: int, generator: random.Random) -> list[list[str]]:
    """`count` parts with about the same share of each answer; a smaller last part gets one of every other part."""
    parts: list[list[str]] = [[] for _ in range(count)]
    for label in SHUFFLED_LABELS:
        pmids = [pmid for pmid, answer in answers.items() if answer == label]
        generator.shuffle(pmids)
        size = math.ceil(len(pmids) / count)
        for i, part in enumerate(parts):
            part += pmids[i * size : (i + 1) * size if i < count - 1 else None]
    if len(parts[-1]) != len(parts[0]):
        for part in parts[:-1]:
            picked = generator.choice(part)
            part.remove(picked)
            parts[-1].append(picked)
    return parts
