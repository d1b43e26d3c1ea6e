"""MMLU's medical subjects out of its data.tar, whose folders dev, val and test hold a file for each of 57 subjects."""

import shutil
from pathlib import Path

from bioclinical.files import atomic_path
from bioclinical.tasks.catalogue.questions import MMLU_MEDICAL
from bioclinical.tasks.conversion.common import only

PARTS = ("dev", "val", "test")


def convert(release: Path, ids: Path | None, out: Path) -> None:
    """Writes `<part>/<subject>_<part>.csv`."""
    with atomic_path(out) as partial:
        for part in PARTS:
            (partial / part).mkdir(parents=True)
            for subject in MMLU_MEDICAL:
                path = only(release, f"{part}/{subject}_{part}.csv")
                shutil.copyfile(path, partial / part / path.name)
