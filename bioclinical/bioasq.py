"""BioASQ's submission file from saved models, one for each kind of question that is to be answered.

python -m bioclinical.bioasq --questions BioASQ-task7bPhaseB-testset1.json --output submission.json \\
    --model models/factoid --model models/list --model models/yesno
python -m bioclinical.score bioasq 7B1_golden.json submission.json

The questions need no gold answers. Factoids get at most five answers; questions of a kind without a model an empty one.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioclinical.arguments import positive
from bioclinical.errors import UserError, run_cli
from bioclinical.files import make_folder, remove, sha256_of_file, sha256_of_json, write_json
from bioclinical.inference.documents import Document
from bioclinical.problems.merged_answers import Candidate
from bioclinical.tasks.corpora.bioasq import NO_SNIPPETS, YES_NO, questions_of_kind
from bioclinical.tasks.readers.bioasq import SCORED_KINDS, read_questions

if TYPE_CHECKING:
    from bioclinical.inference.predictor import Predictor

KIND_OF_PROBLEM = {"factoid_qa": "factoid", "list_qa": "list", "single_label_classification": "yesno"}
EMPTY = {"yesno": "", "factoid": [], "list": []}
IDEAL = ["Dummy"]  # the program wants one; summaries are not written here


def main() -> None:
    args = parse_args()
    path, output = Path(args.questions), Path(args.output)
    if output.exists() and not args.overwrite:
        raise UserError(f"'{output}' exists; choose another name or add --overwrite")
    if not path.is_file():
        raise UserError(f"there is no file '{path}'")
    questions = read_questions(path)
    for question in questions:
        if question.get("type") not in SCORED_KINDS:
            raise UserError(f"'{path}' question {question['id']}: type must be one of {', '.join(SCORED_KINDS)}")
    make_folder(output.parent)
    answers = answers_of(args.model, path, output, args.batch_size)
    write_json(output, submission(questions, answers))
    for kind, count in Counter(question["type"] for question in questions).items():
        answered = sum(question["id"] in answers for question in questions if question["type"] == kind)
        print(f"{kind}: {answered:,} of {count:,} questions answered")
    print(output)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="BioASQ's submission file from models saved by main.py --save_model.")
    parser.add_argument("--questions", required=True, help="BioASQ's JSON; gold answers in it are not read")
    parser.add_argument("--model", required=True, action="append", help="a saved model; repeatable, one for each kind")
    parser.add_argument("--output", required=True, help="the submission's JSON")
    parser.add_argument("--batch_size", type=positive(int), default=16, help="rows a batch (default: 16)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output file")
    return parser.parse_args()


def answers_of(models: list[str], path: Path, output: Path, batch_size: int) -> dict[str, Any]:
    """Question id -> exact answer, for the kinds that the models answer; what an interrupted command had written beside
    `output` is kept. Raises UserError for a model of no kind, or two models of one."""
    from bioclinical.encoders.source import Source
    from bioclinical.inference.predictor import Predictor

    answers: dict[str, Any] = {}
    used: dict[str, str] = {}
    partials: list[Path] = []
    for model in models:
        predictor = Predictor(Source(model), batch_size)
        kind = kind_of(predictor, model)
        if kind in used:
            raise UserError(f"'{used[kind]}' and '{model}' both answer {kind} questions; name one")
        used[kind] = model
        counts: Counter[str] = Counter()
        asked = [(q["id"], q["body"].strip(), texts) for q, texts, _ in questions_of_kind(path, kind, counts)]
        if counts[NO_SNIPPETS]:
            print(f"warning: {counts[NO_SNIPPETS]} {kind} {NO_SNIPPETS}")
        work = sha256_of_json([predictor.identity, sha256_of_file(path), kind])[:8]
        partial = output.with_name(f".{output.name}.{work}.partial")
        answer = yes_or_no if kind == "yesno" else ranked
        answers |= answer(predictor, asked, partial)
        partials.append(partial)
    for partial in partials:
        remove(partial)
    return answers


def kind_of(predictor: "Predictor", model: str) -> str:
    """The kind of question that a model answers; raises UserError where it answers none."""
    kind = KIND_OF_PROBLEM.get(predictor.problem.name)
    if kind is None or (kind == "yesno" and set(predictor.coder.labels) != set(YES_NO)):
        raise UserError(
            f"'{model}' was trained for {predictor.facts.dataset} ({predictor.problem.name}); models of "
            "BioASQ7b-factoid, -list and -yesno, or of tasks of the same kinds, answer BioASQ's questions"
        )
    return kind


def yes_or_no(predictor: "Predictor", asked: list[tuple[str, str, list[str]]], partial: Path) -> dict[str, str]:
    """ "yes" or "no" of the question with its snippets."""
    from bioclinical.inference.resumable import continue_predictions

    predictor.check_texts(has_pairs=True)
    documents = [Document(name, body, " ".join(texts)) for name, body, texts in asked]
    return {found["id"]: found["label"] for found in continue_predictions(partial, predictor, documents)}


def ranked(
    predictor: "Predictor", asked: list[tuple[str, str, list[str]]], partial: Path
) -> dict[str, list[list[str]]]:
    """Every answer a list of its own, the most probable first."""
    from bioclinical.inference.resumable import continue_predictions

    documents = [Document(name, text, body) for name, body, texts in asked for text in texts]
    found = iter(continue_predictions(partial, predictor, documents))
    answers = {}
    for name, body, texts in asked:
        candidates = [
            Candidate(one["answer"], one["probability"], (number, one["start"], one["end"]))
            for number in range(len(texts))
            for one in next(found)["answers"]
        ]
        chosen = predictor.problem.chosen(candidates, body, predictor.coder.options)
        answers[name] = [[answer.text] for answer in chosen]
    return answers


def submission(questions: list[dict[str, Any]], answers: dict[str, Any]) -> dict[str, Any]:
    """The whole file, questions in their order; summary questions have no exact answer."""
    rows = []
    for question in questions:
        row = {"id": question["id"], "type": question["type"]}
        if question["type"] in EMPTY:
            row["exact_answer"] = answers.get(question["id"], EMPTY[question["type"]])
        rows.append(row | {"ideal_answer": IDEAL})
    return {"questions": rows}


if __name__ == "__main__":
    run_cli(main)
