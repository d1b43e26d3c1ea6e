"""Processor seconds to read tasks of published size, from raw files and from the kept copy, in this and another tree.

    python benchmarks/task_reading.py --output FILE.json [--before TREE]

The files are invented: ChemProt with its published numbers of rows, JNLPBA and PICO with about their numbers of words,
the sample's DEID, COS and SocialHistory repeated. Every reading is a process of its own; seconds of processor time
from its start, imports included (the splits of some tasks import `datasets`). The best of --repeats counts.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bioclinical.errors import run_cli
from bioclinical.files import make_folder, remove, write_json
from bioclinical.runtime import provenance
from scripts.make_sample_data import make_sample_data

ROOT = Path(__file__).resolve().parent.parent
FIVE = ("Phenotype", "ChemProt", "DEID", "COS", "SocialHistory")
CHEMPROT_ROWS = {"train": 19_460, "dev": 11_820, "test": 16_943}
WORDS = {  # train, development, test
    "JNLPBA": {"train": 492_000, "devel": 27_000, "test": 101_443},
    "PICO": {"train": 1_050_000, "dev": 262_268, "test": 51_784},
}
TAGS = {"JNLPBA": ("B-protein", "I-protein"), "PICO": ("I-INT", "I-INT")}
SENTENCE_WORDS = 25
COPIES = {"DEID": 20, "COS": 10, "SocialHistory": 5}
READ = """
import json, sys, time
from pathlib import Path
from bioclinical.tasks.loading import load_task
from bioclinical.tasks.splits import Protocol
from dataloader import get_task
task, folder = get_task(sys.argv[1]), Path(sys.argv[2])
data = load_task(task, folder, Protocol("paper"))
print(json.dumps([time.process_time(), sum(map(len, data.splits.values()))]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of reading tasks.")
    parser.add_argument("--before", metavar="TREE", help="a checkout of another commit, for the first five tasks")
    parser.add_argument("--repeats", type=int, default=3, help="default: 3")
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args()
    trees = {"now": ROOT} | ({"before": Path(args.before).resolve()} if args.before else {})
    with tempfile.TemporaryDirectory() as folder:
        raw = write_raw_files(Path(folder))
        rows = {
            task: measured(task, raw, trees if task in FIVE else {"now": ROOT}, args.repeats) for task in sizes(raw)
        }
    commits = {side: commit(tree) for side, tree in trees.items()}
    record = {"command": "python benchmarks/task_reading.py" + (" --before TREE" if args.before else "")}
    record |= {"commits": commits, "repeats": args.repeats, "tasks": rows}
    write_json(
        Path(args.output), record | {"versions": provenance.installed_versions(), "hardware": provenance.hardware()}
    )


def write_raw_files(folder: Path) -> Path:
    """The folder of raw files."""
    make_sample_data(folder)
    raw = folder / "raw"
    for part, count in CHEMPROT_ROWS.items():
        path = raw / "ChemProt" / f"{part}.tsv"
        header, *lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text(header + "".join(repeated(lines, count)), encoding="utf-8")
    for name, parts in WORDS.items():
        make_folder(raw / name)
        for part, count in parts.items():
            (raw / name / f"{part}.tsv").write_text(sentences(count // SENTENCE_WORDS, *TAGS[name]), encoding="utf-8")
    for name in ("id.text", "id.res"):
        path = raw / "DEID" / name
        text = path.read_text(encoding="utf-8")
        path.write_text("".join(renumbered(text, k) for k in range(COPIES["DEID"])), encoding="utf-8")
    for task in ("COS", "SocialHistory"):
        for path in list((raw / task).iterdir()):
            for k in range(1, COPIES[task]):
                path.with_name(f"{k}_{path.name}").write_bytes(path.read_bytes())
    return raw


def repeated(lines: list[str], count: int) -> list[str]:
    return [lines[i % len(lines)] for i in range(count)]


def sentences(count: int, first: str, inside: str) -> str:
    """Token and tag a line, two entities of two words a sentence."""
    words = [f"word{i}\tO" for i in range(SENTENCE_WORDS - 4)]
    entity = [f"drug\t{first}", f"name\t{inside}"]
    return ("\n".join([*words[:10], *entity, *words[10:], *entity]) + "\n\n") * count


def renumbered(text: str, copy: int) -> str:
    """The records under other patients' numbers."""
    return re.sub(r"(?<=START_OF_RECORD=)\d+", lambda match: str(int(match[0]) + 1000 * copy), text)


def sizes(raw: Path) -> dict[str, int]:
    """Task -> bytes of its raw files."""
    folders = {name: "phenotype" if name == "Phenotype" else name for name in (*FIVE, *WORDS)}
    return {name: sum(path.stat().st_size for path in (raw / folder).iterdir()) for name, folder in folders.items()}


def measured(task: str, raw: Path, trees: dict[str, Path], repeats: int) -> dict[str, object]:
    """Best seconds from raw files and from the copy, by tree (in turns), with the number of examples."""
    seconds: dict[str, list[float]] = {}
    for _ in range(repeats):
        for side, tree in trees.items():
            remove(raw.parent / "processed")
            for kind in ("raw", "copy"):
                elapsed, examples = read_in_process(task, raw, tree)
                seconds.setdefault(f"{side}_{kind}_s", []).append(elapsed)
    row = {name: round(min(values), 3) for name, values in seconds.items()}
    print(task, row, flush=True)
    return {"bytes": sizes(raw)[task], "examples": examples, **row}


def read_in_process(task: str, raw: Path, tree: Path) -> tuple[float, int]:
    environment = os.environ | {"PYTHONPATH": str(tree)}
    command = [sys.executable, "-c", READ, task, str(raw)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tree, env=environment)
    elapsed, examples = json.loads(run.stdout.splitlines()[-1])
    return elapsed, examples


def commit(tree: Path) -> str:
    command = ["git", "-C", str(tree), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    run_cli(main)
