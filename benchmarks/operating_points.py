"""What an operating point chosen on validation does to the test: calibration error, recall at a precision, the reverse.

    python benchmarks/operating_points.py --model FOLDER --data_dir data/raw --brat FOLDER --output FILE.json

Each task is trained as main.py does it, with --calibrate; the same weights are tested with and without the point.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bioclinical.errors import run_cli
from bioclinical.files import write_json
from bioclinical.finetuning.experiment import run
from bioclinical.finetuning.settings import Settings
from bioclinical.results.store import Result, read_result
from bioclinical.runtime import provenance
from bioclinical.tasks.loading import load_task
from bioclinical.tasks.readers.brat import BratReader
from bioclinical.tasks.splits import Protocol
from bioclinical.tasks.task import Task, TaskData
from dataloader import get_task

MAIN_DEFAULTS = {
    "revision": None,
    "trust_remote_code": False,
    "overwrite": True,
    "resume": False,
    "save_model": None,
    "save_as": "model",
    "model_label": None,
    "split_seed": 42,
    "fold": None,
    "recipe": None,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Tests with and without an operating point chosen on validation.")
    parser.add_argument("--model", required=True, help="hub id or folder")
    parser.add_argument("--data_dir", help="folder with ChemProt's")
    parser.add_argument("--brat", help="folder of .txt and .ann files")
    parser.add_argument("--limit", type=int, default=400, help="examples of each split of ChemProt (default: 400)")
    parser.add_argument("--epochs", type=int, default=2, help="over the brat documents (default: 2)")
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args()
    rows = []
    for data, settings in planned(args):
        rows.append(measured(args.model, data, settings))
        record = {
            "command": "python benchmarks/operating_points.py --model MiniLM-L6 --brat maccrobat2020",
            "model": Path(args.model).name,
            "rows": rows,
            "versions": provenance.installed_versions(),
            "hardware": provenance.hardware(),
        }
        write_json(Path(args.output), record)


def planned(args: argparse.Namespace) -> Iterator[tuple[TaskData, Settings]]:
    """The tasks that were named, with the settings of their run."""
    if args.data_dir:
        data = load_task(get_task("ChemProt"), Path(args.data_dir))
        data.splits = {name: examples[: args.limit] for name, examples in data.splits.items()}
        point = {"calibrate": True, "operating_point": "precision@recall=0.7"}
        yield data, Settings(lr=2e-4, epochs=3, limit=args.limit, **point)
    if args.brat:
        folder = Path(args.brat)
        task = Task(folder.name, "token_classification", BratReader(), folder.name, "own")
        data = load_task(task, folder.parent, Protocol("strict"))
        point = {"calibrate": True, "operating_point": "recall@precision=0.5"}
        yield data, Settings(lr=1e-3, epochs=args.epochs, batch_size=4, max_length=256, **point)


def measured(model: str, data: TaskData, settings: Settings) -> dict:
    """One run: its settings, its point, and the test with and without it."""
    with tempfile.TemporaryDirectory() as folder:
        result: Result = read_result(run(namespace(model, folder), settings, data))
    names = ("ece", "micro_f1_5", "accuracy", "f1", "precision", "recall")
    tests = {"without": result["uncalibrated_test"], "with": result["metrics"]["test"]}
    found = {key: {name: test[name] for name in names if name in test} for key, test in tests.items()}
    return {
        "task": data.task.name,
        "examples": {split: len(data.splits[split]) for split in data.splits},
        "settings": settings.identity(),
        "calibration": result["calibration"],
        "test": found,
    }


def namespace(model: str, folder: str) -> argparse.Namespace:
    return argparse.Namespace(model=model, output_dir=folder, **MAIN_DEFAULTS)


if __name__ == "__main__":
    run_cli(main)
