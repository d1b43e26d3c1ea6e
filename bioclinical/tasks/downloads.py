"""Where the public files of benchmark tasks are, file by file (downloads.json), with the size and hash of those that
were looked at. HoC, GAD and BIOSSES: what BLURB's generator writes, from a public copy of its output."""

import json
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("downloads.json")


@dataclass(frozen=True)
class RemoteFile:
    """path: below its data set's URL.  bytes, sha256: None where the file was not looked at when this was written; its
    hash is then printed, and `dataloader.py --check` compares its counts."""

    path: str
    bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Files:
    """A data set of single files: our name -> where it is below the URL."""

    url: str
    files: dict[str, RemoteFile]


FILES = {
    name: Files(entry["url"], {local: RemoteFile(**remote) for local, remote in entry["files"].items()})
    for name, entry in json.loads(FILE.read_text(encoding="utf-8")).items()
}
