"""MDS shards: written one at a time and whole, recorded in the journal, read back from their files."""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from streaming import MDSWriter
from streaming.base.compression import decompress
from streaming.base.format import reader_from_json
from streaming.base.format.mds.reader import MDSReader

from bioclinical.files import make_folder, remove, write_text
from bioclinical.mds.counts import Counts
from bioclinical.mds.index import HASH, INDEX, ShardInfo, damage, stored
from bioclinical.mds.journal import Journal, ShardRecord, SpotCheck

COLUMN = "input_ids"


@dataclass
class PendingShard:
    """The samples of the shard that is being filled."""

    samples: list[np.ndarray] = field(default_factory=list)
    bytes: int = 0
    counts: Counts = field(default_factory=Counts)
    spot_checks: list[SpotCheck] = field(default_factory=list)

    def add(self, row: int, samples: list[np.ndarray]) -> bool:
        """Adds a document; True if it is a spot check: the shard's 1st, 2nd, 4th, 8th, 16th ..."""
        self.counts.add_document(samples)
        number = self.counts.documents
        is_spot_check = bool(samples) and number & (number - 1) == 0
        if is_spot_check:
            self.spot_checks.append((row, len(self.samples), len(samples)))
        self.samples += samples
        self.bytes += sum(sample.nbytes for sample in samples)
        return is_spot_check


class SplitWriter:
    """Writes the documents of one split, in order, into shards that hold whole documents.

    Where shards end depends on the documents alone, so the files are the same however the work was divided or
    interrupted.
    """

    def __init__(
        self, folder: Path, records: list[ShardRecord], journal: Journal, dtype: np.dtype, compression: str | None,
        size_limit: int,
    ):  # fmt: skip
        self.folder = folder
        self.records = records
        self.journal = journal
        self.columns = {COLUMN: f"ndarray:{dtype.name}"}
        self.compression = compression
        self.size_limit = size_limit
        self.pending = PendingShard()

    @property
    def next_row(self) -> int:
        """The first row that the complete shards do not cover."""
        return self.records[-1].next_row if self.records else 0

    @property
    def counts(self) -> Counts:
        """Counts over everything added so far."""
        return sum((record.counts for record in self.records), self.pending.counts)

    def drop_incomplete(self) -> None:
        """Forgets damaged shards and those after them, and removes every file that is not a complete shard."""
        intact = []
        for record in self.records:
            if damage(self.folder, record.info) is not None:
                break
            intact.append(record)
        self.records[:] = intact
        self.journal.save()
        keep_only(self.folder, intact)

    def add(self, row: int, samples: list[np.ndarray]) -> bool:
        """Adds the samples of the document in this row; True if it was chosen as a spot check."""
        size = sum(sample.nbytes for sample in samples)
        if self.pending.samples and self.pending.bytes + size > self.size_limit:
            self.flush(row)
        return self.pending.add(row, samples)

    def flush(self, next_row: int) -> None:
        """Writes the pending shard: the file under its final name first, then the journal."""
        if not self.pending.samples:
            return
        make_folder(self.folder)
        # Beside the journal, so that no file of an unfinished shard is ever in a folder that others read.
        scratch = self.journal.path.parent / "shard"
        remove(scratch)
        writer = MDSWriter(
            columns=self.columns, out=str(scratch), compression=self.compression, hashes=[HASH], size_limit=None
        )
        for sample in self.pending.samples:
            writer.write({COLUMN: sample})
        writer.flush_shard()
        writer.cancel_future_jobs()  # Ends its threads; finish() would write an index for this one shard.
        info = writer.shards[0]
        written = scratch / stored(info)["basename"]
        for part in filter(None, (info["raw_data"], info["zip_data"])):
            part["basename"] = part["basename"].replace("00000", f"{len(self.records):05}", 1)
        os.replace(written, self.folder / stored(info)["basename"])
        self.records.append(ShardRecord(next_row, info, self.pending.counts, self.pending.spot_checks))
        self.journal.save()
        self.pending = PendingShard()

    def write_index(self) -> None:
        """Publishes the folder: with this file, and not before, it is a complete data set."""
        if self.records:
            infos = [record.info for record in self.records]
            write_text(self.folder / INDEX, json.dumps({"version": 2, "shards": infos}, sort_keys=True))


def keep_only(folder: Path, records: list[ShardRecord]) -> None:
    """Removes every file of a folder but these shards, and the folder itself where none is left."""
    known = {stored(record.info)["basename"] for record in records}
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.name not in known:
            remove(path)
    if folder.is_dir() and not known:
        folder.rmdir()


@contextlib.contextmanager
def open_shard(folder: Path, info: ShardInfo) -> Iterator[MDSReader]:
    """A reader of one shard's samples; a compressed one is unpacked to a temporary folder for that time."""
    if not info["zip_data"]:
        yield reader_from_json(str(folder), "", info)
        return
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / info["raw_data"]["basename"]
        raw.parent.mkdir(parents=True, exist_ok=True)
        packed = (folder / info["zip_data"]["basename"]).read_bytes()
        raw.write_bytes(decompress(info["compression"], packed))
        yield reader_from_json(scratch, "", info)


def sample_lengths(reader: MDSReader) -> np.ndarray:
    """Ids in each sample of a shard, int64, from the offsets in its header alone.

    MDS layout: sample count, offsets (uint32 each), configuration, samples; a sample of this one column is its size
    (4 bytes), a shape (1 byte, then 1, 2 or 4 bytes for the length) and the ids.
    """
    path = Path(reader.dirname) / reader.raw_data.basename
    offsets = np.fromfile(path, np.uint32, reader.samples + 1, offset=4).astype(np.int64)
    sizes = np.diff(offsets) - 5
    width = np.dtype(reader.column_encodings[0].split(":")[1]).itemsize
    lengths = (sizes - 4) // width
    for shape_bytes, limit in ((2, 1 << 16), (1, 1 << 8)):
        candidate = (sizes - shape_bytes) // width
        lengths = np.where(candidate < limit, candidate, lengths)
    return lengths
