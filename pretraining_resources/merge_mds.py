"""Builds or rebuilds the root index over a folder of converted data sets, so that the trainer reads them as one.

python pretraining_resources/merge_mds.py tokenized_datasets/train
"""

import argparse
from pathlib import Path

from bioclinical.errors import run_cli
from bioclinical.mds.merging import merge


def main() -> None:
    args = parse_args()
    merged = merge(args.dir)
    print(f"{args.dir / 'index.json'}: {len(merged.folders)} folders, {merged.samples:,} samples")
    for title, folders in (
        ("new since the last merge", merged.added),
        ("gone since the last merge", merged.removed),
        ("left out, because not finished (no index.json)", merged.unfinished),
    ):
        if folders:
            print(f"{title}: {', '.join(folders)}")


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build the root index of a folder of MDS folders.")
    parser.add_argument("dir", type=Path, help="folder whose sub-folders hold the data sets")
    return parser.parse_args()


if __name__ == "__main__":
    run_cli(main)
