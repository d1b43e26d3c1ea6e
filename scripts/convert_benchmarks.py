"""Converts a raw release into the files that its task reads, and compares their counts with the published ones.

python scripts/convert_benchmarks.py HoC-BLURB --release Hallmarks-of-Cancer --ids data_generation
"""

import argparse
from pathlib import Path

from bioclinical.errors import UserError, run_cli
from bioclinical.tasks.conversion import CONVERTERS
from bioclinical.tasks.overview import conversion_lines
from dataloader import TASKS

WITHOUT_IDS = ("AnatEM", "JNLPBA", "ChemProt-BLURB", "MMLU")


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert a raw release into a task's files.")
    parser.add_argument("task", choices=CONVERTERS, help="the task's folder")
    parser.add_argument("--release", required=True, metavar="DIR", help="the unpacked release")
    parser.add_argument("--ids", metavar="DIR", help="where BLURB's lists are: the unpacked data_generation.tar.gz")
    parser.add_argument("--data_dir", default="data/raw", help="default: data/raw")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    args = parser.parse_args()
    out = Path(args.data_dir) / args.task
    if out.exists() and any(out.iterdir()) and not args.overwrite:
        raise UserError(f"'{out}' is there already; --overwrite replaces it")
    if args.ids is None and args.task not in WITHOUT_IDS:
        raise UserError(f"--ids is needed: the split of {args.task} is BLURB's (data_generation.tar.gz)")
    for flag, folder in (("--release", args.release), ("--ids", args.ids)):
        if folder and not Path(folder).is_dir():
            raise UserError(f"{flag}: there is no folder '{folder}'")
    CONVERTERS[args.task](Path(args.release), Path(args.ids) if args.ids else None, out)
    print(f"written: {out}")
    print("\n".join(conversion_lines(TASKS, args.task, Path(args.data_dir))))


if __name__ == "__main__":
    run_cli(main)
