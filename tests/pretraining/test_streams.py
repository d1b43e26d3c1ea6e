"""Weighted streams: shares in tokens, a plan of seed and epoch alone, exact resume, evaluation per stream, bad input."""

import json
import shutil

import numpy as np
import pytest
import torch
from pretraining_setup import write_mds

from bioclinical.checkpoints.read import load_checkpoint
from bioclinical.errors import UserError
from bioclinical.pretraining.data.order import Mixture, OnceEach
from bioclinical.pretraining.data.packer import Geometry, Packer, State
from bioclinical.pretraining.recipe.load import load_recipe, recipe_text
from bioclinical.pretraining.recipe.preflight import expect_data
from bioclinical.pretraining.recipe.streams import Stream, tokens_per_epoch
from bioclinical.pretraining.training.metrics_file import read_metrics

LENGTHS = np.random.default_rng(0).integers(5, 60, 300)
BOUNDS = np.array([0, 200, 300])  # 200 documents of the first stream, 100 of the second


def mixture(shares, seed=7):
    return Mixture(LENGTHS, BOUNDS, shares, seed, ["notes", "general"])


def stream_tokens(units):
    first = units < 200
    return int(LENGTHS[units[first]].sum()), int(LENGTHS[units[~first]].sum())


def test_shares_hold_in_tokens():
    order = mixture([3000, 9000])  # less than a pass of the first, several of the second
    totals = np.zeros(2)
    for epoch in range(40):
        tokens = stream_tokens(order.of_epoch(epoch)[1])
        assert abs(tokens[0] - 3000) < 60 and abs(tokens[1] - 9000) < 60
        totals += tokens
        assert abs(totals - np.array([3000, 9000]) * (epoch + 1)).max() < 60  # no error adds up


def test_documents_are_used_evenly_and_every_visit_is_another_one():
    order = mixture([3000, 9000])
    seen = [pair for epoch in range(30) for pair in zip(*(one.tolist() for one in order.of_epoch(epoch)))]
    assert len(seen) == len(set(seen))  # so no visit has another's masks
    visits = np.bincount([unit for _, unit in seen], minlength=300)
    for part in (visits[:200], visits[200:]):
        assert part.max() - part.min() <= 1


def test_the_plan_is_a_function_of_seed_and_epoch():
    one, other = mixture([3000, 9000]), mixture([3000, 9000])
    other.of_epoch(5)
    for epoch in (0, 3):
        assert all(np.array_equal(a, b) for a, b in zip(one.of_epoch(epoch), other.of_epoch(epoch)))
    assert not np.array_equal(one.of_epoch(0)[1], mixture([3000, 9000], seed=8).of_epoch(0)[1])


def test_whole_streams_once_are_every_document_once():
    shares = [int(LENGTHS[:200].sum()), int(LENGTHS[200:].sum())]
    visits, units = mixture(shares).of_epoch(4)
    assert np.array_equal(np.sort(units), np.arange(300)) and set(visits) == {4}


def test_a_packed_plan_resumes_anywhere_and_counts_tokens():
    new = lambda: Packer(LENGTHS, Geometry(2, 256, 20), mixture([3000, 9000]), True)  # noqa: E731
    whole = new()
    expected, states = [], []
    for _ in range(60):
        states.append(json.dumps(whole.state.to_dict()))
        expected.append(whole.next_batch())
    for cut in (0, 1, 23, 47):
        second = new()
        second.state = State.from_dict(json.loads(states[cut]))
        assert [second.next_batch() for _ in range(60 - cut)] == expected[cut:]
    units = np.array([unit for rows, _ in expected for row in rows for _, unit in row])
    assert tuple(whole.state.by_stream) == stream_tokens(units) and sum(whole.state.by_stream) == whole.state.tokens
    assert whole.state.by_stream[1] / whole.state.tokens == pytest.approx(0.75, abs=0.05)


def test_one_folder_is_read_as_ever():
    expected = np.random.default_rng((42, 3)).permutation(50)
    visits, units = OnceEach(50, 42, True).of_epoch(3)
    assert np.array_equal(units, expected) and set(visits) == {3}


def test_kinds_of_shares():
    def of(**keys):
        return Stream(local="x", **keys)

    assert tokens_per_epoch({"a": of(proportion=0.8), "b": of(proportion=0.2)}, [100, 900]) == [800, 200]
    assert tokens_per_epoch({"a": of(repeat=2.5), "b": of()}, [100, 900]) == [250, 900]


@pytest.fixture(scope="module")
def folders(mds, tmp_path_factory):
    """Two folders with train/ and eval/: the miniature's, and one of short documents of other words."""
    root = tmp_path_factory.mktemp("general")
    ends = np.frombuffer(b"", np.uint16)
    rng = np.random.default_rng(1)
    for split, count in (("train", 40), ("eval", 8)):
        documents = [np.r_[2, rng.integers(10, 60, 30), 3, ends].astype(np.uint16) for _ in range(count)]
        write_mds(root / split, {"input_ids": "ndarray:uint16"}, [{"input_ids": one} for one in documents])
    return mds, root


@pytest.fixture
def streamed(folders):
    """Overrides of a tiny run on two streams, 0.7 and 0.3 of the tokens."""
    notes, general = folders
    train = f"{{notes: {{local: {notes}, proportion: 0.7}}, general: {{local: {general}, proportion: 0.3}}}}"
    held_out = f"{{notes: {{local: {notes}}}, general: {{local: {general}}}}}"
    return {
        "train_loader.dataset.local": "null", "train_loader.dataset.streams": train,
        "eval_loader.dataset.local": "null", "eval_loader.dataset.streams": held_out,
    }  # fmt: skip


