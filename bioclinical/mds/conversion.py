"""One input file -> one tokenised MDS folder per split: reading, encoding and writing overlap; resumable at any moment.

The order of events makes an interruption harmless: shard file, journal, ..., read back, statistics, index.json, line in
the token counts file, journal removed. A run that finds a journal continues it; one that finds finished folders of the
same input and settings leaves them alone.
"""

import errno
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.files import make_folder, remove, sha256_of_file, write_json
from bioclinical.mds.shards import INDEX, Journal, SplitWriter
from bioclinical.mds.splits import split_names, split_of
from bioclinical.mds.statistics import Counts
from bioclinical.mds.tokens import Encoder, choose_wrapping, tokenizer_sha256
from bioclinical.mds.verify import SpotTexts, verify_split
from bioclinical.runtime import provenance
from bioclinical.text.tables import Format, TextReader, TextRow, stem_and_suffix

# Large enough that the threads of a batch finish close together, small enough that memory stays flat.
BATCH_CHARACTERS_PER_WORKER = 250_000
# Batches being encoded at once: the next one fills the threads that the last documents of the former leave idle.
BATCHES_AT_ONCE = 2


@dataclass(frozen=True)
class Settings:
    """Everything that decides the bytes of the output, beside the input and the tokenizer."""

    format: Format = field(default_factory=Format)
    concat_tokens: int = 8192
    bos_text: str = "[CLS]"
    eos_text: str = "[SEP]"
    compression: str | None = None
    eval_fraction: float = 0.0
    size_limit: int = 1 << 26


@dataclass(frozen=True)
class Outcome:
    """A finished input: counts per split, rows skipped by reason, documents compared at the end."""

    stem: str
    counts: dict[str, Counts]
    skipped: dict[str, int]
    compared: int
    was_finished: bool = False


@dataclass
class Batch:
    """Consecutive rows that still have to be tokenised, and how far the input was read after them."""

    rows: list[TextRow] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    characters: int = 0
    rows_read: int = 0
    bytes_read: int = 0


