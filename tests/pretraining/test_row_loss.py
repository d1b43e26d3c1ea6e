"""The loss of a batch does not depend on how its documents are divided into rows and processes."""

import pytest
import torch

from bioclinical.pretraining.data.split_loader import workers_of
from bioclinical.pretraining.recipe.schema import Loader
from bioclinical.pretraining.recipe.sections import read_section
from bioclinical.pretraining.training.composer_model import row_loss, total_of
from bioclinical.runtime.cores import usable_cores

# Per row: the sum of each term, the positions of each term, and its tokens.
ROWS = [({"masked": 6.0, "all": 9.0}, {"masked": 3, "all": 10}, 10), ({"masked": 1.0, "all": 5.0}, {"masked": 0, "all": 30}, 30),
        ({"masked": 4.0, "all": 7.0}, {"masked": 5, "all": 20}, 20)]  # fmt: skip


def composers_mean(losses: list[torch.Tensor], rows: list[dict]) -> float:
    """As Composer accumulates with accumulate_train_batch_on_tokens: by each row's share of all loss weights."""
    whole = sum(row["loss_weight"] for row in rows)
    return sum(total_of(loss).item() * row["loss_weight"] / whole for loss, row in zip(losses, rows))


def test_one_term_is_its_mean_over_the_batch():
    rows = [{"weights": {"masked": counts["masked"]}, "loss_weight": counts["masked"]} for _, counts, _ in ROWS]
    losses = [
        row_loss({"masked": torch.tensor(sums["masked"])}, row, {"masked": 1.0}) for (sums, *_), row in zip(ROWS, rows)
    ]
    assert composers_mean(losses, rows) == pytest.approx((6 + 4) / 8)  # a row without positions has no part in it


def test_several_terms_are_each_divided_by_their_own_positions():
    rows = [{"weights": counts, "loss_weight": tokens, "term_totals": {"masked": 8, "all": 60, "loss_weight": 60}}
            for _, counts, tokens in ROWS]  # fmt: skip
    sums = [{term: torch.tensor(value) for term, value in one.items()} for one, *_ in ROWS]
    losses = [row_loss(own, row, {"masked": 1.0, "all": 50.0}) for own, row in zip(sums, rows)]
    assert composers_mean(losses, rows) == pytest.approx(11 / 8 + 50 * 21 / 60)
    logged = sum(loss["all"].item() * row["loss_weight"] / 60 for loss, row in zip(losses, rows))
    assert logged == pytest.approx(21 / 60)


def test_workers_are_at_most_the_cores():
    dataset = {"local": "x", "split": "train", "max_seq_len": 8, "mlm_probability": 0.3}
    section = read_section("train_loader.", {"dataset": dataset, "drop_last": True, "num_workers": 500}, Loader)
    workers, notes = workers_of(section)
    assert workers.count == usable_cores()
    assert notes == [f"num_workers: {usable_cores()} instead of 500, one per core"]
