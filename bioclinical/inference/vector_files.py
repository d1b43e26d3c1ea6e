"""Files of vectors (.npy, .parquet, .jsonl), and unfinished ones."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bioclinical.errors import UserError
from bioclinical.files import atomic_path, write_json
from bioclinical.inference.documents import Document
from bioclinical.inference.resumable import chunks_left

if TYPE_CHECKING:
    from bioclinical.inference.embedder import Embedder

FORMATS = (".npy", ".parquet", ".jsonl")


def check_format(path: Path) -> None:
    """Raises UserError for a name that is none of the formats'."""
    if path.suffix not in FORMATS:
        raise UserError(f"--output '{path}': vectors are written as {', '.join(FORMATS)}")


def facts_path(path: Path) -> Path:
    """Where it is written how a file of vectors was made."""
    return path.with_name(path.name + ".json")


def continue_vectors(partial: Path, embedder: "Embedder", documents: list[Document]) -> np.ndarray:
    """The vectors of all documents, (documents, dimensions), written a chunk at a time as bare float32; whole ones that
    an interrupted run left are kept."""
    row_bytes = 4 * embedder.dimensions
    done = partial.stat().st_size // row_bytes if partial.exists() else 0
    with open(partial, "ab") as file:
        file.truncate(done * row_bytes)
        for chunk, on_progress in chunks_left(documents, done):
            file.write(embedder.vectors(chunk, on_progress).astype("<f4").tobytes())
            file.flush()
    return np.fromfile(partial, dtype="<f4").reshape(-1, embedder.dimensions)


def write_vectors(path: Path, ids: list[str], vectors: np.ndarray, facts: dict[str, Any]) -> None:
    """The vectors, and beside them how they were made; a text without a vector is a row of NaN, or null.

    .npy: float32, (documents, dimensions), the ids among the facts.  .parquet and .jsonl: `id` and `vector`.
    """
    with atomic_path(path) as partial:
        if path.suffix == ".npy":
            with open(partial, "wb") as file:
                np.save(file, vectors)
            facts = facts | {"ids": ids}
        elif path.suffix == ".jsonl":
            with open(partial, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(ids, vectors))
        else:
            write_parquet(partial, ids, vectors)
    write_json(facts_path(path), facts)


def rows(ids: list[str], vectors: np.ndarray) -> Iterator[dict[str, Any]]:
    """Each id with its vector."""
    for key, vector in zip(ids, vectors):
        # Python's own numbers would show float32 with the digits of a float64; this is the shortest that reads back.
        numbers = None if np.isnan(vector).any() else [float(str(value)) for value in vector]
        yield {"id": key, "vector": numbers}


def write_parquet(path: Path, ids: list[str], vectors: np.ndarray) -> None:
    """A table with the columns `id` (text) and `vector` (a list of float32 of fixed length)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    lists = pa.FixedSizeListArray.from_arrays(
        pa.array(vectors.ravel(), pa.float32()), vectors.shape[1], mask=pa.array(np.isnan(vectors).any(axis=1))
    )
    pq.write_table(pa.table({"id": pa.array(ids, pa.string()), "vector": lists}), path)
