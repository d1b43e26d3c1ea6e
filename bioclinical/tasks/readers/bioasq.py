"""BioASQ's own JSON (`{"questions": [{"id", "type", "body", "snippets", "exact_answer"}]}`), gold and submitted."""

import json
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError
from bioclinical.files import read_utf8
from bioclinical.metrics.bioasq import Question

KINDS = ("yesno", "factoid", "list")
SCORED_KINDS = (*KINDS, "summary")


def read_questions(path: Path) -> list[dict[str, Any]]:
    """The question objects of a file; raises UserError for another form, or an id that occurs twice."""
    try:
        questions = json.loads(read_utf8(path, keep_bom=False))["questions"]
        ids = [question["id"] for question in questions]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"""'{path}' is not in BioASQ's form: {{"questions": [{{"id", "type", ...}}]}}""") from error
    if len(set(ids)) < len(ids):
        twice = next(i for n, i in enumerate(ids) if i in ids[:n])
        raise UserError(f"'{path}': the question id {twice} occurs twice; ids must be unique")
    return questions


def read_gold(path: Path) -> list[Question]:
    """The questions with an exact answer, in file order; summary questions have none."""
    golds = []
    for question in read_questions(path):
        kind = question.get("type")
        if kind not in SCORED_KINDS:
            raise UserError(f"'{path}' question {question['id']}: type must be one of {', '.join(SCORED_KINDS)}")
        if kind in KINDS:
            golds.append(exact_answer(path, question, kind))
    if not golds:
        raise UserError(f"'{path}' holds no yesno, factoid or list question")
    return golds


def read_system(path: Path, golds: list[Question]) -> dict[str, Question]:
    """The submitted answers to the gold questions, by id; their kind is the gold question's."""
    kinds = {gold.id: gold.kind for gold in golds}
    return {
        question["id"]: exact_answer(path, question, kinds[question["id"]], is_gold=False)
        for question in read_questions(path)
        if question["id"] in kinds
    }


def exact_answer(path: Path, question: dict[str, Any], kind: str, is_gold: bool = True) -> Question:
    """One question's exact answer; an absent submitted one is empty. Raises UserError where its form does not fit."""
    value = question.get("exact_answer")
    if value is None and not is_gold:
        return Question(question["id"], kind)
    if kind == "yesno" and isinstance(value, str):
        return Question(question["id"], kind, answer=value)
    is_nested = isinstance(value, list) and all(
        isinstance(entry, list) and all(isinstance(text, str) for text in entry) for entry in value
    )
    if kind != "yesno" and is_nested:
        return Question(question["id"], kind, entries=tuple(tuple(entry) for entry in value))
    form = "a text" if kind == "yesno" else "a list of lists of texts, [[answer, synonym], [answer]]"
    raise UserError(f"'{path}' question {question['id']}: exact_answer of a {kind} question must be {form}")
