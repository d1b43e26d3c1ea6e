"""Masking rates over the token clock: shapes, exactness under resume, workers and processes, the recipe, bad input."""

import shutil

import numpy as np
import pytest
import torch
from pretraining_setup import CONFIGS

from bioclinical.checkpoints.read import load_checkpoint, read_checkpoint
from bioclinical.errors import UserError
from bioclinical.pretraining.data.documents import Windows, open_documents
from bioclinical.pretraining.data.loader import PackedLoader, Workers
from bioclinical.pretraining.data.order import OnceEach
from bioclinical.pretraining.data.packer import Geometry, Packer
from bioclinical.pretraining.data.rows import RowReader
from bioclinical.pretraining.objectives.masked_tokens import Masking
from bioclinical.pretraining.recipe.load import load_recipe, recipe_text
from bioclinical.pretraining.recipe.masking_rate import MaskingRate, masking_rate
from bioclinical.pretraining.training.metrics_file import read_metrics
from bioclinical.text.labels import IGNORED_LABEL
from bioclinical.text.tokenization import load_tokenizer

VOCABULARY = 504
FALLING = "{shape: linear, rates: {0tok: 0.5, 1500tok: 0.2, 3000tok: 0.05}}"


def test_shapes():
    steps = MaskingRate((0, 100, 200), (0.3, 0.15, 0.05))
    assert [steps(clock) for clock in (0, 99, 100, 199, 200, 10**12)] == [0.3, 0.3, 0.15, 0.15, 0.05, 0.05]
    line = MaskingRate((0, 100, 200), (0.3, 0.1, 0.05), is_linear=True)
    assert [line(clock) for clock in (0, 50, 100, 150, 200, 999)] == pytest.approx([0.3, 0.2, 0.1, 0.075, 0.05, 0.05])


@pytest.fixture(scope="module")
def reader(mds, tiny_model):
    tokenizer = load_tokenizer(tiny_model())
    masking = Masking.of(tokenizer, VOCABULARY, 0.3, 0, False)
    object.__setattr__(masking, "rate", MaskingRate((0, 6000), (0.6, 0.05), is_linear=True))
    return RowReader(Windows(open_documents(mds / "train", VOCABULARY, tokenizer), 64), masking)


def batches(reader, state=None, rank=0, world=1, workers=0, epochs=2):
    def packer() -> Packer:
        lengths = reader.windows.lengths
        return Packer(lengths, Geometry(4, 256, 40, world), OnceEach(len(lengths), 3, True), True)

    loader = PackedLoader(reader, packer, rank, world, endless=True, workers=Workers(workers))
    if state:
        loader.load_state_dict(state)
    found = [(batch["rows"], loader.state_dict()) for _ in range(epochs) for batch in loader]
    loader.restart(loader.state, loader.epoch_closed)  # ends its workers
    return found


def labels(rows):
    return torch.cat([row["targets"]["labels"] for row in rows])


def test_masks_do_not_depend_on_workers_processes_or_resuming(reader):
    whole = batches(reader)
    shares = [float((labels(rows) != IGNORED_LABEL).float().mean()) for rows, _ in whole]
    assert shares[0] > 0.5 and shares[-1] < 0.08
    with_workers = batches(reader, workers=2)
    assert all(
        torch.equal(labels(one), labels(other)) for (one, _), (other, _) in zip(whole, with_workers, strict=True)
    )
    halves = [batches(reader, rank=rank, world=2) for rank in (0, 1)]
    for (rows, _), *parts in zip(whole, *halves, strict=True):
        together = [row for pair in zip(*(part[0] for part in parts)) for row in pair]
        assert torch.equal(labels(rows), labels(together))
    resumed = batches(reader, state=whole[2][1])[: len(whole) - 3]
    assert all(torch.equal(labels(one), labels(other)) for (one, _), (other, _) in zip(whole[3:], resumed))


@pytest.mark.parametrize("padding, packed", [("true", "true"), ("true", "false")])
def test_the_rate_follows_the_token_clock_of_the_run(train, padding, packed):
    folder = train(max_duration="4ba", save_interval="1ba", count_padding_tokens=padding,
                   **{"train_loader.dataset.mlm_probability": FALLING, "train_loader.sequence_packing": packed})  # fmt: skip
    rate, clock = MaskingRate((0, 1500, 3000), (0.5, 0.2, 0.05), is_linear=True), 0
    logged = [one["trainer/masking_rate"] for one in read_metrics(folder) if "trainer/masking_rate" in one]
    for batch in range(1, 5):
        assert logged[batch - 1] == rate(clock)
        state = read_checkpoint(next(folder.glob(f"*-ba{batch}-*")))["state"]
        clock = state["timestamp"]["Timestamp"]["token"]
        assert state["callbacks"]["Checkpoints"]["loader"]["packer"]["clock"] == clock > 0


