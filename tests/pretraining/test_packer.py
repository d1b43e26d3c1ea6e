"""Plans lose nothing, fill rows, starve nobody, and depend on nothing but seed, lengths and geometry."""

import json

import numpy as np
import pandas as pd
import pytest

from bioclinical.pretraining.data.filling import filling
from bioclinical.pretraining.data.order import OnceEach
from bioclinical.pretraining.data.packer import Geometry, Packer, State


def lognormal(count: int, seed: int = 0) -> np.ndarray:
    return np.clip(np.random.default_rng(seed).lognormal(5.5, 1, count), 3, 1024).astype(int)


def epoch(packer: Packer) -> list[list[list]]:
    batches, last = [], False
    while not last:
        rows, last = packer.next_batch()
        batches.append(rows)
    return batches


@pytest.mark.parametrize("carry_over", [False, True])
@pytest.mark.parametrize("units_per_row", [None, 3])
def test_every_unit_once_per_epoch(carry_over, units_per_row):
    lengths = lognormal(500)
    packer = Packer(lengths, Geometry(4, 4096, 80, units_per_row=units_per_row), OnceEach(500, 1, True), carry_over)
    seen = [unit for _ in range(4) for batch in epoch(packer) for row in batch for unit in row]
    for number in range(4):
        own = [unit for at, unit in seen if at == number]
        assert len(own) == len(set(own))
        if number < 3 or not carry_over:
            assert len(own) == 500
    assert len(seen) == len(set(seen))


def test_rows_stay_within_their_capacity():
    lengths = lognormal(2000)
    for batch in epoch(Packer(lengths, Geometry(6, 2048, 100), OnceEach(2000, 0, True), False)):
        assert max(sum(lengths[unit] for _, unit in row) for row in batch) <= 2048


def test_nobody_waits_long():
    """A document that fits nowhere comes first in the next batch."""
    lengths = np.where(np.arange(1000) % 10 == 0, 900, 40)
    packer = Packer(lengths, Geometry(2, 1000, 30), OnceEach(1000, 0, False), False)
    placed = {unit: number for number, batch in enumerate(epoch(packer)) for row in batch for _, unit in row}
    arrival = {unit: min(placed[later] for later in range(unit, 1000)) for unit in range(1000)}
    assert max(placed[unit] - arrival[unit] for unit in range(1000)) <= 16  # 31 waiting, two long ones per batch


def test_a_small_data_set_gives_partial_batches():
    packer = Packer(np.full(5, 10), Geometry(4, 1000, 20), OnceEach(5, 0, True), True)
    for number in range(3):
        rows, last = packer.next_batch()
        assert last and sorted(unit for row in rows for _, unit in row) == [0, 1, 2, 3, 4]
        assert {at for row in rows for at, _ in row} == {number}
        assert all(rows)  # spread over all rows


def test_continuing_from_a_saved_state():
    lengths = lognormal(700)
    new = lambda: Packer(lengths, Geometry(4, 2048, 60), OnceEach(700, 5, True), True)  # noqa: E731
    whole = new()
    expected = [whole.next_batch() for _ in range(60)]
    for cut in (0, 1, 17, 33, 59):
        first = new()
        for _ in range(cut):
            first.next_batch()
        second = new()
        second.state = State.from_dict(json.loads(json.dumps(first.state.to_dict())))
        assert [second.next_batch() for _ in range(60 - cut)] == expected[cut:]


def test_orders_differ_between_epochs_and_seeds():
    one, other = OnceEach(300, 42, True), OnceEach(300, 43, True)
    orders = [one.of_epoch(0)[1], one.of_epoch(1)[1], other.of_epoch(0)[1]]
    assert len({tuple(order) for order in orders}) == 3  # also epoch 1 of seed 42 is not epoch 0 of seed 43
    np.testing.assert_array_equal(np.sort(orders[1]), np.arange(300))


def test_batches_grow():
    geometry = Geometry(8, 1000, 40, processes=2, smallest_row_count=2, warmup_tokens=12_000)
    sizes = [geometry.row_count_after(tokens) for tokens in (0, 1_999, 2_000, 5_999, 6_000, 11_999, 12_000, 10**9)]
    assert sizes == [2, 2, 4, 4, 6, 6, 8, 8]  # 2 : 4 : 6 of 12,000 tokens


@pytest.mark.parametrize("processes", [1, 8])
def test_clinical_lengths_fill_the_published_rows(real_data, processes):
    """50 M tokens of documents as long as real clinical notes (4.4 characters per token), rows of 12 x 8,192."""
    notes = pd.read_csv(real_data / "corpora" / "clinical_notes.csv")["notes"].str.len().to_numpy() / 4.4
    drawn = np.random.default_rng(0).choice(np.clip(notes, 3, 8192).astype(int), 200_000)
    lengths = drawn[: np.searchsorted(drawn.cumsum(), 50_000_000)]
    packer = Packer(
        lengths,
        Geometry(6 * processes, 12 * 8192, 360 * processes, processes),
        OnceEach(len(lengths), 2998, True),
        False,
    )
    fills = [[sum(lengths[unit] for _, unit in row) / (12 * 8192) for row in batch] for batch in epoch(packer)][:-1]
    assert lengths.sum() > 0.99 * 50_000_000 and np.mean(fills) > 0.99


def test_filling_is_that_of_the_plan():
    """Five documents of 60 and five of 40 fill rows of 100; rows of 110 hold a tenth less."""
    lengths = np.array([60, 40] * 50)
    assert filling(lengths, 100, Geometry(2, 100, 50), 0, False) == 1
    assert filling(lengths, 100, Geometry(2, 110, 50), 0, False) == pytest.approx(100 / 110)
    assert filling(np.array([5]), 100, Geometry(2, 10, 5), 0, False) == 0.25  # a partial batch
    assert filling(np.array([102] * 30), 52, Geometry(3, 52, 10), 0, False) == 1  # two windows of 52 each