def test_a_run_reports_its_streams_and_resumes_bit_equally(train, streamed, tmp_path, capsys):
    common = {
        "max_duration": "6ba",
        "save_interval": "3ba",
        "eval_interval": "6ba",
        "log_to_console": "true",
        "console_log_interval": "3ba",
        **streamed,
    }
    whole = train("whole", **common)
    out = capsys.readouterr().out
    assert "train: stream general: " in out and "  notes " in out and "%, general " in out
    assert "evaluation of notes after batch 6" in out and "evaluation of general after batch 6" in out
    records = read_metrics(whole)
    last = [record for record in records if "streams/notes" in record][-1]
    tokens = last["streams/notes"], last["streams/general"]
    assert min(tokens) > 0
    assert sum(tokens) == load_checkpoint(whole / "latest-rank0.pt").clock["token"]
    scores = {name for record in records for name in record if name.endswith("MaskedAccuracy")}
    assert scores == {"metrics/eval_notes/MaskedAccuracy", "metrics/eval_general/MaskedAccuracy"}
    shutil.copytree(whole, tmp_path / "cut", symlinks=True)
    next((tmp_path / "cut").glob("*-ba6-*")).unlink()
    resumed = train("cut", autoresume="true", **common)
    one, other = (load_checkpoint(folder / "latest-rank0.pt").weights for folder in (whole, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    shutil.copytree(whole, tmp_path / "other", symlinks=True)
    next((tmp_path / "other").glob("*-ba6-*")).unlink()
    changed = streamed["train_loader.dataset.streams"].replace("0.7", "0.6").replace("0.3", "0.4")
    with pytest.raises(UserError, match="the training data are not those of this run"):
        train("other", autoresume="true", **common | {"train_loader.dataset.streams": changed})


def test_the_complete_recipe_reads_back(tiny_config, streamed, tmp_path):
    recipe = tiny_config(**streamed)
    (tmp_path / "again.yaml").write_text(recipe_text(recipe))
    assert load_recipe(tmp_path / "again.yaml") == recipe


@pytest.mark.parametrize(
    "streams, message",
    [
        (
            "{a: {local: x, proportion: 0.5}, b: {local: y, proportion: 0.4}}",
            "the proportions sum to 0.9; they must sum to 1",
        ),
        ("{a: {local: x, proportion: 0.5}, b: {local: y}}", "streams.b has no proportion; give it to all"),
        ("{a: {local: x, proportion: 0.5, repeat: 2}}", "proportion and repeat are given; give one of"),
        ("{a: {local: x, choose: 5ba}}", "choose: '5ba' must be a number of tokens"),
        ("{a: {local: x, share: 0.5}}", "unknown key 'train_loader.dataset.streams.a.share'"),
        ("{a: x}", "streams.a must be a section"),
        ("[x, y]", "must be a section of named sections"),
    ],
)
def test_shares_that_do_not_fit_are_one_sentence(tiny_config, streams, message):
    with pytest.raises(UserError, match=message):
        tiny_config(**{"train_loader.dataset.local": "null", "train_loader.dataset.streams": streams})


def test_what_is_read_is_said_once(tiny_config, streamed):
    with pytest.raises(UserError, match=r"lacks train_loader.dataset.local; .* or train_loader.dataset.streams"):
        tiny_config(**{"train_loader.dataset.local": "null"})
    with pytest.raises(UserError, match="and streams are given; give one of them"):
        tiny_config(**{name: value for name, value in streamed.items() if "local" not in name})
    with pytest.raises(UserError, match="shuffle must be true with streams"):
        tiny_config(**streamed, **{"train_loader.dataset.shuffle": "false"})
    weighted = streamed["train_loader.dataset.streams"]
    with pytest.raises(UserError, match="each stream is evaluated whole"):
        tiny_config(**streamed | {"eval_loader.dataset.streams": weighted})


def test_streams_that_were_converted_differently_are_refused(tiny_config, mds, tmp_path):
    wide = write_mds(
        tmp_path / "wide" / "train", {"input_ids": "ndarray:uint32"}, [{"input_ids": np.array([5], np.uint32)}]
    )
    streams = f"{{a: {{local: {mds}}}, b: {{local: {wide.parent}}}}}"
    changes = {"train_loader.dataset.local": "null", "train_loader.dataset.streams": streams}
    with pytest.raises(UserError, match="'a' and 'b' have different columns .*uint16 and .*uint32"):
        expect_data(tiny_config(**changes).train_loader)
    shutil.rmtree(wide)
    write_mds(wide, {"input_ids": "ndarray:uint16"}, [{"input_ids": np.array([5], np.uint16)}])
    expect_data(tiny_config(**changes).train_loader)
    again = tmp_path / "again" / "train"
    shutil.copytree(wide, again)
    for number, folder in enumerate((wide, again)):
        (folder / "notes.stats.json").write_text(json.dumps({"identity": {"tokenizer_sha256": f"hash{number}"}}))
    changes["train_loader.dataset.streams"] = f"{{a: {{local: {wide.parent}}}, b: {{local: {again.parent}}}}}"
    with pytest.raises(UserError, match="'a' and 'b' have different tokenizer; convert both alike"):
        expect_data(tiny_config(**changes).train_loader)


def test_a_share_below_the_longest_document_is_refused():
    with pytest.raises(
        UserError, match=r"the stream 'general' has 20 tokens an epoch, less than its longest document \(58\)"
    ):
        mixture([3000, 20])
