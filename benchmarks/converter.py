"""Speed and memory of the CSV -> MDS converter against the tokenizer alone and against a plain script.

    python benchmarks/converter.py --csv notes.csv [more.csv] --tokenizer DIR [--megabytes 100] [--large_megabytes 1000]

The CSV files (column notes) are repeated up to the given size. Every side runs in a process of its own, in turns,
--repeats times, and is timed from after its imports and the loading of its tokenizer to its end; the best run counts.
  ceiling       encode_batch over all texts in memory, on all cores, results thrown away: no reading, no writing
  ceiling_fast  the same with encode_batch_fast, which leaves out character offsets
  convert_N     this repository's converter with N workers, reading back and verification included
  plain         row by row: datasets in streaming mode, tokenizer call, MDSWriter
"""

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bioclinical.files import sha256_of_file, write_json

CHUNK = 1000  # texts per call of the ceiling; one call over all would need several GB
CONCAT_TOKENS = 8192


def main() -> None:
    args = parse_args()
    if args.side:
        print(json.dumps(run_side(args.side, Path(args.csv[0]), args.tokenizer)))
        return
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        medium = repeat(args.csv, Path(scratch) / "notes.csv", args.megabytes)
        cores = os.cpu_count() or 1
        sides = ["ceiling", "ceiling_fast", "convert_1", f"convert_{cores}", "plain"]
        runs: dict[str, list[dict]] = {side: [] for side in dict.fromkeys(sides)}
        for _ in range(args.repeats):
            for side in runs:
                runs[side].append(in_process(side, medium, args.tokenizer))
                print(side, runs[side][-1], flush=True)
        sizes = {"medium_bytes": medium.stat().st_size}
        if args.large_megabytes:
            large = repeat(args.csv, Path(scratch) / "large.csv", args.large_megabytes)
            sizes["large_bytes"] = large.stat().st_size
            runs["large"] = [in_process(f"convert_{cores}", large, args.tokenizer)]
            print("large", runs["large"], flush=True)
    write_json(args.out, summary(runs, sizes, cores) | {"csv": [Path(name).name for name in args.csv]})
    print(args.out)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Benchmark of the converter.")
    parser.add_argument("--csv", nargs="+", required=True, help="files with a column notes")
    parser.add_argument("--tokenizer", required=True, help="hub id or folder")
    parser.add_argument("--megabytes", type=float, default=100)
    parser.add_argument("--large_megabytes", type=float, default=0, help="a larger input, once (0: none)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scratch", help="folder for temporary data (default: the system's)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "converter.json")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser.parse_args()


def repeat(sources: list[str], target: Path, megabytes: float) -> Path:
    """The notes of all sources, again and again, up to the size."""
    texts = [text for source in sources for text in read_notes(Path(source))]
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["notes"])
        while file.tell() < megabytes * 1e6:
            writer.writerows([text] for text in texts)
    return target


def read_notes(path: Path) -> list[str]:
    with open(path, encoding="utf-8", newline="") as file:
        return [row["notes"] for row in csv.DictReader(file) if row["notes"].strip()]


def in_process(side: str, path: Path, tokenizer: str) -> dict:
    """One side's numbers, from a process of its own."""
    command = [sys.executable, __file__, "--csv", str(path), "--tokenizer", tokenizer, "--side", side]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1]) | {"process_s": time.perf_counter() - started}


