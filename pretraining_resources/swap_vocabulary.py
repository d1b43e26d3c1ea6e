"""Puts another tokenizer's vocabulary into a trained model; continue its pre-training afterwards.

python pretraining_resources/swap_vocabulary.py --model FOLDER --tokenizer FOLDER --out FOLDER
"""

import argparse
from pathlib import Path

from bioclinical.errors import UserError, run_cli
from bioclinical.text.tables import Format, TextReader


def main() -> None:
    args = parse_args()
    readers = [TextReader(path, Format(args.text_column)) for path in args.texts]
    for reader in readers:
        reader.check_columns()
    swap(args)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Give a trained model another vocabulary.")
    parser.add_argument("--model", required=True, help="folder or hub id of the trained model")
    parser.add_argument("--tokenizer", required=True, help="folder or hub id of the new tokenizer")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument(
        "--init_embeddings",
        choices=("mean", "focus"),
        default="mean",
        help="entries the old vocabulary lacks: mean of their old pieces (default), or FOCUS, learned from --texts",
    )
    parser.add_argument("--texts", nargs="+", type=Path, default=[], help="for focus: .csv .tsv .jsonl, also .gz")
    parser.add_argument("--text_column", default="notes", help="column of --texts (default: notes)")
    args = parser.parse_args()
    if (args.init_embeddings == "focus") != bool(args.texts):
        raise UserError("--init_embeddings focus and --texts belong together; give both or neither")
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())):
        raise UserError(f"--out '{args.out}' exists already; choose another folder or delete it")
    return args


def swap(args: argparse.Namespace) -> None:
    """Loads, swaps, writes and reports."""
    import transformers
    from transformers import AutoConfig

    from bioclinical.encoders.vocabulary_swap import swap_vocabulary
    from bioclinical.errors import first_line
    from bioclinical.files import atomic_path
    from bioclinical.text.tokenization import load_tokenizer
    from bioclinical.text.vocabulary_match import match_by_focus, match_by_pieces

    old, new = load_tokenizer(args.model), load_tokenizer(args.tokenizer)
    config = AutoConfig.from_pretrained(args.model)
    name = (config.architectures or ["AutoModel"])[0]
    try:
        model = getattr(transformers, name).from_pretrained(args.model)
    except Exception as error:  # a damaged file raises classes of torch, safetensors or zipfile
        raise UserError(f"the model of '{args.model}' cannot be loaded as {name} ({first_line(error)})") from error
    if args.init_embeddings == "focus":
        texts = (row.text for path in args.texts for row in TextReader(path, Format(args.text_column)).texts())
        match = match_by_focus(old, new, texts)
    else:
        match = match_by_pieces(old, new)
    swapped, report = swap_vocabulary(model, new, match)
    plain = transformers.AutoTokenizer.from_pretrained(args.tokenizer)
    with atomic_path(args.out) as partial:
        swapped.save_pretrained(partial)
        plain.save_pretrained(partial)
    print(f"{args.init_embeddings}: {report}")
    print("optimizer moments of the old table do not fit it: start the next training with a new optimizer")
    print(f"written: {args.out}")


if __name__ == "__main__":
    run_cli(main)
