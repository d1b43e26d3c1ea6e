"""A fine-tuned model on raw text: labels with probabilities, numbers, entities with character offsets, written texts.

python -m bioclinical.predict --model DIR --input notes.csv --output predictions.jsonl [--redact redacted.jsonl]
"""

import argparse
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from bioclinical.arguments import fraction
from bioclinical.errors import UserError, run_cli
from bioclinical.files import make_folder, read_utf8, write_text
from bioclinical.inference.arguments import (
    add_input_arguments,
    columns_of,
    input_documents,
    partial_path,
    refuse_existing,
)
from bioclinical.inference.documents import Document
from bioclinical.inference.redact import redacted


def main() -> None:
    args = parse_args()
    output = Path(args.output)
    check_outputs(output, args.redact and Path(args.redact), args.overwrite)
    columns = columns_of(args, text_b=args.text_b_column)
    if args.question and args.text_b_column:
        raise UserError("--question asks all texts the same; leave out --text_b_column")
    point = read_json(Path(args.operating_point)) if args.operating_point else None
    documents = input_documents(args, columns)
    if args.question:
        documents = [dataclasses.replace(document, text_b=args.question) for document in documents]

    from bioclinical.encoders.source import Source
    from bioclinical.inference.predictor import Predictor
    from bioclinical.inference.resumable import continue_predictions

    predictor = Predictor(Source(args.model), args.batch_size, point, args.abstain_below)
    predictor.check_texts(bool(args.text_b_column or args.question))
    if args.redact and not predictor.problem.finds_spans:
        raise UserError(f"--redact needs a model that finds entities; '{args.model}' answers for whole texts")
    make_folder(output.parent)
    decisive = (predictor.identity, args.question, point, args.abstain_below)
    partial = partial_path(output, Path(args.input), columns, *decisive)
    predictions = continue_predictions(partial, predictor, documents)
    os.replace(partial, output)
    if args.redact:
        write_redacted(Path(args.redact), documents, predictions, is_table=not args.input.endswith(".txt"))
    notes = {
        "empty": sum(document.is_empty for document in documents),
        "with an abstention": predictor.documents_abstained,
        f"cut at {predictor.coder.max_length} tokens": predictor.documents_cut,
    }
    counted = "".join(f", {count:,} of them {what}" for what, count in notes.items() if count)
    print(f"{len(documents):,} documents{counted}: {output}")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Predictions of a model saved by main.py --save_model on raw text.")
    parser.add_argument("--model", required=True, help="the saved model's folder")
    add_input_arguments(parser)
    parser.add_argument("--output", required=True, help="JSON lines: ids and predictions, or written texts")
    parser.add_argument("--text_b_column", help="of the second texts, for a model that was trained on pairs")
    parser.add_argument("--question", help="for a model that answers questions: one question to all texts")
    parser.add_argument("--redact", metavar="FILE", help="write the texts, each entity replaced by its [type]")
    parser.add_argument(
        "--operating_point", metavar="FILE", help="JSON with temperature and thresholds, in place of the model's own"
    )
    parser.add_argument(
        "--abstain_below", type=fraction, metavar="P", help="answers less probable than P are abstentions"
    )
    return parser.parse_args()


def read_json(path: Path) -> Any:
    """A file's content. Raises UserError where it is no JSON."""
    try:
        return json.loads(read_utf8(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' is no JSON file") from error


def check_outputs(output: Path, redact: Path | None, overwrite: bool) -> None:
    """Raises UserError where a file would be replaced unasked, or both outputs are one file."""
    if redact and redact.resolve() == output.resolve():
        raise UserError(f"--output and --redact are the same file ('{output}'); name two")
    refuse_existing((output, redact), overwrite)


def write_redacted(path: Path, documents: list[Document], predictions: list[dict[str, Any]], is_table: bool) -> None:
    """The redacted texts: JSON lines with the ids, or the one text of a .txt."""
    texts = [redacted(d.text, prediction["entities"]) for d, prediction in zip(documents, predictions)]
    rows = (json.dumps({"id": d.id, "text": text}, ensure_ascii=False) for d, text in zip(documents, texts))
    write_text(path, "".join(row + "\n" for row in rows) if is_table else texts[0])


def command() -> None:
    """The console command bioclinical-predict."""
    run_cli(main)


if __name__ == "__main__":
    command()
