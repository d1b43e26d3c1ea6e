"""The documents of an MDS split as token ids: uncompressed or zstd shards, tokenised or text columns."""

from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
from streaming.base.compression import decompress
from streaming.base.format import reader_from_json
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from bioclinical.errors import UserError, first_line
from bioclinical.files import atomic_path
from bioclinical.mds.index import read_index, stored
from bioclinical.mds.shards import COLUMN, sample_lengths
from bioclinical.pretraining.data.id_check import ExpectedIds, refused_in_shard

TEXT_COLUMN = "text"
DTYPES = ("uint16", "uint32", "int32", "int64")


class Documents:
    """`documents[i]`: the ids of document i, int64.

    `documents.lengths`: their numbers of ids, known without reading.
    """

    lengths: np.ndarray  # int64

    def __getitem__(self, index: int) -> np.ndarray:
        raise NotImplementedError

    def where(self, index: int) -> str:
        """The place of a document, for messages."""
        raise NotImplementedError

    def refused(self, expected: ExpectedIds, part: int = 0, parts: int = 1, show: bool = False) -> list[int]:
        """The documents with ids that are not the expected ones, among those of every `parts`-th shard from `part`."""
        raise NotImplementedError


class TokenDocuments(Documents):
    """Documents read from shards when they are asked for. Ids must be below `vocabulary`."""

    def __init__(self, folder: Path, infos: list[dict[str, Any]], vocabulary: int):
        self.vocabulary = vocabulary
        self.readers = [reader_from_json(str(folder), "", info) for info in infos]
        self.starts = np.cumsum([0] + [reader.samples for reader in self.readers])
        self.lengths = np.concatenate([token_counts(reader) for reader in self.readers])

    def __getitem__(self, index: int) -> np.ndarray:
        shard = bisect_right(self.starts, index) - 1
        try:
            ids = self.readers[shard][index - self.starts[shard]][COLUMN].astype(np.int64)
        except Exception as error:  # whatever a decoder makes of damaged bytes
            raise UserError(
                f"{self.where(index)} cannot be read ({first_line(error)}); the shard is damaged: copy or convert it "
                "again"
            ) from error
        if ids.shape != (self.lengths[index],):
            raise UserError(
                f"{self.where(index)} has another length than its index says; copy or convert the shard again"
            )
        if len(ids) and not 0 <= ids.min() <= ids.max() < self.vocabulary:
            raise UserError(
                f"{self.where(index)} holds the id {ids.max():,}, but the vocabulary has {self.vocabulary:,}; "
                "the data were converted with another tokenizer"
            )
        return ids

    def refused(self, expected: ExpectedIds, part: int = 0, parts: int = 1, show: bool = False) -> list[int]:
        found: list[int] = []
        for shard in tqdm(range(part, len(self.readers), parts), desc="checking ids", unit=" shards", disable=not show):
            reader, first = self.readers[shard], int(self.starts[shard])
            lengths = self.lengths[first : first + reader.samples]
            if has_ids_alone(reader):
                path = Path(reader.dirname) / reader.raw_data.basename
                dtype = np.dtype(reader.column_encodings[0].split(":")[1])
                found += [first + int(number) for number in refused_in_shard(path, dtype, lengths, expected)]
            else:
                found += [first + number for number in refused_one_by_one(reader, lengths, expected)]
        return found

    def where(self, index: int) -> str:
        shard = bisect_right(self.starts, index) - 1
        reader = self.readers[shard]
        return f"sample {index - self.starts[shard]} of '{Path(reader.dirname) / reader.raw_data.basename}'"


class TextDocuments(Documents):
    """Documents of a text column, tokenised once at the start and kept in memory."""

    def __init__(self, folder: Path, infos: list[dict[str, Any]], tokenizer: PreTrainedTokenizerFast, show: bool):
        self.folder = folder
        self.ids = []
        for info in tqdm(infos, desc="tokenising", unit=" shards", disable=not show):
            reader = reader_from_json(str(folder), "", info)
            texts = [reader[index][TEXT_COLUMN] for index in range(reader.samples)]
            self.ids += [np.asarray(ids, np.uint32) for ids in tokenizer(texts, verbose=False)["input_ids"]]
        self.lengths = np.array([len(ids) for ids in self.ids], np.int64)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.ids[index].astype(np.int64)

    def refused(self, expected: ExpectedIds, part: int = 0, parts: int = 1, show: bool = False) -> list[int]:
        numbers = [number for number in range(part, len(self.ids), parts) if len(self.ids[number])]
        return [number for number in numbers if breaks(self.ids[number], expected)]

    def where(self, index: int) -> str:
        return f"document {index} of '{self.folder}'"


class JoinedDocuments(Documents):
    """The documents of several folders behind each other. bounds: where those of each begin and end."""

    def __init__(self, parts: list[Documents]):
        self.parts = parts
        self.bounds = np.cumsum([0] + [len(part.lengths) for part in parts])
        self.lengths = np.concatenate([part.lengths for part in parts])

    def part_of(self, index: int) -> tuple[Documents, int]:
        number = bisect_right(self.bounds, index) - 1
        return self.parts[number], index - int(self.bounds[number])

    def __getitem__(self, index: int) -> np.ndarray:
        part, own = self.part_of(index)
        return part[own]

    def refused(self, expected: ExpectedIds, part: int = 0, parts: int = 1, show: bool = False) -> list[int]:
        return [
            int(first) + number
            for first, one in zip(self.bounds, self.parts)
            for number in one.refused(expected, part, parts, show)
        ]

    def where(self, index: int) -> str:
        part, own = self.part_of(index)
        return part.where(own)


