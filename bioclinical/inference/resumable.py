"""Answers written as they are made, so that an interrupted run continues where it stopped."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from bioclinical.files import read_utf8, write_text
from bioclinical.inference.documents import Document

if TYPE_CHECKING:
    from bioclinical.inference.predictor import Predictor

DOCUMENTS_PER_CHUNK = 64


def chunks_left(documents: Sequence[Document], done: int) -> Iterator[tuple[list[Document], Callable[[int], Any]]]:
    """The documents after the first `done`, a chunk at a time, each with what is told the characters done."""
    if done:
        print(f"continuing after {done:,} documents")
    left = sum(len(document.text) for document in documents[done:])
    with tqdm(total=left, unit="char", unit_scale=True, mininterval=1) as bar:
        for start in range(done, len(documents), DOCUMENTS_PER_CHUNK):
            yield list(documents[start : start + DOCUMENTS_PER_CHUNK]), bar.update


def continue_predictions(partial: Path, predictor: "Predictor", documents: list[Document]) -> list[dict[str, Any]]:
    """All predictions, written a chunk at a time; those that an interrupted run left complete are kept."""
    done = complete_lines(partial)
    write_text(partial, "".join(json.dumps(prediction, ensure_ascii=False) + "\n" for prediction in done))
    with open(partial, "a", encoding="utf-8") as file:
        for chunk, on_progress in chunks_left(documents, len(done)):
            predictions = predictor.predict(chunk, on_progress)
            file.write("".join(json.dumps(prediction, ensure_ascii=False) + "\n" for prediction in predictions))
            file.flush()
            done += predictions
    return done


def complete_lines(partial: Path) -> list[dict[str, Any]]:
    """The predictions of an interrupted run up to the first line that is not whole."""
    done = []
    for line in read_utf8(partial).split("\n")[:-1] if partial.exists() else []:
        try:
            done.append(json.loads(line))
        except ValueError:
            break
    return done
