"""Own annotated notes to a model that redacts: a folder of brat's .txt and .ann files, an encoder, notes to redact.

python examples/redaction_model.py --annotated DIR --model ENCODER --input notes.csv --out OUT [--epochs 3]
"""

import argparse
import runpy
import sys
from pathlib import Path

from bioclinical.tasks.readers.brat import BratReader
from bioclinical.tasks.task import Task
from dataloader import TASKS

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotated", type=Path, required=True, help="folder of .txt and .ann files")
    parser.add_argument("--model", required=True, help="encoder to start from: hub id or folder")
    parser.add_argument("--input", required=True, help="table with a column `notes`, to be redacted")
    parser.add_argument("--out", type=Path, required=True, help="folder for results, model and redacted notes")
    parser.add_argument("--epochs", default="3", help="default: 3")
    args = parser.parse_args()
    # An entry like those of dataloader.py; docs/adding_a_task.md says what else it may hold.
    folder, raw = args.annotated.resolve().name, args.annotated.resolve().parent
    TASKS.append(Task("OwnNotes", "token_classification", BratReader(), folder, source="Annotate notes with brat"))
    call(
        ROOT / "main.py", "--dataset", "OwnNotes", "--model", args.model, "--epochs", args.epochs, "--data_dir", raw,
        "--output_dir", args.out / "outputs", "--save_model", args.out / "model", "--overwrite",
    )  # fmt: skip
    call(
        "bioclinical.predict", "--model", args.out / "model", "--input", args.input, "--text_column", "notes",
        "--output", args.out / "entities.jsonl", "--redact", args.out / "redacted.jsonl", "--overwrite",
    )  # fmt: skip


def call(script: Path | str, *arguments: object) -> None:
    """Runs a script of this repository as its command line would, in this process, where the entry is known."""
    sys.argv = [str(script), *map(str, arguments)]
    run = runpy.run_path if isinstance(script, Path) else runpy.run_module
    run(str(script), run_name="__main__")


if __name__ == "__main__":
    main()
