"""Predictions written as they are made, so that an interrupted run continues where it stopped."""

import json
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bioclinical.files import read_utf8, write_text
from bioclinical.inference.documents import Document
from bioclinical.inference.predictor import Predictor

DOCUMENTS_PER_CHUNK = 64


def continue_predictions(partial: Path, predictor: Predictor, documents: list[Document]) -> list[dict[str, Any]]:
    """All predictions, written a chunk at a time; those that an interrupted run left complete are kept."""
    done = complete_lines(partial)
    write_text(partial, "".join(json.dumps(prediction, ensure_ascii=False) + "\n" for prediction in done))
    if done:
        print(f"continuing after {len(done):,} documents")
    left = sum(len(document.text) for document in documents[len(done) :])
    bar = tqdm(total=left, unit="char", unit_scale=True, mininterval=1)
    with bar, open(partial, "a", encoding="utf-8") as file:
        for start in range(len(done), len(documents), DOCUMENTS_PER_CHUNK):
            chunk = predictor.predict(documents[start : start + DOCUMENTS_PER_CHUNK], bar.update)
            file.write("".join(json.dumps(prediction, ensure_ascii=False) + "\n" for prediction in chunk))
            file.flush()
            done += chunk
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
