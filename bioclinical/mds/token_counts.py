"""The token counts file: one line for each converted input, its path and the number of ids written for it."""

import errno
import os
from pathlib import Path

from bioclinical.files import make_folder
from bioclinical.mds.journal import Journal


def append_once(path: Path, line: str, journal: Journal) -> None:
    """Adds the line to the token counts file, unless a run that was interrupted after doing so already has.

    The journal keeps the file's size from before; what stands behind it tells whether the line was added.
    """
    make_folder(path.parent)
    content = path.read_bytes() if path.exists() else b""
    if journal.counts_file_bytes is None:
        journal.counts_file_bytes = len(content)
        journal.save()
    elif line.encode("utf-8") in content[journal.counts_file_bytes :]:
        return
    if content and not content.endswith(b"\n"):
        line = "\n" + line
    # One write in append mode: several converters may share the file.
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        if os.write(descriptor, line.encode("utf-8")) < len(line.encode("utf-8")):
            os.ftruncate(descriptor, len(content))
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
