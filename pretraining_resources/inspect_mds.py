"""Shows what a finished MDS folder holds and checks its shards; text only where it is asked for.

python pretraining_resources/inspect_mds.py tokenized_datasets/train [--max_seq_len 8192]
"""

import argparse
from pathlib import Path

import numpy as np

from bioclinical.errors import RunFailed, UserError, run_cli
from bioclinical.mds.index import read_index
from bioclinical.mds.inspection import QUANTILES, all_lengths, damaged_shards, histogram_lines, packing_efficiency
from bioclinical.mds.shards import COLUMN, open_shard
from bioclinical.text.tokenization import load_tokenizer


def main() -> None:
    args = parse_args()
    infos = read_index(args.dir)
    damaged = damaged_shards(args.dir, infos)
    if damaged:
        raise RunFailed(f"{len(damaged)} of {len(infos)} shards are damaged: " + "; ".join(damaged))
    columns = {tuple(info["column_names"]) for info in infos}
    if columns != {(COLUMN,)} or not all(info["column_encodings"][0].startswith("ndarray:uint") for info in infos):
        raise UserError(f"'{args.dir}' is not tokenised MDS with the one column {COLUMN}; convert the data again")
    print_lengths(all_lengths(args.dir, infos), len(infos), infos[0], args.max_seq_len)
    if args.show_text:
        show_text(args.dir, infos, args.show_text, args.tokenizer)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Counts, lengths, packing and hash check of a tokenised MDS folder.")
    parser.add_argument("dir", type=Path, help="a data set's folder, or a folder with a root index")
    parser.add_argument("--max_seq_len", type=int, default=8192, help="row length for packing, in ids (default: 8192)")
    parser.add_argument(
        "--show_text",
        type=int,
        default=0,
        metavar="N",
        help="decode and print the first N samples: patient text on your screen (default: 0)",
    )
    parser.add_argument("--tokenizer", default="answerdotai/ModernBERT-base", help="hub id or folder, for --show_text")
    return parser.parse_args()


def print_lengths(lengths: np.ndarray, shards: int, info: dict, max_seq_len: int) -> None:
    """Counts, quantiles, histogram and packing efficiency."""
    kind = f"{info['column_encodings'][0]}, compression {info['compression'] or 'none'}"
    print(f"{shards} shards intact, {len(lengths):,} samples, {lengths.sum():,} tokens ({kind})")
    print("tokens per sample: " + ", ".join(
        f"{quantile}% {value:,.0f}" for quantile, value in zip(QUANTILES, np.percentile(lengths, QUANTILES))
    ))  # fmt: skip
    print("\n".join(histogram_lines(lengths)))
    longer = int((lengths > max_seq_len).sum())
    print(
        f"packed into rows of {max_seq_len:,}: {packing_efficiency(lengths, max_seq_len):.2%} of ids are not padding"
        + (f"; {longer:,} samples are longer and would be cut" if longer else "")
    )


def show_text(folder: Path, infos: list[dict], count: int, tokenizer_name: str) -> None:
    """Prints the first samples as text."""
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
