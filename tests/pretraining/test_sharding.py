"""GPT-2 divided between two processes (FSDP, gloo on the CPU): one process's results, whole checkpoints, exact resume."""

import shutil

import pytest
import torch
from forked_runs import run_in_two_processes

from bioclinical.checkpoints.export import export
from bioclinical.checkpoints.found import own_checkpoints
from bioclinical.checkpoints.read import read_checkpoint
from bioclinical.errors import UserError
from bioclinical.pretraining.data.rows import share_of
from bioclinical.pretraining.training.metrics_file import read_metrics
from bioclinical.pretraining.training.resources import memory_per_process, resources_text
from bioclinical.pretraining.training.run import build, run

SMALL = {"model.model_config.n_layer": 2, "device_train_microbatch_size": 2, "scheduler.t_warmup": "0ba",
         "model.model_config.resid_pdrop": 0.0, "model.model_config.embd_pdrop": 0.0, "model.model_config.attn_pdrop": 0.0,
         "eval_loader.sequence_packing": "true", "optimizer.eps": 1e-4,
         "objective.boundaries": "isolated"}  # rows of different lengths: other groups in each process  # fmt: skip
SHARDED = {"fsdp_config": "{sharding_strategy: FULL_SHARD}", "model.gradient_checkpointing": "true"}


def content(folder, number):
    (path,) = folder.glob(f"ep*-ba{number}-rank0.pt")
    return read_checkpoint(path)["state"]


def flat(state, prefix=""):
    """Tensors of nested dictionaries by dotted names."""
    found = {}
    for key, value in state.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, torch.Tensor):
            found[prefix + key] = value
    return found


def test_two_shares_equal_one_whole_and_resume(miniature, tmp_path):
    """Weights, moments, losses and evaluation; then from the checkpoint in the middle, bit for bit, and the export."""
    times = {"max_duration": "4ba", "save_interval": "2ba", "eval_interval": "2ba", "save_num_checkpoints_to_keep": -1}
    run(miniature("gpt2", "gpt2", tmp_path / "one", **SMALL, **times))
    next_phase = {
        "max_duration": "1ba",
        "load_path": tmp_path / "one" / "latest-rank0.pt",
        "load_weights_only": "false",
    }
    run(miniature("gpt2", "gpt2", tmp_path / "one-next", **SMALL, **times | next_phase))
    run_in_two_processes([
        miniature("gpt2", "gpt2", tmp_path / "two", **SMALL, **SHARDED, **times),
        miniature("gpt2", "gpt2", tmp_path / "two-next", **SMALL, **SHARDED, **times | next_phase),
    ])  # fmt: skip
    for which in ("model", "optimizers"):  # a phase that starts with moments
        one, two = (flat(content(tmp_path / f"{name}-next", 1)[which]) for name in ("one", "two"))
        assert one.keys() == two.keys()
        for name, tensor in one.items():
            torch.testing.assert_close(tensor, two[name], atol=1e-5, rtol=1e-4, msg=name)
    one, two = (content(tmp_path / name, 4) for name in ("one", "two"))
    assert one["model"].keys() == two["model"].keys()
    for name, tensor in one["model"].items():
        torch.testing.assert_close(tensor, two["model"][name], atol=1e-5, rtol=1e-4, msg=name)
    for ours, theirs in zip(read_metrics(tmp_path / "one"), read_metrics(tmp_path / "two"), strict=True):
        assert ours["token"] == theirs["token"]
        for key in (key for key in ours if key.startswith(("loss/", "metrics/", "gradient_norms/"))):
            assert ours[key] == pytest.approx(theirs[key], rel=1e-3), key

    shutil.copytree(tmp_path / "two", tmp_path / "again", symlinks=True)
    own_checkpoints(tmp_path / "again")[0].unlink()
    run_in_two_processes(
        [miniature("gpt2", "gpt2", tmp_path / "again", autoresume="true", **SMALL, **SHARDED, **times)]
    )
    again = content(tmp_path / "again", 4)
    assert all(torch.equal(tensor, again["model"][name]) for name, tensor in two["model"].items())
    (ours,), (theirs,) = (state["optimizers"].values() for state in (two, again))
    for name, moments in ours["state"].items():
        assert all(torch.equal(moments[one], theirs["state"][name][one]) for one in ("exp_avg", "exp_avg_sq")), name
    assert export(own_checkpoints(tmp_path / "again")[0], tmp_path / "hf", None, None, False) < 1e-4


def test_memory_and_hours_of_biomedlm():
    """facts: 16 bytes a weight, 41.5 GB and 10.4 GB of buckets whole, 5.2 GB as one of eight; 6 operations a weight."""
    weights = 2_594_247_680
    memory = memory_per_process(weights, 8)
    assert sum(memory["ddp"].values()) - memory["ddp"]["buckets"] == pytest.approx(41.5, abs=0.05)
    assert memory["ddp"]["buckets"] == pytest.approx(10.4, abs=0.05)
    assert sum(memory["fsdp"].values()) == pytest.approx(5.2, abs=0.02)
    text = resources_text(weights, 8, 6 * weights, 300e9)
    assert "shared by 8): 5.19 GB per process" in text and "GPU-hours: 3,278.9 for 300,000,000,000 tokens" in text
    assert "no formula" in resources_text(weights, 8, None, 1)


def test_every_process_has_as_many_rows(miniature):
    rows = [[(0, 1)], [(0, 2)], [(0, 3)], [], []]
    assert [len(share_of(rows, rank, 2, in_step=True).rows) for rank in (0, 1)] == [2, 2]
    assert [share_of(rows, rank, 2, in_step=True).silent for rank in (0, 1)] == [0, 1]
    assert [share_of(rows, rank, 4, in_step=True).silent for rank in range(4)] == [0, 0, 0, 1]
    assert [share_of(rows, rank, 2).silent for rank in (0, 1)] == [0, 0]


@pytest.mark.parametrize(("recipe", "family", "changes", "message"), [
    ("roberta", "roberta", {}, "fsdp_config: only gpt2 is sharded here, not roberta"),
    ("gpt2", "gpt2", {"optimizer.name": "lamb"}, "fsdp_config: optimizer lamb needs whole tensors; use adamw"),
    ("gpt2", "gpt2", {"fsdp_config": "{sharding_strategy: SHARD_GRAD_OP}"}, "sharding_strategy: 'SHARD_GRAD_OP' cannot be"),
])  # fmt: skip
def test_what_is_not_sharded_says_so(recipe, family, changes, message, miniature, tmp_path):
    with pytest.raises(UserError, match=message):
        build(miniature(recipe, family, tmp_path / "run", **SHARDED | changes))