def open_documents(folder: Path, vocabulary: int, tokenizer: PreTrainedTokenizerFast, show: bool = True) -> Documents:
    """The documents of a finished MDS folder or of a folder with a merged index.

    Compressed shards are unpacked beside themselves once. Raises UserError naming a shard that is missing or cut,
    columns that hold no tokens or text, and an empty split.
    """
    infos = read_index(folder)
    if not infos or not sum(info["samples"] for info in infos):
        raise UserError(f"'{folder}' holds no samples; convert some documents into this split")
    for info in tqdm(infos, desc="unpacking", unit=" shards", disable=not (show and any(i["zip_data"] for i in infos))):
        make_raw(folder, info)
    columns = dict(zip(infos[0]["column_names"], infos[0]["column_encodings"]))
    if COLUMN in columns:
        kind, _, dtype = columns[COLUMN].partition(":")
        if kind != "ndarray" or (dtype.split(":")[0] or "int64") not in DTYPES:
            raise UserError(
                f"'{folder}': {COLUMN} is stored as '{columns[COLUMN]}'; needed: ndarray of {', '.join(DTYPES)}. "
                "Convert the text again with pretraining_resources/convert_dataset_to_mds.py"
            )
        return TokenDocuments(folder, infos, vocabulary)
    if columns.get(TEXT_COLUMN) == "str":
        return TextDocuments(folder, infos, tokenizer, show)
    raise UserError(f"'{folder}' has the columns {', '.join(columns)}; needed: {COLUMN}, or {TEXT_COLUMN} as str")


def make_raw(folder: Path, info: dict[str, Any]) -> None:
    """Makes sure that a shard's uncompressed file is there and whole. Raises UserError where it cannot be."""
    raw = folder / info["raw_data"]["basename"]
    if raw.is_file() and raw.stat().st_size == info["raw_data"]["bytes"]:
        return
    packed = folder / stored(info)["basename"]
    size = packed.stat().st_size if packed.is_file() else None
    if not info["zip_data"] or size != stored(info)["bytes"]:
        raise UserError(
            f"the shard '{packed}' is {'missing' if size is None else f'damaged: {size:,} bytes instead of '}"
            f"{'' if size is None else format(stored(info)['bytes'], ',')}; copy or convert it again"
        )
    try:
        content = decompress(info["compression"], packed.read_bytes())
    except Exception as error:  # each compression library has its own
        raise UserError(f"the shard '{packed}' cannot be unpacked ({first_line(error)}); copy it again") from error
    with atomic_path(raw) as partial:
        partial.write_bytes(content)


def token_counts(reader: Any) -> np.ndarray:
    """Ids in each sample of a shard.

    Beside other columns they are read one by one, else taken from the shard's header.
    """
    if has_ids_alone(reader):
        return sample_lengths(reader)
    return np.array([len(reader[index][COLUMN]) for index in range(reader.samples)], np.int64)


def has_ids_alone(reader: Any) -> bool:
    """Whether a shard has the one column of ids, as one-dimensional arrays of a stated type."""
    return reader.column_names == [COLUMN] and reader.column_encodings[0].count(":") == 1


def refused_one_by_one(reader: Any, lengths: np.ndarray, expected: ExpectedIds) -> list[int]:
    return [number for number in np.flatnonzero(lengths).tolist() if breaks(reader[number][COLUMN], expected)]


def breaks(ids: np.ndarray, expected: ExpectedIds) -> bool:
    """Whether the ids of one document, (tokens,), are not the expected ones."""
    return bool(expected.refused(ids, np.array([0]), np.array([len(ids)]))[0])


def expect_ids(documents: Documents, expected: ExpectedIds, part: int, parts: int, show: bool) -> None:
    """Raises UserError naming the first document with ids that the objective cannot learn from."""
    refused = documents.refused(expected, part, parts, show)
    if refused:
        documents[refused[0]]  # says so itself where it is an id outside the vocabulary
        raise UserError(
            f"{documents.where(refused[0])} (and {len(refused) - 1:,} more) was not converted for next_token: it must "
            f"end with the id {expected.last} and hold neither padding nor masks; convert the text again with "
            "--bos_text '' and as --eos_text the tokenizer's end of a text"
        )


class Windows:
    """Documents cut to at most `longest` ids: unit u is a document, or one of the even windows of a longer one.

    Each window keeps the document's first and last id ([CLS] and [SEP]) around its share of what lies between.
    """

    def __init__(self, documents: Documents, longest: int):
        self.documents = documents
        lengths = documents.lengths
        content = np.maximum(lengths - 2, 0)
        counts = np.where(lengths <= longest, lengths > 0, -(-content // (longest - 2)))
        self.first_unit = np.concatenate([[0], np.cumsum(counts)])
        self.windowed_documents = int((counts > 1).sum())
        owner = np.repeat(np.arange(len(lengths)), counts)
        number = np.arange(len(owner)) - self.first_unit[owner]
        start, end = (content[owner] * (number + step) // counts[owner] for step in (0, 1))
        self.lengths = np.where(counts[owner] > 1, end - start + 2, lengths[owner])

    def document_of(self, unit: int) -> int:
        return int(np.searchsorted(self.first_unit, unit, side="right")) - 1

    def read(self, unit: int) -> tuple[np.ndarray, int, int]:
        """The unit's ids, the number of its document, and the number of the window in it."""
        document = self.document_of(unit)
        ids = self.documents[document]
        number, windows = unit - self.first_unit[document], self.first_unit[document + 1] - self.first_unit[document]
        if windows > 1:
            content = len(ids) - 2
            start, end = (content * (number + step) // windows for step in (0, 1))
            ids = np.concatenate([ids[:1], ids[1 + start : 1 + end], ids[-1:]])
        return ids, document, int(number)
