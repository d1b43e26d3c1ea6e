"""What all commands that read raw texts have in common: the arguments of their input, outputs, unfinished work."""

import argparse
import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bioclinical.arguments import positive
from bioclinical.errors import UserError
from bioclinical.files import sha256_of_file, sha256_of_json
from bioclinical.inference.documents import Columns, Document, read_documents

RUNTIMES = ("torch", "onnx")  # the keys of bioclinical.inference.runtimes.RUNTIMES, which imports torch


def add_input_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """--input and how its texts are read, --batch_size, --overwrite."""
    parser.add_argument(
        "--input", required=required, help=".csv, .tsv, .jsonl (a text a row; also .gz), .txt (one text)"
    )
    parser.add_argument("--text_column", default="text", help="column or key of the texts (default: text)")
    parser.add_argument("--id_column", help="column or key of the ids (default: the rows' numbers from 1)")
    parser.add_argument(
        "--on_bad_rows", choices=("error", "skip"), default="error", help="damaged rows (default: error)"
    )
    parser.add_argument("--encoding", default="utf-8", help="of a table (default: utf-8)")
    parser.add_argument("--batch_size", type=positive(int), default=16, help="rows a batch (default: 16)")
    parser.add_argument("--overwrite", action="store_true", help="replace existing output files")


def columns_of(args: argparse.Namespace, **others: str | None) -> Columns:
    """The columns that the arguments name; others: those of single commands."""
    return Columns(
        text=args.text_column, id=args.id_column, encoding=args.encoding, on_bad_rows=args.on_bad_rows, **others
    )


def input_documents(args: argparse.Namespace, columns: Columns) -> list[Document]:
    """The documents of --input; says how many damaged rows were left out."""
    documents, left_out = read_documents(Path(args.input), columns)
    if left_out:
        print(f"{left_out:,} damaged rows left out")
    return documents


def refuse_existing(paths: Iterable[Path | None], overwrite: bool) -> None:
    """Raises UserError where a file would be replaced unasked."""
    for path in filter(None, paths):
        if path.exists() and not overwrite:
            raise UserError(f"'{path}' exists; choose another name or add --overwrite")


def partial_path(output: Path, input_file: Path, columns: Columns, *decisive: Any) -> Path:
    """Where unfinished work stands: other work, by input, columns and whatever else is decisive, never continues it."""
    work = sha256_of_json([*decisive, sha256_of_file(input_file), dataclasses.asdict(columns)])
    return output.with_name(f".{output.name}.{work[:8]}.partial")
