"""Memory and time of the Phenotype reader on a generated NOTEEVENTS.csv of a given size.

python benchmarks/phenotype_memory.py [--gigabytes 1.2] --output FILE.json
"""

import argparse
import csv
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from bioclinical.errors import run_cli
from bioclinical.files import make_folder, write_json
from bioclinical.runtime import provenance
from bioclinical.tasks.corpora.phenotype import LABELS

NOTES_PER_LOOK = 1000
ANNOTATED = 1600
READ = """
import sys, time
from pathlib import Path
from bioclinical.tasks.corpora.phenotype import PhenotypeReader
started = time.perf_counter()
splits = PhenotypeReader().read(Path(sys.argv[1])).splits
# Not getrusage: its peak is inherited from the process that started this one.
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024
print(sum(map(len, splits.values())), peak, time.perf_counter() - started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory and time of the Phenotype reader.")
    parser.add_argument("--gigabytes", type=float, default=1.2)
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        notes = write_raw_files(Path(folder), int(args.gigabytes * 1e9))
        size = (Path(folder) / "NOTEEVENTS.csv").stat().st_size
        run = subprocess.run([sys.executable, "-c", READ, folder], capture_output=True, text=True, check=True)
    examples, peak, seconds = run.stdout.split()
    record = {
        "command": f"python benchmarks/phenotype_memory.py --gigabytes {args.gigabytes}",
        "file_bytes": size,
        "notes": notes,
        "examples": int(examples),
        "peak_memory_bytes": int(peak),
        "seconds": round(float(seconds), 2),
        "versions": provenance.installed_versions(),
        "hardware": provenance.hardware(),
    }
    write_json(Path(args.output), record)
    print(f"{size / 1e9:.2f} GB, {notes:,} notes: {int(peak) / 1e6:.0f} MB at most, {float(seconds):.1f} s")


def write_raw_files(folder: Path, size: int) -> int:
    """Invented notes with quoted line breaks until the file has the size; returns their number."""
    rng = random.Random(0)
    words = [rng.choice(("stable", "overnight", "lungs", "clear", "diet", "afebrile")) for _ in range(300)]
    make_folder(folder)
    count = 0
    with open(folder / "NOTEEVENTS.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CATEGORY", "DESCRIPTION", "ISERROR", "TEXT"))
        while file.tell() < size:
            for _ in range(NOTES_PER_LOOK):
                count += 1
                text = " ".join(words[rng.randrange(100) :])
                writer.writerow((count, count // 3, count, "2101-01-01", "Nursing", "Report", "", f'"Note"\n{text}\n'))
    with open(folder / "ACTdb102003.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("ROW_ID", "NONE", *LABELS))
        for row_id in rng.sample(range(1, count + 1), ANNOTATED):
            writer.writerow((row_id, 0, *(int(rng.random() < 0.1) for _ in LABELS)))
    return count


if __name__ == "__main__":
    run_cli(main)
