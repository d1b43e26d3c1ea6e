"""Vectors of raw texts from any encoder, and how good they are.

python -m bioclinical.embed --model M --input notes.csv --text_column notes --output vectors.npy
python -m bioclinical.embed --model M --evaluate --data_dir data/raw [--input notes.csv] --output scores.json
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioclinical.arguments import positive
from bioclinical.encoders.pooling import POOLINGS
from bioclinical.errors import UserError, run_cli
from bioclinical.files import make_folder, remove, write_json
from bioclinical.inference.arguments import (
    add_input_arguments,
    columns_of,
    input_documents,
    partial_path,
    refuse_existing,
)
from bioclinical.inference.documents import Document
from bioclinical.inference.vector_files import check_format, continue_vectors, facts_path, write_vectors
from bioclinical.tasks.catalogue import pairs
from bioclinical.tasks.example import SPLITS, Example
from bioclinical.tasks.loading import load_task
from bioclinical.tasks.splits import PAPER

if TYPE_CHECKING:
    from bioclinical.inference.embedder import Embedder

SIMILARITY_TASKS = ("BIOSSES", "MedSTS")


def main() -> None:
    args = parse_args()
    output = Path(args.output)
    documents = input_documents(args, columns_of(args)) if args.input else []
    if args.evaluate:
        evaluate(args, output, documents)
    else:
        embed(args, output, documents)


def embed(args: argparse.Namespace, output: Path, documents: list[Document]) -> None:
    """Writes the vectors of the documents."""
    check_format(output)
    refuse_existing((output, facts_path(output)), args.overwrite)
    embedder = load_embedder(args)
    facts = facts_of(args, embedder)
    make_folder(output.parent)
    decisive = {name: value for name, value in facts.items() if name != "model"}
    partial = partial_path(output, Path(args.input), columns_of(args), decisive)
    vectors = continue_vectors(partial, embedder, documents)
    write_vectors(output, [document.id for document in documents], vectors, facts)
    remove(partial)
    empty = sum(document.is_empty for document in documents)
    print(f"{len(documents):,} documents{f', {empty:,} of them empty' * bool(empty)}: {output}")


def evaluate(args: argparse.Namespace, output: Path, documents: list[Document]) -> None:
    """Writes and prints the scores of similarity tasks whose files are there, and of the documents' halves."""
    from bioclinical.inference.vector_scores import FEWEST_WORDS, halves_of, halves_scores, similarity_scores

    if output.suffix != ".json":
        raise UserError(f"--output '{output}': scores are written as .json")
    refuse_existing([output], args.overwrite)
    tasks = {name: splits for name in SIMILARITY_TASKS if (splits := similarity_task(name, args.data_dir))}
    if not tasks and not args.input:
        raise UserError(
            f"'{args.data_dir}' holds neither of {', '.join(SIMILARITY_TASKS)} and no --input is there: no work"
        )
    if args.input and sum(halves_of(document.text) is not None for document in documents) < 2:
        raise UserError(f"'{args.input}' has fewer than two texts of {FEWEST_WORDS} words to cut into halves")
    embedder = load_embedder(args)
    scores: dict[str, Any] = {}
    for name, splits in tasks.items():
        everything = [example for split in SPLITS for example in splits[split]]
        scores[f"{name}, test"] = similarity_scores(splits["test"], embedder.vectors)
        scores[f"{name}, all pairs"] = similarity_scores(everything, embedder.vectors)
    if documents:
        scores["halves of notes"] = halves_scores(documents, embedder.vectors)
    for name, values in scores.items():
        print(f"{name}: " + "  ".join(f"{key} {value:,}" for key, value in values.items()))
    write_json(output, facts_of(args, embedder) | {"scores": scores})
    print(output)


def similarity_task(name: str, data_dir: str) -> dict[str, list[Example]] | None:
    """A task's splits; None where its files are not there."""
    (task,) = (task for task in pairs.TASKS if task.name == name)
    if not all(path.is_file() for path in task.reader.raw_files(Path(data_dir) / task.folder)):
        return None
    return load_task(task, Path(data_dir), PAPER).splits


def load_embedder(args: argparse.Namespace) -> "Embedder":
    """The encoder that the arguments name."""
    from bioclinical.encoders.source import Source
    from bioclinical.inference.embedder import Embedder

    source = Source(args.model, args.revision, args.trust_remote_code)
    return Embedder(source, args.batch_size, args.pooling, args.normalize, args.max_length, args.precision)


def facts_of(args: argparse.Namespace, embedder: "Embedder") -> dict[str, Any]:
    """What decides the vectors."""
    return {
        "model": args.model,
        "model_sha256": embedder.identity,
        "pooling": embedder.pooling,
        "normalized": embedder.normalize,
        "max_length": embedder.coder.max_length,
        "dimensions": embedder.dimensions,
        "precision": embedder.precision,
    }


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Vectors of raw texts from an encoder.")
    parser.add_argument("--model", required=True, help="hub id, or folder (Hugging Face or sentence-transformers)")
    parser.add_argument("--output", required=True, help=".npy, .parquet or .jsonl; with --evaluate .json")
    parser.add_argument("--pooling", choices=POOLINGS, help="over tokens (default: the folder's own, else mean)")
    parser.add_argument("--normalize", action="store_true", help="vectors of length 1 (default: as the folder says)")
    parser.add_argument("--max_length", type=positive(int), help="tokens of a window (default: the model's)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="default: fp32 (TF32 on GPU)")
    parser.add_argument("--evaluate", action="store_true", help="score the vectors: similar pairs, halves of --input")
    parser.add_argument("--data_dir", default="data/raw", help="of similarity tasks (default: data/raw)")
    parser.add_argument("--revision", help="branch, tag or commit of a hub model")
    parser.add_argument("--trust_remote_code", action="store_true", help="run Python code that comes with a hub model")
    add_input_arguments(parser, required=False)
    args = parser.parse_args()
    if not args.input and not args.evaluate:
        parser.error("the following arguments are required: --input")
    return args


if __name__ == "__main__":
    run_cli(main)