def run_side(side: str, path: Path, tokenizer_name: str) -> dict:
    """Runs one side in this process: tokens (special ones left out), seconds, peak memory, and what it wrote."""
    from bioclinical.mds.tokens import use_threads

    kind, _, workers = side.partition("_")
    use_threads(int(workers) if workers.isdigit() else os.cpu_count() or 1)
    from bioclinical.text.tokenization import load_tokenizer

    tokenizer = load_tokenizer(tokenizer_name)
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        if kind == "ceiling":
            encode = getattr(tokenizer.backend_tokenizer, "encode_batch_fast" if workers == "fast" else "encode_batch")
            texts = read_notes(path)
            started, cpu_started = time.perf_counter(), time.process_time()
            tokens, sha256 = ceiling(texts, encode), None
        elif kind == "convert":
            from bioclinical.mds.conversion import Conversion
            from bioclinical.mds.settings import MdsSettings

            settings = MdsSettings(concat_tokens=CONCAT_TOKENS)
            started, cpu_started = time.perf_counter(), time.process_time()
            conversion = Conversion(str(path), Path(scratch), settings, tokenizer, "measured")
            counts = conversion.run(Path(scratch) / "counts.txt", int(workers), None).counts["train"]
            tokens, sha256 = counts.tokens - 2 * counts.samples, shards_sha256(Path(scratch) / path.stem)
        else:
            from datasets import load_dataset
            from streaming import MDSWriter

            started, cpu_started = time.perf_counter(), time.process_time()
            tokens, sha256 = plain(path, tokenizer, Path(scratch) / "plain", load_dataset, MDSWriter), None
        elapsed_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "tokens": tokens,
        "elapsed_s": elapsed_s,
        "cpu_s": cpu_s,
        "tokens_per_s": tokens / elapsed_s,
        "peak_memory_bytes": peak,
        "shards_sha256": sha256,
        "load_average": os.getloadavg()[0],
    }


def ceiling(texts: list[str], encode) -> int:
    """Tokens of all texts."""
    return sum(
        len(encoding)
        for at in range(0, len(texts), CHUNK)
        for encoding in encode(texts[at : at + CHUNK], add_special_tokens=False)
    )


def plain(path: Path, tokenizer, out: Path, load_dataset, writer_class) -> int:
    """The script one would write first: stream rows, tokenise each, cut, wrap, write."""
    import numpy as np

    bos, eos = tokenizer.cls_token_id, tokenizer.sep_token_id
    rows = load_dataset("csv", data_files=str(path), split="train", streaming=True)
    tokens = 0
    with writer_class(columns={"input_ids": "ndarray:uint16"}, out=str(out), hashes=["sha256"]) as writer:
        for row in rows:
            ids = tokenizer(row["notes"], add_special_tokens=False, verbose=False)["input_ids"]
            tokens += len(ids)
            for at in range(0, len(ids), CONCAT_TOKENS - 2):
                sample = [bos, *ids[at : at + CONCAT_TOKENS - 2], eos]
                writer.write({"input_ids": np.array(sample, dtype=np.uint16)})
    return tokens


def shards_sha256(folder: Path) -> list[str]:
    """Hashes of the shard files, in order."""
    return [sha256_of_file(shard) for shard in sorted(folder.glob("*.mds"))]


def summary(runs: dict[str, list[dict]], sizes: dict[str, int], cores: int) -> dict:
    """Best run per side, the ratios asked about, and all runs."""
    from bioclinical.runtime import provenance

    best = {side: max(results, key=lambda run: run["tokens_per_s"]) for side, results in runs.items()}
    speed = {side: run["tokens_per_s"] for side, run in best.items()}
    full = f"convert_{cores}"
    tokens = {run["tokens"] for side, results in runs.items() if side != "large" for run in results}
    hashes = {tuple(run["shards_sha256"]) for side in ("convert_1", full) for run in runs[side]}
    return {
        "tokens_per_s": speed,
        "share_of_ceiling": speed[full] / speed["ceiling"],
        "share_of_ceiling_fast": speed[full] / speed["ceiling_fast"],
        "times_plain": speed[full] / speed["plain"],
        "times_one_worker": speed[full] / speed["convert_1"],
        "same_token_count_on_all_sides": len(tokens) == 1,
        "same_bytes_for_any_workers": len(hashes) == 1,
        "peak_memory_bytes": {side: max(run["peak_memory_bytes"] for run in results) for side, results in runs.items()},
        **sizes,
        "runs": runs,
        "hardware": provenance.hardware(),
        "versions": provenance.installed_versions(),
        "commit": provenance.git_commit(),
    }


if __name__ == "__main__":
    main()
