"""Which rows of the inputs are left out before they are tokenised: duplicates, and what overlaps with test sets.

The rows are found in a first pass over all inputs of a command, in the order they are given, and stand in a file of the
output folder, so that an interrupted conversion goes on without that pass.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bioclinical.errors import UserError
from bioclinical.files import exclusive, sha256_of_json, write_json
from bioclinical.mds.duplicates import Clusters, Documents, Signer
from bioclinical.mds.wanted import OVERLAP_WORDS, Wanted
from bioclinical.text.ngrams import NGramIndex
from bioclinical.text.tables import Format, TextReader, TextRow

EXACT, NEAR, OVERLAP = "duplicate", "near_duplicate", "overlaps_evaluation"
VERSION = 1  # of the rules; another one finds other rows


@dataclass(frozen=True)
class LeftOut:
    """The rows of each input that are left out, with the reason, and what a person wants to know about it."""

    rows: dict[str, dict[int, str]]
    report: dict[str, Any]

    def lines(self) -> Iterator[str]:
        """The report for people: counts only."""
        for source, counts in self.report["sources"].items():
            reasons = ", ".join(
                f"{counts[reason]:,} {reason} ({counts[reason] / max(counts['documents'], 1):.1%})"
                for reason in (EXACT, NEAR, OVERLAP)
                if reason in counts
            )
            yield f"{source}: of {counts['documents']:,} documents {reasons} left out"
        if "clusters" in self.report:
            clusters = self.report["clusters"]
            yield f"clusters of two or more documents: {clusters['count']:,}, the largest of {clusters['largest']:,}"
        if "evaluation" in self.report:
            texts = self.report["evaluation"]
            yield (
                f"texts to exclude: {texts['texts']:,}, of which {texts['too_short']:,} have fewer than "
                f"{OVERLAP_WORDS} words and cannot be looked for"
            )


def left_out(sources: Sequence[str], format: Format, wanted: Wanted, folder: Path) -> LeftOut:
    """The rows to leave out, from the file of an earlier run over the same inputs, else found and written there."""
    path = folder / f"left_out-{sha256_of_json(identity_of(sources, format, wanted))[:8]}.json"
    with exclusive(folder / ".left_out.lock", f"another process is looking for duplicates in '{folder}'; wait for it"):
        if path.is_file():
            return read(path)
        found = find(sources, format, wanted)
        save(found, path)
    return found


def save(found: LeftOut, path: Path) -> None:
    """Writes the rows and the report: numbers, names of files and reasons."""
    rows = {source: {str(row): reason for row, reason in own.items()} for source, own in found.rows.items()}
    write_json(path, {"report": found.report, "rows": rows})


def read(path: Path) -> LeftOut:
    """The inverse of what `left_out` writes. Raises UserError where the file is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = {s: {int(row): str(reason) for row, reason in own.items()} for s, own in content["rows"].items()}
        return LeftOut(rows, content["report"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"'{path}' is damaged; delete it and run the same command again") from error


def identity_of(sources: Sequence[str], format: Format, wanted: Wanted) -> dict[str, Any]:
    """What decides the rows: the rules, and the files in their order."""
    files = [(file, os.path.getsize(file), os.stat(file).st_mtime_ns) for file in (*sources, *wanted.exclude)]
    return {"version": VERSION, "files": files, "format": asdict(format), **asdict(wanted)}


def find(sources: Sequence[str], format: Format, wanted: Wanted) -> LeftOut:
    """Reads all inputs once. Memory: the keys of every document, and the n-grams of the texts to exclude."""
    signer = Signer(wanted.dedup) if wanted.dedup else None
    index = evaluation_index(wanted, format)
    documents = Documents(signer.keys_per_document) if signer else None
    places: list[tuple[str, int]] = []
    overlapping: list[bool] = []
    for source in sources:
        for row in rows_of(source, format):
            places.append((source, row.number))
            overlapping.append(index is not None and index.overlaps(row.text))
            if documents is not None:
                documents.add(signer.keys(row.text))
    clusters = documents.clusters() if documents is not None and places else None
    reasons = reasons_of(np.array(overlapping, bool), clusters)
    rows: dict[str, dict[int, str]] = {source: {} for source in sources}
    for (source, row), reason in zip(places, reasons):
        if reason:
            rows[source][row] = reason
    return LeftOut(rows, report(places, rows, wanted, clusters, index))


def evaluation_index(wanted: Wanted, format: Format) -> NGramIndex | None:
    """The runs of words of the texts to exclude, if there are any."""
    if not wanted.exclude:
        return None
    columns = Format(wanted.exclude_column, encoding=format.encoding, on_bad_rows=format.on_bad_rows)
    return NGramIndex((row.text for file in wanted.exclude for row in rows_of(file, columns)), OVERLAP_WORDS)


def rows_of(source: str, format: Format) -> Iterator[TextRow]:
    """The rows of a file with a text, with a bar over its bytes."""
    reader = TextReader(Path(source), format)
    title, interval_s = f"comparing {Path(source).name}", 0.5 if sys.stderr.isatty() else 30
    with tqdm(desc=title, total=os.path.getsize(source), unit="B", unit_scale=True, mininterval=interval_s) as bar:
        try:
            for row in reader.texts():
                yield row
                bar.update(reader.raw.bytes_read - bar.n)
        finally:
            reader.close()


def reasons_of(overlapping: np.ndarray, clusters: Clusters | None) -> list[str | None]:
    """Why each document is left out, None where it stays.

    Of a cluster the first document stays; if that one overlaps with an evaluation text, the whole cluster goes, because
    the others are nearly the same text.
    """
    if clusters is None:
        return [OVERLAP if overlaps else None for overlaps in overlapping]
    exact, repeats = clusters.repeats_exactly(), clusters.repeats()
    kinds = np.where(exact, EXACT, np.where(repeats, NEAR, None))
    return list(np.where(overlapping, OVERLAP, kinds))


def report(
    places: list[tuple[str, int]],
    rows: dict[str, dict[int, str]],
    wanted: Wanted,
    clusters: Clusters | None,
    index: NGramIndex | None,
) -> dict[str, Any]:
    """Counts per source, the clusters' number and largest size, and what could not be looked for."""
    documents = Counter(source for source, _ in places)
    reasons = [*([EXACT] if wanted.dedup else []), *([NEAR] if wanted.dedup == "minhash" else [])]
    reasons += [OVERLAP] if wanted.exclude else []
    content: dict[str, Any] = {"sources": {}}
    for source, own in rows.items():
        counted = Counter(own.values())
        content["sources"][source] = {"documents": documents[source]} | {r: counted[r] for r in reasons}
    if clusters is not None:
        sizes = np.unique(clusters.first, return_counts=True)[1]
        content["clusters"] = {"count": int((sizes > 1).sum()), "largest": int(sizes.max(initial=0))}
        content["repeats"] = [
            [*places[document], *places[first]]
            for document, first in enumerate(clusters.first.tolist())
            if document != first
        ]
    if index is not None:
        content["evaluation"] = {"texts": index.text_count, "too_short": index.too_short}
    return content
