"""What the MDS tests write and read back."""

import csv
from pathlib import Path

import numpy as np
from streaming import LocalDataset


def write_csv(path: Path, texts: list[str], **columns: list[str]) -> Path:
    """A CSV with the column notes and others."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "notes"])
        writer.writerows(zip(*columns.values(), texts))
    return path


def samples(folder: Path) -> list[np.ndarray]:
    """All samples of a finished folder, read by streaming's own reader."""
    dataset = LocalDataset(str(folder))
    return [dataset[index]["input_ids"] for index in range(len(dataset))]


def assert_holds(folder: Path, texts: list[str], tokenizer, concat_tokens: int) -> None:
    """Every text, in order, is in the folder: its samples are full but the last, and join to its tokens."""
    ids = iter(samples(folder))
    for text in texts:
        expected = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        found: list[int] = []
        while len(found) < len(expected):
            sample = next(ids).tolist()
            assert sample[0] == tokenizer.cls_token_id and sample[-1] == tokenizer.sep_token_id
            found += sample[1:-1]
            assert len(sample) == concat_tokens or len(found) == len(expected)
        assert found == expected
    assert next(ids, None) is None


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