class Conversion:
    """The conversion of one input into `<out_dir>/<stem>`, or `<out_dir>/{train,eval}/<stem>` with an eval split."""

    def __init__(self, source: str, out_dir: Path, settings: Settings, tokenizer: PreTrainedTokenizerFast, name: str):
        self.source = source
        self.stem = stem_and_suffix(Path(source))[0]
        self.out_dir = out_dir
        self.settings = settings
        self.tokenizer = tokenizer
        self.tokenizer_name = name
        wrapping = choose_wrapping(tokenizer, settings.concat_tokens, settings.bos_text, settings.eos_text)
        self.encoder = Encoder(tokenizer, wrapping)
        names = split_names(settings.eval_fraction)
        self.roots = {split: out_dir / split if len(names) > 1 else out_dir for split in names}
        self.work = out_dir / f".{self.stem}.unfinished"
        self.journal_path = self.work / "journal"
        # Not on_bad_rows: what was written before the first bad row is the same with either value.
        self.identity = {
            **{key: value for key, value in asdict(settings).items() if key != "format"},
            **{key: value for key, value in asdict(settings.format).items() if key != "on_bad_rows"},
            "tokenizer_sha256": tokenizer_sha256(tokenizer),
            "input_bytes": os.path.getsize(source),
            "input_mtime_ns": os.stat(source).st_mtime_ns,
        }

    def run(self, counts_file: Path, workers: int, row_count: int | None) -> Outcome:
        """Converts, continues or recognises as finished; adds the input's line to `counts_file` exactly once."""
        finished = self.finished_outcome()
        if finished:
            remove(self.work)
            return finished
        make_folder(self.work)
        try:
            with FileLock(self.work / "lock", timeout=0):
                journal = self.open_journal()
                outcome = self.convert(journal, counts_file, workers, row_count)
                self.journal_path.unlink()
        except Timeout as error:
            raise UserError(
                f"another process is converting '{self.source}' into '{self.out_dir}'; wait for it"
            ) from error
        remove(self.work)
        return outcome

    def stats_path(self, split: str) -> Path:
        return self.roots[split] / f"{self.stem}.stats.json"

    def finished_outcome(self) -> Outcome | None:
        """The outcome of an earlier run of this input with these settings, if there is one and it is complete."""
        if self.journal_path.exists():
            return None
        counts, skipped = {}, {}
        for split, root in self.roots.items():
            if not self.stats_path(split).is_file():
                return None
            stats = json.loads(self.stats_path(split).read_text(encoding="utf-8"))
            counts[split] = Counts.from_json(stats["counts"])
            skipped = stats["skipped_rows"]
            if counts[split].documents and not (root / self.stem / INDEX).is_file():
                return None
            self.refuse_other(stats["identity"], stats["input_sha256"], f"'{root / self.stem}' holds the data set")
        return Outcome(self.stem, counts, skipped, 0, was_finished=True)

    def refuse_other(self, former: dict[str, Any], input_sha256: str | None, what: str) -> None:
        """Raises UserError naming what differs between this conversion and the one found in the output."""
        different = [key for key, value in self.identity.items() if former.get(key) != value]
        if different == ["input_mtime_ns"] and input_sha256 == sha256_of_file(Path(self.source)):
            return
        if different:
            shown = ", ".join(f"{key} {former.get(key)!r} (now {self.identity[key]!r})" for key in different)
            raise UserError(
                f"{what} of another input or other settings: {shown}. Choose another --out_dir, or delete "
                + ", ".join(f"'{path}'" for path in (*(root / self.stem for root in self.roots.values()), self.work))
            )

    def open_journal(self) -> Journal:
        """The journal to continue, or a new one. Raises UserError where the output is not this conversion's."""
        journal = Journal.load(self.journal_path)
        if journal and any(journal.shards.values()):
            self.refuse_other(journal.settings, None, f"'{self.work}' holds the interrupted conversion")
            return journal
        for root in self.roots.values():
            folder = root / self.stem
            if not journal and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise UserError(
                    f"'{folder}' holds something else than an interrupted conversion; choose another --out_dir, "
                    "or move it away"
                )
        journal = Journal(self.journal_path, self.identity, {split: [] for split in self.roots})
        journal.save()
        return journal

    def convert(self, journal: Journal, counts_file: Path, workers: int, row_count: int | None) -> Outcome:
        """The work itself, in the order that the module's docstring names."""
        writers = {split: self.open_writer(split, journal) for split in self.roots}
        reader, spots = TextReader(Path(self.source), self.settings.format), SpotTexts()
        try:
            with self.progress(row_count) as bar:
                for batch, encoded in self.encoded(self.batches(reader, writers, spots, workers)):
                    write_batch(batch, encoded, writers, spots)
                    show_progress(bar, batch, encoded, by_rows=row_count is not None)
        finally:
            reader.close()
        if reader.raw.bytes_read != self.identity["input_bytes"]:
            raise UserError(f"'{self.source}' changed while it was read; run again when it is complete")
        for writer in writers.values():
            writer.flush(reader.row_count)
        counts = {split: writer.counts for split, writer in writers.items()}
        if not sum(count.documents for count in counts.values()):
            remove(self.work)
            raise UserError(f"'{self.source}' has no usable row: {described(reader)}; nothing was written")
        compared = sum(
            verify_split(writer.folder, writer.records, self.encoder, self.tokenizer, spots.texts)
            for writer in writers.values()
        )
        for split, writer in writers.items():
            self.publish(split, writer, reader)
        append_once(counts_file, f"{self.source} {sum(count.tokens for count in counts.values()):,}\n", journal)
        return Outcome(self.stem, counts, dict(reader.skipped), compared)

    def open_writer(self, split: str, journal: Journal) -> SplitWriter:
        """The writer of a split, standing after its last complete shard."""
        folder, settings = self.roots[split] / self.stem, self.settings
        records = journal.shards[split]
        writer = SplitWriter(folder, records, journal, self.encoder.dtype, settings.compression, settings.size_limit)
        writer.drop_incomplete()
        return writer

    def publish(self, split: str, writer: SplitWriter, reader: TextReader) -> None:
        """Writes a split's statistics, then its index."""
        make_folder(self.roots[split])
        # By way of the work folder, which is removed at the end with whatever a kill has left in it.
        write_json(self.work / "stats", self.statistics(reader, writer.counts))
        os.replace(self.work / "stats", self.stats_path(split))
        writer.write_index()

    def batches(
        self, reader: TextReader, writers: dict[str, SplitWriter], spots: SpotTexts, workers: int
    ) -> Iterator[Batch]:
        """The rows that complete shards do not cover yet, in order; a row covered gives its text for a spot check."""
        wanted = {row for writer in writers.values() for record in writer.records for row, _, _ in record.spot_checks}
        next_rows = {split: writer.next_row for split, writer in writers.items()}
        batch = Batch()
        for row in reader.texts():
            split = split_of(row, self.settings.eval_fraction)
            if row.number < next_rows[split]:
                if row.number in wanted:
                    spots.offer(row.number, row.text)
                continue
            batch.rows.append(row)
            batch.splits.append(split)
            batch.characters += len(row.text)
            if batch.characters >= BATCH_CHARACTERS_PER_WORKER * workers:
                batch.rows_read, batch.bytes_read = reader.row_count, reader.raw.bytes_read
                yield batch
                batch = Batch()
        batch.rows_read, batch.bytes_read = reader.row_count, reader.raw.bytes_read
        yield batch

    def encoded(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, list]]:
        """Each batch with its samples, in order, while the following ones are already being read and encoded."""
        waiting: deque = deque()
        pool = ThreadPoolExecutor(BATCHES_AT_ONCE)
        try:
            for batch in batches:
                waiting.append((batch, pool.submit(self.encoder.encode, [row.text for row in batch.rows])))
                if len(waiting) > BATCHES_AT_ONCE + 1:
                    first, future = waiting.popleft()
                    yield first, future.result()
            for batch, future in waiting:
                yield batch, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def statistics(self, reader: TextReader, counts: Counts) -> dict[str, Any]:
        """What stands beside the shards: what they are made of and from what."""
        return {
            "input": self.source,
            "input_sha256": reader.raw.sha256.hexdigest(),
            "rows": reader.row_count,
            "skipped_rows": dict(sorted(reader.skipped.items())),
            "counts": counts.to_json(),
            "tokenizer": self.tokenizer_name,
            "dtype": self.encoder.dtype.name,
            "identity": self.identity,
            "versions": provenance.installed_versions(),
        }

    def progress(self, row_count: int | None) -> tqdm:
        """A bar over rows where their number was given, else over the bytes of the file."""
        unit = {"total": row_count, "unit": " rows"} if row_count else {
            "total": os.path.getsize(self.source), "unit": "B", "unit_scale": True,
        }  # fmt: skip
        # Into a log file (no terminal) a line every half minute is enough.
        return tqdm(desc=self.stem, mininterval=0.5 if sys.stderr.isatty() else 30, **unit)


def write_batch(batch: Batch, encoded: list, writers: dict[str, SplitWriter], spots: SpotTexts) -> None:
    """Hands every document to the writer of its split."""
    for row, split, samples in zip(batch.rows, batch.splits, encoded):
        if writers[split].add(row.number, samples):
            spots.offer(row.number, row.text)


def show_progress(bar: tqdm, batch: Batch, encoded: list, by_rows: bool) -> None:
    """Moves the bar to where the input was read for this batch; shows rows/s and tokens/s of this run."""
    bar.tokens = getattr(bar, "tokens", 0) + sum(len(sample) for samples in encoded for sample in samples)
    bar.rows = getattr(bar, "rows", 0) + len(batch.rows)
    elapsed_s = max(time.time() - bar.start_t, 1e-9)
    bar.set_postfix_str(f"{bar.rows / elapsed_s:,.0f} rows/s, {bar.tokens / elapsed_s:,.0f} tokens/s", refresh=False)
    bar.update((batch.rows_read if by_rows else batch.bytes_read) - bar.n)


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


def described(reader: TextReader) -> str:
    """How many rows were read and why they were skipped, for a sentence."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reader.skipped.items()))
    return f"{reader.row_count:,} rows" + (f" ({reasons})" if reasons else "")
