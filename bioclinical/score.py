"""Scores of prediction files made by any program, by the rules of each task's official one.

python -m bioclinical.score squad2 dev-v2.0.json predictions.json [--na_prob values.json] [--threshold 1.0]
python -m bioclinical.score squad1 | bioasq | rouge | choice | ner | hoc GOLD PRED ...   (--help says the forms)

A table for people, then as the last line one JSON object: the official program's names, values not rounded.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError, run_cli
from bioclinical.files import read_utf8

FORMS = {
    "squad2": ("SQuAD 2.0 JSON", 'JSON {id: text}, "" for no answer'),
    "squad1": ("SQuAD 1.1 JSON", "JSON {id: text}"),
    "bioasq": ("BioASQ JSON with exact_answer", "BioASQ submission JSON"),
    "rouge": ("JSON lines: id, reference (a text, or a list of texts)", "JSON lines: id, prediction"),
    "choice": (
        "JSON lines: id, options, answer (a letter)",
        "JSON lines: id, prediction (a letter, or a log-likelihood per option)",
    ),
    "ner": ("token<TAB>tag, a blank line between sentences", "the same tokens with predicted tags"),
    "hoc": (
        "BLURB's TSV (labels, sentence, index) or BLUE's (index, sentence, labels)",
        "the same rows, predicted labels",
    ),
}
Scores = dict[str, Any]


def main() -> None:
    args = parse_args()
    for path in (args.gold, args.predictions):
        if not Path(path).is_file():
            raise UserError(f"there is no file '{path}'")
    scores = COMMANDS[args.task](args)
    print_table(scores)
    print(json.dumps(scores))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    commands = {}
    for name, (gold, predictions) in FORMS.items():
        commands[name] = tasks.add_parser(name, help=f"gold: {gold}; predictions: {predictions}")
        commands[name].add_argument("gold", metavar="GOLD", help=gold)
        commands[name].add_argument("predictions", metavar="PRED", help=predictions)
    commands["squad2"].add_argument("--na_prob", metavar="FILE", help="JSON {id: how sure that there is no answer}")
    commands["squad2"].add_argument(
        "--threshold", type=float, default=1.0, help="--na_prob strictly above it means no answer (default: 1.0, none)"
    )
    commands["bioasq"].add_argument("--edition", type=int, default=5, help="of the rules: 3, 5 (default) or 9")
    commands["rouge"].add_argument("--stem", action="store_true", help="with the Porter stemmer (BioMedLM)")
    commands["hoc"].add_argument(
        "--rule", choices=("blue", "blurb"), default="blurb", help="whose F1 over abstracts (default: blurb)"
    )
    return parser.parse_args()


def print_table(scores: Scores) -> None:
    """Names and values in columns; nested scores (per type) below their name."""
    for name, value in scores.items():
        if isinstance(value, dict):
            print(name + "".join(f"  {key} {shown(part)}" for key, part in value.items()))
        else:
            print(f"{name:24}{shown(value):>12}")


def shown(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"


def squad2(args: argparse.Namespace) -> Scores:
    from bioclinical.metrics.squad import squad2_scores

    no_answer = None if args.na_prob is None else read_mapping(Path(args.na_prob), (int, float), "a number")
    return squad2_scores(squad_golds(args), squad_predictions(args), no_answer, args.threshold)


def squad1(args: argparse.Namespace) -> Scores:
    from bioclinical.metrics.squad import squad1_scores

    return squad1_scores(squad_golds(args), squad_predictions(args))


def squad_golds(args: argparse.Namespace) -> dict[str, list[str]]:
    """Question id -> texts of its answers."""
    from bioclinical.tasks.readers.squad import read_squad

    return {e["id"]: [answer["text"] for answer in e["answers"]] for e in read_squad(Path(args.gold))}


def squad_predictions(args: argparse.Namespace) -> dict[str, str]:
    return read_mapping(Path(args.predictions), str, "a text")


def read_mapping(path: Path, kind: type | tuple[type, ...], what: str) -> dict[str, Any]:
    """A JSON object whose values are all of one kind; raises UserError naming the first id whose value is not."""
    try:
        content = json.loads(read_utf8(path, keep_bom=False))
    except FileNotFoundError as error:
        raise UserError(f"there is no file '{path}'") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is no JSON file") from error
    if not isinstance(content, dict):
        raise UserError(f"'{path}' must be one JSON object, question id: {what}")
    wrong = [key for key, value in content.items() if not isinstance(value, kind)]
    if wrong:
        raise UserError(f"'{path}': the value of question {wrong[0]} is not {what}")
    return content


def bioasq(args: argparse.Namespace) -> Scores:
    from bioclinical.metrics.bioasq import SKIPS_MISSING, bioasq_scores
    from bioclinical.tasks.readers.bioasq import read_gold, read_system

    golds = read_gold(Path(args.gold))
    system = read_system(Path(args.predictions), golds)
    scores = bioasq_scores(golds, system, args.edition)
    if args.edition >= SKIPS_MISSING and len(system) < len(golds):
        print(f"warning: {len(golds) - len(system)} questions were not submitted and are left out of the scores")
    return scores


def rouge(args: argparse.Namespace) -> Scores:
    from bioclinical.metrics.rouge import mean_scores, rouge_scores

    scores = []
    for place, gold, predicted in paired_lines(args, ("reference",)):
        references = [gold["reference"]] if isinstance(gold["reference"], str) else gold["reference"]
        if not isinstance(references, list) or not references or not isinstance(predicted, str):
            raise UserError(f"{place}: reference must be a text or a list of texts, prediction a text")
        scores.append(rouge_scores(predicted, references, args.stem))
    return {**mean_scores(scores), "texts": len(scores), "stemmed": args.stem}


def choice(args: argparse.Namespace) -> Scores:
    from bioclinical.metrics.choice import accuracy, chosen
    from bioclinical.tasks.readers.choices import letter_position

    golds, predicted = [], []
    for place, gold, prediction in paired_lines(args, ("options", "answer")):
        options = gold["options"]
        if not isinstance(options, list) or not all(isinstance(option, str) and option for option in options):
            raise UserError(f"{place}: options must be a list of texts")
        golds.append(letter_position(gold["answer"], len(options), place))
        if isinstance(prediction, list):
            if len(prediction) != len(options) or not all(isinstance(value, (int, float)) for value in prediction):
                raise UserError(f"{place}: {len(prediction)} predicted values; one number for each option is needed")
            predicted.append(chosen(prediction, options))
        else:
            predicted.append({"acc": letter_position(prediction, len(options), f"{place}, predicted")})
    if len({len(choices) for choices in predicted}) > 1:
        raise UserError(f"'{args.predictions}' mixes letters and lists of numbers; give one kind")
    scores = {name: accuracy(golds, [choices[name] for choices in predicted]) for name in predicted[0]}
    return {**scores, "questions": len(golds)}


def paired_lines(args: argparse.Namespace, gold_columns: tuple[str, ...]) -> list[tuple[str, dict[str, Any], Any]]:
    """(place, gold cells, prediction) of every gold line; raises UserError for an id without a prediction."""
    golds = lines_by_id(Path(args.gold), gold_columns)
    predictions = lines_by_id(Path(args.predictions), ("prediction",))
    missing = [identity for identity in golds if identity not in predictions]
    if missing:
        raise UserError(f"'{args.predictions}' lacks {len(missing)} of {len(golds)} ids, the first is {missing[0]}")
    return [(f"id {identity}", gold, predictions[identity]["prediction"]) for identity, gold in golds.items()]


def lines_by_id(path: Path, columns: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """The rows of a table by their id; raises UserError for an id that occurs twice."""
    from bioclinical.text.tables import TableReader

    found: dict[str, dict[str, Any]] = {}
    for row in TableReader(path, ("id", *columns)).rows():
        identity = str(row.cells["id"])
        if identity in found:
            raise UserError(f"'{path}' line {row.line}: the id {identity} occurs twice")
        found[identity] = row.cells
    if not found:
        raise UserError(f"'{path}' holds no row")
    return found


def ner(args: argparse.Namespace) -> Scores:
    from bioclinical.metrics.entities import entity_details, entity_metrics
    from bioclinical.metrics.metric import score_all
    from bioclinical.tasks.readers.conll import read_conll

    golds, predictions = read_conll(Path(args.gold)), read_conll(Path(args.predictions))
    if [gold["tokens"] for gold in golds] != [prediction["tokens"] for prediction in predictions]:
        number = first_difference(golds, predictions)
        raise UserError(f"'{args.predictions}' holds other tokens than '{args.gold}' from sentence {number} on")
    rows = [
        {"id": g["id"], "gold": g["tags"], "predicted": p["tags"], "seen": list(range(len(g["tags"])))}
        for g, p in zip(golds, predictions)
    ]
    scores, details = score_all(entity_metrics(), rows), entity_details(rows)
    overall = {f"overall_{name}": scores[name] for name in ("precision", "recall", "f1")}
    number = {"overall_accuracy": scores["token_accuracy"], "sentences": len(rows), "entities": details["entities"]}
    return {**overall, **number, **details["per_type"]}


def first_difference(golds: Sequence[Mapping[str, Any]], predictions: Sequence[Mapping[str, Any]]) -> int:
    """The number (from 1) of the first sentence whose tokens differ or that only one side has."""
    same = [gold["tokens"] == prediction["tokens"] for gold, prediction in zip(golds, predictions)]
    return (same.index(False) if False in same else len(same)) + 1


def hoc(args: argparse.Namespace) -> Scores:
    from bioclinical.metrics.abstracts import AbstractExampleF1, AbstractMicroF1

    golds, predictions = read_hoc(Path(args.gold)), read_hoc(Path(args.predictions))
    predicted = {example["id"]: example["labels"] for example in predictions}
    missing = [gold["id"] for gold in golds if gold["id"] not in predicted]
    if missing:
        raise UserError(f"'{args.predictions}' lacks {len(missing)} of {len(golds)} rows, the first is {missing[0]}")
    rows = [{"id": g["id"], "group": g["group"], "gold": g["labels"], "predicted": predicted[g["id"]]} for g in golds]
    metric = AbstractMicroF1() if args.rule == "blurb" else AbstractExampleF1()
    return {metric.name: metric.score(rows), "sentences": len(rows), "abstracts": len({g["group"] for g in golds})}


def read_hoc(path: Path) -> list[dict[str, Any]]:
    """The sentences of one of BLURB's or BLUE's files, told apart by their first line."""
    from bioclinical.tasks.corpora.hoc import read_blue, read_blurb

    with open(path, encoding="utf-8", errors="replace") as file:
        is_blurb = file.readline().split("\t")[0] == "labels"
    return list(read_blurb(path) if is_blurb else read_blue(path))


COMMANDS = {
    "squad2": squad2,
    "squad1": squad1,
    "bioasq": bioasq,
    "rouge": rouge,
    "choice": choice,
    "ner": ner,
    "hoc": hoc,
}


if __name__ == "__main__":
    run_cli(main)
