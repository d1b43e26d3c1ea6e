"""Where the recipes are, and MDS written by its own library."""

from pathlib import Path

from repository import ROOT
from streaming import MDSWriter

CONFIGS = ROOT / "pretraining_resources" / "configs"


def write_mds(folder: Path, columns: dict[str, str], samples: list[dict], **options) -> Path:
    with MDSWriter(
        out=str(folder), columns=columns, size_limit=options.pop("size_limit", 1 << 14), **options
    ) as writer:
        for sample in samples:
            writer.write(sample)
    return folder
