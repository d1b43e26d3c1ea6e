"""Shows what a finished MDS folder holds and checks its shards; text only where it is asked for.

python pretraining_resources/inspect_mds.py tokenized_datasets/train [--max_seq_len 8192]
"""

import argparse
from pathlib import Path

import numpy as np

from bioclinical.errors import RunFailed, UserError, run_cli
from bioclinical.mds.index import read_index
from bioclinical.pretraining.data.batch_sizes import geometry_of, train_batch_sizes
from bioclinical.pretraining.data.packer import Geometry
from bioclinical.pretraining.recipe.load import load_recipe
from bioclinical.pretraining.recipe.schema import Recipe

ENCODINGS = ("ndarray:uint16", "ndarray:uint32")
SEQUENCES_PER_BATCH = 576  # without a recipe: that of the published ones, in rows of one sequence


def main() -> None:
    args = parse_args()
    if args.max_seq_len < 3:
        raise UserError(f"--max_seq_len {args.max_seq_len} must be 3 or more")
    recipe = load_recipe(args.recipe, args.overrides) if args.recipe else None
    infos = read_index(args.dir)
    if not sum(info["samples"] for info in infos):
        raise UserError(f"'{args.dir}' holds no samples; convert some documents into it")
    columns = {tuple(info["column_names"]) for info in infos}
    if columns != {("input_ids",)} or not all(info["column_encodings"][0] in ENCODINGS for info in infos):
        raise UserError(f"'{args.dir}' is not tokenised MDS with the one column input_ids; convert the data again")
    from bioclinical.mds.inspection import all_lengths, damaged_shards  # streaming imports torch

    if damaged := damaged_shards(args.dir, infos):
        raise RunFailed(f"{len(damaged)} of {len(infos)} shards are damaged: " + "; ".join(damaged))
    lengths = all_lengths(args.dir, infos)
    if not lengths.sum():
        raise UserError(f"'{args.dir}' holds only samples without tokens; convert some text into it")
    print_lengths(lengths, len(infos), infos[0])
    print(packing_line(lengths, args.max_seq_len, recipe))
    if args.show_text:
        show_text(args.dir, infos, args.show_text, args.tokenizer)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Counts, lengths, packing and hash check of a tokenised MDS folder.")
    parser.add_argument("dir", type=Path, help="a data set's folder, or a folder with a root index")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="values of --recipe to change")
    parser.add_argument("--max_seq_len", type=int, default=8192, help="row length for packing, in ids (default: 8192)")
    parser.add_argument("--recipe", help="a pre-training YAML: pack as its run on one process will")
    parser.add_argument(
        "--show_text",
        type=int,
        default=0,
        metavar="N",
        help="decode and print the first N samples: patient text on your screen (default: 0)",
    )
    parser.add_argument("--tokenizer", default="answerdotai/ModernBERT-base", help="hub id or folder, for --show_text")
    return parser.parse_intermixed_args()


def print_lengths(lengths: np.ndarray, shards: int, info: dict) -> None:
    """Counts, quantiles and histogram."""
    from bioclinical.mds.inspection import QUANTILES, histogram_lines

    kind = f"{info['column_encodings'][0]}, compression {info['compression'] or 'none'}"
    print(f"{shards} shards intact, {len(lengths):,} samples, {lengths.sum():,} tokens ({kind})")
    print("tokens per sample: " + ", ".join(
        f"{quantile}% {value:,.0f}" for quantile, value in zip(QUANTILES, np.percentile(lengths, QUANTILES))
    ))  # fmt: skip
    print("\n".join(histogram_lines(lengths)))


def packing_line(lengths: np.ndarray, max_seq_len: int, recipe: Recipe | None) -> str:
    """How full the trainer's rows will be: those of a recipe, or rows of one sequence."""
    from bioclinical.pretraining.data.filling import filling

    if recipe:
        loader, max_seq_len = recipe.train_loader, recipe.train_loader.dataset.max_seq_len
        geometry = geometry_of(loader, train_batch_sizes(recipe, 1), 1)
        seed, shuffle = loader.dataset.shuffle_seed, loader.dataset.shuffle
    else:
        rows = max(1, min(SEQUENCES_PER_BATCH, int(lengths.sum()) // max_seq_len))
        geometry = Geometry(rows, max_seq_len, 5 * rows)
        seed, shuffle = 0, True
    longer = int((lengths > max_seq_len).sum())
    share = filling(lengths, max_seq_len, geometry, seed, shuffle)
    cut = f"; {longer:,} samples are longer and would be cut into windows" if longer else ""
    return f"packed into rows of {geometry.capacity:,}: {share:.2%} of ids are not padding{cut}"


def show_text(folder: Path, infos: list[dict], count: int, tokenizer_name: str) -> None:
    """Prints the first samples as text."""
    from bioclinical.mds.shards import COLUMN, open_shard
    from bioclinical.text.tokenization import load_tokenizer

    tokenizer = load_tokenizer(tokenizer_name)
    for info in infos:
        with open_shard(folder, info) as reader:
            for index in range(min(count, reader.samples)):
                print(f"--- {info['raw_data']['basename']} sample {index}")
                print(tokenizer.decode(reader[index][COLUMN].tolist()))
            count -= min(count, reader.samples)
        if not count:
            return


if __name__ == "__main__":
    run_cli(main)
