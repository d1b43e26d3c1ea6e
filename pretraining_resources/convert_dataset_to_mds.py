"""Converts files of notes to tokenised MDS, verified, resumable; one folder per input file.

    python pretraining_resources/convert_dataset_to_mds.py --dataset notes.csv --out_dir tokenized_datasets/train \
        --out_token_counts tokenized_datasets/train/token_counts.txt
"""

import argparse
import glob
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bioclinical.arguments import positive, size_in_bytes
from bioclinical.errors import UserError, run_cli
from bioclinical.mds.assignment import EVAL, TRAIN, split_names
from bioclinical.mds.merging import merge
from bioclinical.mds.outcome import Outcome
from bioclinical.mds.settings import LARGEST_SHARD_BYTES, MdsSettings, check_compression
from bioclinical.mds.stats_file import read_stats
from bioclinical.mds.wanted import METHODS, Wanted
from bioclinical.runtime.cores import at_most_the_cores, usable_cores
from bioclinical.text.tables import Format, TextReader, stem_and_suffix


def main() -> None:
    args = parse_args()
    settings = read_settings(args)
    wanted = read_wanted(args)
    sources = expand(args.dataset)
    for source in sources:
        check_input(source, settings.format)
    for source in wanted.exclude:
        check_input(source, replace(settings.format, text_column=wanted.exclude_column, key_column=None))
    if args.dedup_report:
        report_only(sources, settings, wanted, args.dedup_report)
        return
    for outcome in converted(sources, settings, wanted, args):
        print_outcome(outcome)
    print_next_steps(args, settings)


def report_only(sources: list[str], settings: MdsSettings, wanted: Wanted, path: Path) -> None:
    """What would be left out, to the screen and, with the rows, to a file."""
    from bioclinical.mds.selection import find, save

    found = find(sources, settings.format, wanted)
    save(found, path)
    print("\n".join(found.lines()))
    print(f"written: {path} (rows and counts, no text)")


def converted(sources: list[str], settings: MdsSettings, wanted: Wanted, args: argparse.Namespace) -> Iterator[Outcome]:
    """Converts one input after the other."""
    # Slow to import, and only wanted once the arguments and the inputs are known to be in order.
    from bioclinical.mds.conversion import Conversion
    from bioclinical.mds.tokens import use_threads
    from bioclinical.text.tokenization import load_tokenizer

    workers = at_most_the_cores(args.workers, "--workers")
    use_threads(workers)
    tokenizer = load_tokenizer(args.tokenizer)
    rows = rows_left_out(sources, settings, wanted, args.out_dir)
    conversions = [
        Conversion(source, args.out_dir, settings, tokenizer, args.tokenizer, rows.get(source)) for source in sources
    ]
    for conversion in conversions:
        yield conversion.run(args.out_token_counts, workers, args.row_count)


def rows_left_out(sources: list[str], settings: MdsSettings, wanted: Wanted, folder: Path) -> dict[str, dict[int, str]]:
    """The rows of each input that are not wanted, with the reasons; says how many."""
    if not wanted:
        return {}
    from bioclinical.mds.selection import left_out

    found = left_out(sources, settings.format, wanted, folder)
    print("\n".join(found.lines()))
    return found.rows


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Convert CSV, TSV or JSON lines to tokenised MDS.")
    # Input
    parser.add_argument("--dataset", nargs="+", required=True, help="files or globs: .csv .tsv .jsonl, each also .gz")
    parser.add_argument("--text_column", default="notes", help="column with the text (default: notes)")
    parser.add_argument("--encoding", default="utf-8", help="of the files (default: utf-8, with or without BOM)")
    parser.add_argument(
        "--on_bad_rows",
        choices=("error", "skip"),
        default="error",
        help="rows with NUL, invalid bytes or a wrong cell count: stop (default) or skip and count",
    )
    parser.add_argument(
        "--row_count", type=positive(int), help="rows, for the time estimate only (default: by the file's bytes)"
    )
    # Output
    parser.add_argument("--out_dir", type=Path, help="<out_dir>/<file stem>/ receives the shards")
    parser.add_argument("--out_token_counts", type=Path, help="text file; gets a line per input")
    parser.add_argument("--compression", help="e.g. zstd, zstd:7 (default: none); then train with streaming: true")
    parser.add_argument(
        "--size_limit",
        type=size_in_bytes(LARGEST_SHARD_BYTES),
        default="64mb",
        help="size of a shard before compression (default: 64mb)",
    )
    parser.add_argument(
        "--eval_fraction",
        type=float,
        default=0.0,
        help="share of documents for <out_dir>/eval, the rest to <out_dir>/train (default: 0)",
    )
    parser.add_argument(
        "--split_by",
        metavar="COLUMN",
        help="column whose value decides the split, e.g. a patient id (default: the text itself)",
    )
    parser.add_argument("--merge", action="store_true", help="also build the root index at the end")
    # Left out
    parser.add_argument(
        "--dedup",
        choices=METHODS,
        help="leave out documents that repeat an earlier one of any input: the same words (exact) or nearly (minhash)",
    )
    parser.add_argument(
        "--dedup_report",
        type=Path,
        metavar="FILE.json",
        help="only find what --dedup and --exclude would leave out, and write it there",
    )
    parser.add_argument(
        "--exclude",
        nargs="+",
        default=[],
        metavar="FILE",
        help="files of test texts: leave out documents that share a run of 13 words with one",
    )
    parser.add_argument("--exclude_column", default="text", help="column of --exclude with the text (default: text)")
    # Tokens
    parser.add_argument("--tokenizer", default="answerdotai/ModernBERT-base", help="hub id or folder")
    parser.add_argument(
        "--concat_tokens",
        type=positive(int),
        default=8192,
        help="most ids in a sample, special tokens included (default: 8192)",
    )
    parser.add_argument("--bos_text", default="[CLS]", help="token put before every sample (default: [CLS])")
    parser.add_argument("--eos_text", default="[SEP]", help="token put after every sample (default: [SEP])")
    parser.add_argument("--no_wrap", action="store_true", help="write neither --bos_text nor --eos_text")
    # Run time
    parser.add_argument(
        "--workers", type=positive(int), default=usable_cores(), help="tokenising threads (default: all cores)"
    )
    args = parser.parse_args()
    missing = [name for name in ("out_dir", "out_token_counts") if getattr(args, name) is None]
    if missing and not args.dedup_report:
        parser.error("the following arguments are required: " + ", ".join(f"--{name}" for name in missing))
    return args


