"""One input file -> one tokenised MDS folder per split: reading, encoding and writing overlap; resumable at any moment.

The order of events makes an interruption harmless: shard file, journal, ..., read back, statistics, index.json, line in
the token counts file, journal removed. A run that finds a journal continues it; one that finds finished folders of the
same input and settings leaves them alone.
"""

import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError
from bioclinical.files import exclusive, make_folder, remove, sha256_of_file, sha256_of_json, write_json
from bioclinical.mds.assignment import split_names, split_of
from bioclinical.mds.counts import Counts
from bioclinical.mds.index import INDEX
from bioclinical.mds.journal import Journal
from bioclinical.mds.outcome import Outcome
from bioclinical.mds.settings import MdsSettings
from bioclinical.mds.shards import SplitWriter, keep_only
from bioclinical.mds.stats_file import read_stats
from bioclinical.mds.token_counts import append_once
from bioclinical.mds.tokens import Encoder, choose_wrapping, tokenizer_sha256
from bioclinical.mds.verify import SpotTexts, verify_split
from bioclinical.runtime import provenance
from bioclinical.text.tables import TextReader, TextRow, stem_and_suffix

# Large enough that the threads of a batch finish close together, small enough that memory stays flat.
BATCH_CHARACTERS_PER_WORKER = 250_000
# Batches being encoded at once: the next one fills the threads that the last documents of the former leave idle.
BATCHES_AT_ONCE = 2

Samples = list[np.ndarray]  # of one document: 1-D arrays of ids


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

    def __init__(
        self,
        source: str,
        out_dir: Path,
        settings: MdsSettings,
        tokenizer: PreTrainedTokenizerFast,
        name: str,
        left_out: Mapping[int, str] | None = None,
    ):
        """left_out: rows that are not converted, and the reasons under which they are counted."""
        self.source = source
        self.left_out = left_out or {}
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
        self.lock_path = out_dir / f".{self.stem}.lock"
        # Not on_bad_rows: what was written before the first bad row is the same with either value.
        self.identity = {
            **{key: value for key, value in asdict(settings).items() if key != "format"},
            **{key: value for key, value in asdict(settings.format).items() if key != "on_bad_rows"},
            "left_out_sha256": sha256_of_json(sorted(self.left_out.items())) if self.left_out else None,
            "tokenizer_sha256": tokenizer_sha256(tokenizer),
            "input_bytes": os.path.getsize(source),
            "input_mtime_ns": os.stat(source).st_mtime_ns,
        }

    def run(self, counts_file: Path, workers: int, row_count: int | None) -> Outcome:
        """Converts, continues or recognises as finished; adds the input's line to `counts_file` exactly once."""
        busy = f"another process is converting '{self.source}' into '{self.out_dir}'; wait for it"
        with exclusive(self.lock_path, busy):
            outcome = self.finished_outcome()
            if outcome is None:
                journal = self.open_journal()
                try:
                    outcome = self.convert(journal, counts_file, workers, row_count)
                except BaseException:
                    self.tidy_up(journal)
                    raise
            remove(self.work)
        return outcome

    def tidy_up(self, journal: Journal) -> None:
        """Leaves what the next run goes on from, the complete shards and their journal; without any, nothing."""
        for split, records in journal.shards.items():
            keep_only(self.roots[split] / self.stem, records)
        if any(journal.shards.values()):
            remove(self.work / "shard")
            remove(self.work / "stats")
            journal.save()
        else:
            remove(self.work)

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
            stats = read_stats(self.stats_path(split))
            counts[split], skipped = stats.counts, stats.skipped_rows
            if counts[split].documents and not (root / self.stem / INDEX).is_file():
                return None
            self.refuse_other(stats.identity, stats.input_sha256, f"'{root / self.stem}' holds the data set")
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
        journal = self.former_journal()
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
        make_folder(self.work)
        journal = Journal(self.journal_path, self.identity, {split: [] for split in self.roots})
        journal.save()
        return journal

    def former_journal(self) -> Journal | None:
        """The journal of an interrupted run, if there is one. Raises UserError where it is damaged."""
        try:
            return Journal.load(self.journal_path)
        except ValueError as error:
            folders = ", ".join(f"'{path}'" for path in (self.work, *(r / self.stem for r in self.roots.values())))
            raise UserError(
                f"'{self.journal_path}' is damaged, so that nobody knows which shards of the interrupted conversion "
                f"are complete; choose another --out_dir, or delete {folders} and run the same command again"
            ) from error

    def convert(self, journal: Journal, counts_file: Path, workers: int, row_count: int | None) -> Outcome:
        """The work itself, in the order that the module's docstring names."""
        writers = {split: self.open_writer(split, journal) for split in self.roots}
        reader, spots = TextReader(Path(self.source), self.settings.format), SpotTexts()
        try:
            with ConversionBar(self.stem, row_count, self.identity["input_bytes"]) as bar:
                for batch, encoded in self.encoded(self.batches(reader, writers, spots, workers)):
                    write_batch(batch, encoded, writers, spots)
                    bar.move_to(batch, encoded)
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
        writer = SplitWriter(
            folder=self.roots[split] / self.stem,
            records=journal.shards[split],
            journal=journal,
            dtype=self.encoder.dtype,
            compression=self.settings.compression,
            size_limit=self.settings.size_limit,
        )
        writer.drop_incomplete()
        return writer

    def publish(self, split: str, writer: SplitWriter, reader: TextReader) -> None:
        """Writes a split's statistics, then its index."""
        make_folder(self.roots[split])
        # By way of the work folder, which is removed at the end with whatever a kill has left in it.
        write_json(self.work / "stats", self.stats(reader, writer.counts))
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
            if row.number in self.left_out:
                reader.skipped[self.left_out[row.number]] += 1
                continue
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

    def encoded(self, batches: Iterator[Batch]) -> Iterator[tuple[Batch, list[Samples]]]:
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

    def stats(self, reader: TextReader, counts: Counts) -> dict[str, Any]:
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


