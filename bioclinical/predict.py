"""A fine-tuned model on raw text: labels with probabilities, numbers, entities with character offsets, written texts.

python -m bioclinical.predict --model DIR --input notes.csv --output predictions.jsonl [--redact redacted.jsonl]
python -m bioclinical.predict --model DIR --audit GOLD --output audit.json
"""

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioclinical.arguments import fraction
from bioclinical.errors import UserError, run_cli
from bioclinical.files import make_folder, read_utf8, write_json
from bioclinical.inference.arguments import (
    RUNTIMES,
    add_input_arguments,
    columns_of,
    input_documents,
    partial_path,
    refuse_existing,
)
from bioclinical.inference.audit import audited, read_gold
from bioclinical.inference.redaction_files import Placeholders, report_path, write_redacted
from bioclinical.inference.surrogates import Surrogates

if TYPE_CHECKING:
    from bioclinical.inference.predictor import Predictor


def main() -> None:
    args = parse_args()
    if args.audit:
        audit(args)
    else:
        predict(args)


def predict(args: argparse.Namespace) -> None:
    """Writes the answers for the texts of --input, and the redacted texts where asked for."""
    output, redact = Path(args.output), args.redact and Path(args.redact)
    check_outputs(output, redact, args.overwrite)
    columns = columns_of(args, text_b=args.text_b_column, patient=args.patient_column)
    if args.question and args.text_b_column:
        raise UserError("--question asks all texts the same; leave out --text_b_column")
    point = operating_point(args)
    replacements = Surrogates() if args.surrogates else Placeholders()
    documents = input_documents(args, columns)
    if args.question:
        documents = [dataclasses.replace(document, text_b=args.question) for document in documents]

    from bioclinical.inference.resumable import continue_predictions

    predictor = load_predictor(args, point)
    predictor.check_texts(bool(args.text_b_column or args.question))
    if redact:
        predictor.require_spans("--redact", args.model)
    make_folder(output.parent)
    decisive = (predictor.identity, args.question, point, args.abstain_below)
    partial = partial_path(output, Path(args.input), columns, *decisive)
    predictions = continue_predictions(partial, predictor, documents)
    os.replace(partial, output)
    if redact:
        write_redacted(redact, documents, predictions, replacements, is_table=not args.input.endswith(".txt"))
    notes = {
        "empty": sum(document.is_empty for document in documents),
        "with an abstention": predictor.documents_abstained,
        f"cut at {predictor.coder.max_length} tokens": predictor.documents_cut,
    }
    counted = "".join(f", {count:,} of them {what}" for what, count in notes.items() if count)
    print(f"{len(documents):,} documents{counted}: {output}")


def audit(args: argparse.Namespace) -> None:
    """Writes and prints how much of what is marked in --audit the model finds."""
    output = Path(args.output)
    refuse_existing([output], args.overwrite)
    notes = read_gold(Path(args.audit), args.text_column, args.id_column)

    from bioclinical.inference.resumable import chunks_left

    predictor = load_predictor(args, operating_point(args))
    predictor.require_spans("--audit", args.model)
    chunks = chunks_left([note.document for note in notes], 0)
    predictions = [answer for chunk, on_progress in chunks for answer in predictor.predict(chunk, on_progress)]
    result = {"model": args.model, "identity": predictor.identity, "gold": args.audit} | audited(notes, predictions)
    write_json(output, result)
    width = max(map(len, result["recall"])) + 2
    print("type".ljust(width) + "   marked    found   recall  95 % interval")
    for kind, row in result["recall"].items():
        low, high = (f"{100 * bound:.1f}" for bound in row["interval"])
        counts = f"{row['entities']:9,}{row['found']:9,}{100 * row['recall']:9.1f}"
        print(f"{kind.ljust(width)}{counts}  {low} to {high}")
    print(f"{len(notes):,} notes, {len(result['misses']):,} misses (ids and offsets, no text): {output}")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Predictions of a model saved by main.py --save_model on raw text.")
    parser.add_argument("--model", required=True, help="the saved model's folder")
    parser.add_argument(
        "--output", required=True, help="JSON lines: ids and predictions, or written texts; of --audit JSON"
    )
    add_input_arguments(parser, required=False)
    parser.add_argument("--text_b_column", help="of the second texts, for a model that was trained on pairs")
    parser.add_argument("--question", help="for a model that answers questions: one question to all texts")
    parser.add_argument("--runtime", choices=RUNTIMES, default="torch", help="onnx: a folder of export_onnx")
    parser.add_argument(
        "--operating_point", metavar="FILE", help="JSON with temperature and thresholds, in place of the model's own"
    )
    parser.add_argument("--base", metavar="MODEL", help="of an adapter: the model it was trained on, where it is now")
    parser.add_argument(
        "--abstain_below", type=fraction, metavar="P", help="answers less probable than P are abstentions"
    )
    redaction = parser.add_argument_group("redaction")
    redaction.add_argument("--redact", metavar="FILE", help="write the texts, each entity replaced by its [type]")
    redaction.add_argument("--surrogates", action="store_true", help="with --redact: plausible names, dates, ...")
    redaction.add_argument("--patient_column", help="with --surrogates: whose texts agree (default: each for itself)")
    redaction.add_argument(
        "--audit", metavar="GOLD", help="recall on marked notes: a brat folder, or .jsonl with text and entities"
    )
    args = parser.parse_args()
    if bool(args.input) == bool(args.audit):
        parser.error("one of --input and --audit is required")
    if args.redact and args.audit:
        parser.error("--redact needs --input, not --audit")
    if args.surrogates and not args.redact:
        parser.error("--surrogates needs --redact FILE")
    if args.patient_column and not args.surrogates:
        parser.error("--patient_column needs --surrogates")
    return args


def operating_point(args: argparse.Namespace) -> Any:
    """The content of --operating_point, None without one. Raises UserError where it is no JSON."""
    if args.operating_point is None:
        return None
    try:
        return json.loads(read_utf8(Path(args.operating_point)))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{args.operating_point}' is no JSON file") from error


def load_predictor(args: argparse.Namespace, point: Any) -> "Predictor":
    """The model that the arguments name."""
    from bioclinical.encoders.source import Source
    from bioclinical.inference.predictor import Predictor

    return Predictor(Source(args.model), args.batch_size, point, args.abstain_below, args.runtime, args.base)


def check_outputs(output: Path, redact: Path | None, overwrite: bool) -> None:
    """Raises UserError where a file would be replaced unasked, or both outputs are one file."""
    if redact and redact.resolve() == output.resolve():
        raise UserError(f"--output and --redact are the same file ('{output}'); name two")
    refuse_existing((output, redact, redact and report_path(redact)), overwrite)


def command() -> None:
    """The console command bioclinical-predict."""
    run_cli(main)


if __name__ == "__main__":
    command()