def read_wanted(args: argparse.Namespace) -> Wanted:
    """What is to be left out. Raises UserError for a report on nothing."""
    wanted = Wanted(args.dedup, tuple(expand_files("--exclude", args.exclude)), args.exclude_column)
    if args.dedup_report and not wanted:
        raise UserError("--dedup_report has nothing to report; give --dedup exact, --dedup minhash or --exclude, too")
    return wanted


def read_settings(args: argparse.Namespace) -> MdsSettings:
    """The settings that decide the output. Raises UserError for a value that is not allowed."""
    check_compression(args.compression)
    if args.split_by and not args.eval_fraction:
        raise UserError("--split_by has no effect without --eval_fraction; give both")
    split_names(args.eval_fraction)
    return MdsSettings(
        format=Format(
            text_column=args.text_column,
            key_column=args.split_by,
            encoding=args.encoding,
            on_bad_rows=args.on_bad_rows,
        ),
        concat_tokens=args.concat_tokens,
        bos_text="" if args.no_wrap else args.bos_text,
        eos_text="" if args.no_wrap else args.eos_text,
        compression=args.compression,
        eval_fraction=args.eval_fraction,
        size_limit=args.size_limit,
    )


def expand(patterns: list[str]) -> list[str]:
    """The input files, globs resolved. Raises UserError where one matches nothing or two would share a folder."""
    sources = expand_files("--dataset", patterns)
    stems = Counter(stem_and_suffix(Path(source))[0] for source in sources)
    for stem, count in stems.items():
        if count > 1:
            same = ", ".join(f"'{source}'" for source in sources if stem_and_suffix(Path(source))[0] == stem)
            raise UserError(f"{same} would all be written to the folder '{stem}'; rename them or use several --out_dir")
    return sources


def expand_files(flag: str, patterns: list[str]) -> list[str]:
    """The files that paths and globs name, each once. Raises UserError where one matches nothing."""
    files = []
    for pattern in patterns:
        matches = [pattern] if os.path.exists(pattern) else sorted(glob.glob(pattern, recursive=True))
        if not matches:
            raise UserError(f"{flag} '{pattern}' matches no file")
        files += matches
    return list(dict.fromkeys(files))


def check_input(source: str, format: Format) -> None:
    """Raises UserError where a file is empty or lacks a column, before any long work has begun."""
    reader = TextReader(Path(source), format)
    reader.check_columns()
    reader.close()


def print_outcome(outcome: Outcome) -> None:
    """One line per split, and what was left out."""
    for split, counts in outcome.counts.items():
        name = f"{split}/{outcome.stem}" if len(outcome.counts) > 1 else outcome.stem
        print(f"{name}: {counts.documents:,} documents, {counts.samples:,} samples, {counts.tokens:,} tokens")
        if not counts.documents:
            print(f"  no document fell into {split}; a larger file or --eval_fraction gives it some")
    if outcome.was_finished:
        print("  was finished already")
    else:
        print(f"  read back: hashes and counts agree, and {outcome.compared} documents with a fresh tokenisation")
    skipped = outcome.skipped | {
        "without_tokens": sum(counts.documents_without_tokens for counts in outcome.counts.values())
    }
    if any(skipped.values()):
        print("  skipped rows: " + ", ".join(f"{count:,} {reason}" for reason, count in skipped.items() if count))


def print_next_steps(args: argparse.Namespace, settings: MdsSettings) -> None:
    """Merges or says how to, and prints the lines to set in the trainer's YAML."""
    has_eval = settings.eval_fraction > 0
    roots = [args.out_dir / split for split in split_names(settings.eval_fraction)] if has_eval else [args.out_dir]
    for root in roots:
        if not args.merge:
            print(f"build the root index: python pretraining_resources/merge_mds.py {root}")
        elif any(root.glob("*/index.json")):
            merged = merge(root)
            print(f"{root}: index of {len(merged.folders)} folders, {merged.samples:,} samples")
    tokens = tokens_below(roots[0])
    print("\nin the training YAML:")
    if has_eval:
        print(f"data_local: {args.out_dir}")
    elif args.out_dir.name in (TRAIN, EVAL):
        print(f"data_local: {args.out_dir.parent}")
    else:
        print(f"data_local: {args.out_dir}  # and an empty split: in its loaders")
    print(f"max_duration: {tokens:_}tok  # 1 pass; 3 passes: {3 * tokens:_}tok")
    if settings.compression:
        print(
            "compressed shards need `streaming: true` in the loaders; ModernBERT's non-streaming reader "
            "(streaming: false) cannot read them"
        )


def tokens_below(root: Path) -> int:
    """The ids of all finished inputs below a root; a damaged file of another input is named and left out."""
    tokens = 0
    for path in root.glob("*.stats.json"):
        try:
            tokens += read_stats(path).counts.tokens
        except UserError as error:
            print(f"warning: not counted below: {error}", file=sys.stderr)
    return tokens


def command() -> None:
    """The console command bioclinical-convert."""
    run_cli(main)


if __name__ == "__main__":
    command()
