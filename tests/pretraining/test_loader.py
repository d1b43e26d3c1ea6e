"""Batches do not depend on workers or processes, resume anywhere, and errors come out as they were raised."""

import numpy as np
import pytest
import torch
from pretraining_setup import write_mds

from bioclinical.errors import UserError
from bioclinical.pretraining.data.documents import Windows, open_documents
from bioclinical.pretraining.data.loader import PackedLoader, Workers, data_spec
from bioclinical.pretraining.data.order import OnceEach
from bioclinical.pretraining.data.packer import Geometry, Packer
from bioclinical.pretraining.data.rows import RowReader
from bioclinical.pretraining.objectives.masked_tokens import Masking
from bioclinical.text.labels import IGNORED_LABEL
from bioclinical.text.tokenization import load_tokenizer

VOCABULARY = 504


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return load_tokenizer(tiny_model())


@pytest.fixture(scope="module")
def reader(mds, tokenizer):
    windows = Windows(open_documents(mds / "train", VOCABULARY, tokenizer), 64)
    return RowReader(windows, Masking.of(tokenizer, VOCABULARY, 0.3, 0, False))


def loader(reader, rank=0, world=1, endless=True, workers=0, rows=4, carry_over=True) -> PackedLoader:
    def new() -> Packer:
        return Packer(
            reader.windows.lengths,
            Geometry(rows, 256, 40, world),
            OnceEach(len(reader.windows.lengths), 3, True),
            carry_over,
        )

    return PackedLoader(reader, new, rank, world, endless=endless, workers=Workers(workers))


def take(loader: PackedLoader, epochs: int) -> list[dict]:
    try:
        return [batch for _ in range(epochs) for batch in loader]
    finally:
        loader.restart(loader.state, loader.epoch_closed)  # ends its workers


def with_labels(row: dict) -> dict:
    return {**row, "targets": None, "labels": row["targets"]["labels"]}


def same(one: dict, other: dict) -> bool:
    return len(one["rows"]) == len(other["rows"]) and all(
        torch.equal(a[key], b[key]) if isinstance(a[key], torch.Tensor) else a[key] == b[key]
        for a, b in zip(map(with_labels, one["rows"]), map(with_labels, other["rows"]))
        for key in a
    )


def test_rows_are_whole_documents_with_their_own_masks(reader):
    for batch in take(loader(reader), 1)[:3]:
        for row in batch["rows"]:
            bounds = row["cu_seqlens"].tolist()
            assert row["tokens"] == len(row["input_ids"]) == bounds[-1] and row["samples"] == len(bounds) - 1
            assert row["max_seqlen"] == max(np.diff(bounds))
            assert row["loss_weight"] == int((row["targets"]["labels"] != IGNORED_LABEL).sum())
            shown = torch.where(row["targets"]["labels"] == IGNORED_LABEL, row["input_ids"], row["targets"]["labels"])
            for document, start, end in zip(row["documents"].tolist(), bounds, bounds[1:]):
                own = reader.windows.documents[document]
                if len(own) <= 64:
                    np.testing.assert_array_equal(shown[start:end], own)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(reader, workers):
    assert all(map(same, take(loader(reader), 3), take(loader(reader, workers=workers), 3)))


def test_processes_share_the_same_batches(reader):
    whole = take(loader(reader), 2)
    halves = [take(loader(reader, rank=rank, world=2), 2) for rank in (0, 1)]
    assert len(whole) == len(halves[0]) == len(halves[1])
    for batch, *parts in zip(whole, *halves):
        joined = [row for pair in zip(*(part["rows"] for part in parts)) for row in pair]
        assert same(batch, {"rows": joined})


def test_a_process_without_documents_computes_silently(reader):
    small = Windows(reader.windows.documents, 64)
    small.lengths = small.lengths[:1]
    own = RowReader(small, reader.examples)
    (batch,) = take(loader(own, rank=1, world=2), 1)
    (row,) = batch["rows"]
    assert len(row["input_ids"]) and row["is_silent"] and row["weights"] == {"masked_tokens": 0}
    assert row["tokens"] == row["samples"] == row["loss_weight"] == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_continuing_anywhere(reader, workers):
    whole = loader(reader, workers=workers)
    batches, states = [], [whole.state_dict()]
    for _ in range(3):
        for batch in whole:
            batches.append(batch)
            states.append(whole.state_dict())
    whole.restart(whole.state, False)
    ends = [number for number, state in enumerate(states) if state["epoch_closed"]]
    assert len(ends) == 3
    for cut in (ends[0] + 1,) if workers else (0, 1, ends[0] - 1, ends[0], ends[0] + 1, ends[1]):
        other = loader(reader, workers=workers)
        other.load_state_dict(states[cut])
        remaining = 3 - sum(end < cut for end in ends)  # at an epoch's very end, closing it is still to do
        rest = take(other, remaining)
        assert len(rest) == len(batches) - cut and all(map(same, rest, batches[cut:]))


def test_evaluation_begins_anew_each_time(reader):
    evaluation = loader(reader, endless=False, carry_over=False)
    assert all(map(same, take(evaluation, 1), take(evaluation, 1)))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_workers_error_keeps_its_sentence(tmp_path, tokenizer, workers):
    samples = [{"input_ids": np.array([5, 600 if n == 7 else 6], np.uint16)} for n in range(20)]
    folder = write_mds(tmp_path / "mds", {"input_ids": "ndarray:uint16"}, samples)
    windows = Windows(open_documents(folder, VOCABULARY, tokenizer), 64)
    broken = RowReader(windows, Masking.of(tokenizer, VOCABULARY, 0.3, 0, False))
    with pytest.raises(UserError, match=r"^sample 7 of '.*shard.00000.mds' holds the id 600"):
        take(loader(broken, workers=workers), 1)


def test_token_clock(reader):
    batch = take(loader(reader), 1)[0]
    real = data_spec(loader(reader), Geometry(4, 256, 40))
    padded = data_spec(loader(reader), Geometry(4, 256, 40, counts_padding=True))
    unpacked = data_spec(loader(reader), Geometry(4, 256, 40, counts_padding=True, units_per_row=4))
    tokens = sum(row["tokens"] for row in batch["rows"])
    assert real.get_num_tokens_in_batch(batch) == tokens
    assert padded.get_num_tokens_in_batch(batch) == 4 * 256
    assert unpacked.get_num_tokens_in_batch(batch) == sum(row["samples"] * row["max_seqlen"] for row in batch["rows"])
    masked = sum(int((row["targets"]["labels"] != IGNORED_LABEL).sum()) for row in batch["rows"])
    assert real.get_num_tokens_in_batch(batch, token_type="loss_generating") == masked
    assert real.get_num_samples_in_batch(batch) == sum(len(row["documents"]) for row in batch["rows"])