def write_batch(batch: Batch, encoded: list[Samples], writers: dict[str, SplitWriter], spots: SpotTexts) -> None:
    """Hands every document to the writer of its split."""
    for row, split, samples in zip(batch.rows, batch.splits, encoded):
        if writers[split].add(row.number, samples):
            spots.offer(row.number, row.text)


class ConversionBar:
    """A bar over rows where their number was given, else over the file's bytes; rows/s and tokens/s of this run."""

    def __init__(self, title: str, row_count: int | None, input_bytes: int):
        self.counts_rows = row_count is not None
        self.rows = self.tokens = 0
        unit = {"unit": " rows"} if self.counts_rows else {"unit": "B", "unit_scale": True}
        # Into a log file (no terminal) a line every half minute is enough.
        interval_s = 0.5 if sys.stderr.isatty() else 30
        self.bar = tqdm(desc=title, total=row_count or input_bytes, mininterval=interval_s, **unit)
        self.started = time.monotonic()

    def __enter__(self) -> "ConversionBar":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def move_to(self, batch: Batch, encoded: list[Samples]) -> None:
        """Moves to where the input was read for this batch."""
        self.rows += len(batch.rows)
        self.tokens += sum(len(sample) for samples in encoded for sample in samples)
        elapsed_s = max(time.monotonic() - self.started, 1e-9)
        rates = f"{self.rows / elapsed_s:,.0f} rows/s, {self.tokens / elapsed_s:,.0f} tokens/s"
        self.bar.set_postfix_str(rates, refresh=False)
        self.bar.update((batch.rows_read if self.counts_rows else batch.bytes_read) - self.bar.n)


def described(reader: TextReader) -> str:
    """How many rows were read and why they were skipped, for a sentence."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reader.skipped.items()))
    return f"{reader.row_count:,} rows" + (f" ({reasons})" if reasons else "")