def test_a_resumed_run_is_bit_equal(train, tmp_path):
    common = {"max_duration": "6ba", "save_interval": "3ba", "train_loader.dataset.mlm_probability": FALLING}
    whole = train("whole", **common)
    shutil.copytree(whole, tmp_path / "cut", symlinks=True)
    next((tmp_path / "cut").glob("*-ba6-*")).unlink()
    resumed = train("cut", autoresume="true", **common)
    one, other = (load_checkpoint(folder / "latest-rank0.pt").weights for folder in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_phase_without_reset_goes_on_with_the_clock(train):
    first = train("first", max_duration="2ba")
    seen = load_checkpoint(first / "latest-rank0.pt").clock["token"]
    schedule = f"{{rates: {{0tok: 0.5, {seen}tok: 0.05}}}}"
    second = train("second", load_path=first / "latest-rank0.pt", reset_time="false", max_duration="4ba",
                   **{"train_loader.dataset.mlm_probability": schedule})  # fmt: skip
    assert read_metrics(second)[0]["trainer/masking_rate"] == 0.05
    packer = read_checkpoint(second / "latest-rank0.pt")["state"]["callbacks"]["Checkpoints"]["loader"]["packer"]
    assert packer["clock"] == load_checkpoint(second / "latest-rank0.pt").clock["token"] > seen


def test_counted_masks_follow_the_rate_too(tiny_model):
    masking = Masking.of(load_tokenizer(tiny_model()), VOCABULARY, 0.3, 0, False)
    object.__setattr__(masking, "rate", MaskingRate((0, 100), (0.5, 0.1)))
    object.__setattr__(masking, "counting", "bert")
    ids = np.arange(10, 210)
    assert [masking(ids, 0, 0, 0, clock).weights["masked_tokens"] for clock in (0, 100)] == [100, 20]


def test_the_recipe_after_mmbert(tmp_path):
    recipe = load_recipe(CONFIGS / "beyond" / "falling_masks_base.yaml")
    rate = masking_rate(recipe.train_loader.dataset.mlm_probability)
    total = recipe.max_duration.value
    assert rate.rates == (0.30, 0.15, 0.05)
    assert [time / total for time in rate.times] == pytest.approx([0, 2300 / 3000, 2900 / 3000], abs=1e-4)
    assert (recipe.scheduler.name, recipe.scheduler.alpha_f) == ("one_minus_sqrt", 0.02)
    assert recipe.eval_loader.dataset.mlm_probability == 0.15
    (tmp_path / "again.yaml").write_text(recipe_text(recipe))
    assert load_recipe(tmp_path / "again.yaml") == recipe


@pytest.mark.parametrize(
    "value, message",
    [
        ("{rates: {0tok: 0.3, 5tok: 1.0}}", "'1.0' at 5tok must be above 0 and below 1"),
        ("{rates: {0tok: 0.3, 5tok: 0}}", "'0' at 5tok must be above 0 and below 1"),
        ("{rates: {0tok: often}}", "'often' at 0tok must be above 0 and below 1"),
        ("{rates: {5tok: 0.3}}", "the times 5tok must begin with 0tok and rise"),
        ("{rates: {0tok: 0.3, 9tok: 0.2, 5tok: 0.1}}", "rise"),
        ("{rates: {0tok: 0.3, 5ba: 0.2}}", "'5ba' is no time of the token clock"),
        ("{rates: {0tok: 0.3, 0.5dur: 0.2}}", "max_duration, which counts ba"),
        ("{rates: {}}", "rates is empty"),
        ("{shape: curved, rates: {0tok: 0.3}}", "shape: 'curved' cannot be expressed here; allowed: steps, linear"),
        ("{shape: steps}", "lacks train_loader.dataset.mlm_probability.rates"),
    ],
)
def test_what_is_no_schedule_is_one_sentence(tiny_config, value, message):
    with pytest.raises(UserError, match=message):
        tiny_config(**{"train_loader.dataset.mlm_probability": value})


def test_evaluation_keeps_one_rate(tiny_config):
    with pytest.raises(UserError, match="eval_loader.dataset.mlm_probability must be one number"):
        tiny_config(**{"eval_loader.dataset.mlm_probability": "{rates: {0tok: 0.3}}"})
