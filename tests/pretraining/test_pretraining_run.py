"""Whole tiny runs through Composer: what is written, what does not depend on the division of work, and what stops a run."""

import json
import os
import resource
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from forked_runs import fork, run_in_session
from pretraining_setup import write_mds

from bioclinical.checkpoints.found import newest_whole
from bioclinical.checkpoints.read import load_checkpoint
from bioclinical.errors import RunFailed, UserError, is_disk_full
from bioclinical.pretraining.data.batch_sizes import eval_batch_sizes, note_on_batch, train_batch_sizes
from bioclinical.pretraining.training.metrics_file import read_metrics
from bioclinical.pretraining.training.outlook import check
from bioclinical.pretraining.training.run import build, run

NO_DROPOUT = {"model.model_config.attn_out_dropout_prob": 0.0}


def weights(folder) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "latest-rank0.pt").weights


def assert_same(one, other, **tolerance):
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], **(tolerance or {"atol": 0, "rtol": 0}), msg=name)


def test_a_run_learns_and_leaves_its_files(train, capsys):
    folder = train(max_duration="40ba", log_to_console="true", console_log_interval="10ba", eval_interval="20ba",
                   save_interval="20ba", **{"optimizer.lr": 5e-3})  # fmt: skip
    out = capsys.readouterr().out
    assert "fresh: token 0, batch 0 of 40ba" in out and "run_name: run" in out
    assert out.count("tokens/s") == 4 and "packing" in out
    metrics = read_metrics(folder)
    losses = [record["loss/train/total"] for record in metrics if "loss/train/total" in record]
    evaluations = [record["metrics/eval/LanguageCrossEntropy"] for record in metrics
                   if "metrics/eval/LanguageCrossEntropy" in record]  # fmt: skip
    assert len(losses) == 40 and losses[-1] < losses[0] - 0.5
    assert len(evaluations) == 2 and evaluations[1] < evaluations[0]
    norms = [record["gradient_norms/l2_norm"] for record in metrics if "gradient_norms/l2_norm" in record]
    assert len(norms) == 4 and min(norms) > 0
    assert sorted(path.name.split("-")[1] for path in folder.glob("ep*")) == ["ba20", "ba40"]
    assert (folder / "config.yaml").read_text().startswith("data_local: ")
    assert os.readlink(folder / "latest-rank0.pt").endswith("-ba40-rank0.pt")


def test_micro_batches_do_not_change_the_step(train):
    same = dict(max_duration="3ba", global_train_batch_size=4, **NO_DROPOUT, **{"train_loader.drop_last": "false"})
    whole = train("whole", device_train_microbatch_size=4, **{"train_loader.sequence_packing": "false"}, **same)
    parts = train("parts", device_train_microbatch_size=1, **{"train_loader.sequence_packing": "false"}, **same)
    assert_same(weights(whole), weights(parts), atol=1e-6, rtol=0)


def as_arguments(config: dict[str, object]) -> list[str]:
    return [f"{key}={value}" for key, value in config.items()]


def test_resuming_equals_not_stopping(train, tmp_path, capsys):
    """Dropout, masks, shuffling, packing, optimizer and schedule continue bit for bit, also at the end of an epoch."""
    common = {"max_duration": "30ba", "save_interval": "1ba", "global_train_batch_size": 8}
    whole = train("whole", **common)
    last_of_epoch = max(int(path.name.split("-ba")[1].split("-")[0]) for path in whole.glob("ep0-ba*"))
    for number in (3, last_of_epoch):
        parts = tmp_path / f"cut{number}"
        shutil.copytree(whole, parts, symlinks=True)
        for path in parts.glob("ep*"):
            if int(path.name.split("-ba")[1].split("-")[0]) > number:
                path.unlink()
        newest = next(parts.glob(f"ep*-ba{number}-rank0.pt"))
        train(parts.name, autoresume="true", **common)
        assert f"resumed from '{newest}': token " in capsys.readouterr().out
        assert_same(weights(whole), weights(parts))
        losses = [[record.get("loss/train/total") for record in read_metrics(folder)] for folder in (whole, parts)]
        assert losses[0] == losses[1]


def test_a_finished_run_says_so(train, capsys):
    folder = train(max_duration="2ba")
    before = sorted(path.name for path in folder.iterdir())
    train(max_duration="2ba", autoresume="true")
    assert "has reached 2ba" in capsys.readouterr().out and sorted(path.name for path in folder.iterdir()) == before
    with pytest.raises(RunFailed, match="already holds checkpoints of a run; continue it with autoresume=true"):
        train(max_duration="2ba")


def test_cut_checkpoints_fall_back(train, capsys):
    folder = train(max_duration="8ba", save_interval="2ba")
    for number in (6, 8):
        path = next(folder.glob(f"ep*-ba{number}-rank0.pt"))
        path.write_bytes(path.read_bytes()[: 5000 * number])
    capsys.readouterr()
    train(max_duration="8ba", save_interval="2ba", autoresume="true")
    out = capsys.readouterr().out
    assert out.count("is cut off or damaged; falling back") == 2 and "-ba4-rank0.pt': token" in out
    for path in folder.glob("ep*"):
        path.write_bytes(b"PK cut")
    with pytest.raises(UserError, match="all 4 checkpoints in .* are cut off or damaged"):
        train(max_duration="8ba", autoresume="true")


def test_a_full_disk_leaves_the_checkpoint_before(train):
    folder = train(max_duration="2ba", save_interval="2ba")
    before = sorted(path.name for path in folder.iterdir())
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, unlimited[1]))  # no file can grow further: as on a full disk
    try:
        with pytest.raises(Exception) as stopped:
            train(max_duration="4ba", save_interval="2ba", autoresume="true")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert is_disk_full(stopped.value)
    assert sorted(path.name for path in folder.iterdir()) == before and newest_whole(folder)[0].name.endswith(
        "-ba2-rank0.pt"
    )
    assert weights(train(max_duration="4ba", save_interval="2ba", autoresume="true"))


def test_only_the_newest_are_kept(train):
    folder = train(max_duration="6ba", save_interval="1ba", save_num_checkpoints_to_keep=2)
    assert sorted(path.name.split("-")[1] for path in folder.glob("ep*")) == ["ba5", "ba6"]


def test_other_data_are_refused_on_resume(train, mds, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(mds, folder)
    train(max_duration="2ba", data_local=folder)
    shutil.rmtree(folder / "train")
    write_mds(folder / "train", {"input_ids": "ndarray:uint16"}, [{"input_ids": np.arange(5, 30, dtype=np.uint16)}])
    with pytest.raises(UserError, match="1 samples of 25 tokens instead of 120"):
        train(max_duration="4ba", data_local=folder, autoresume="true")


def test_a_loss_that_is_not_finite_stops_before_the_step(train, monkeypatch, tmp_path):
    from bioclinical.pretraining.objectives.masked_tokens import MaskedTokens

    real = MaskedTokens.loss_sums
    calls = iter(range(100))

    def broken(objective, networks, row):
        ((term, total),) = real(objective, networks, row).items()
        return {term: total * float("nan") if next(calls) == 7 else total}  # fourth batch, second of its two rows

    monkeypatch.setattr(MaskedTokens, "loss_sums", broken)
    with pytest.raises(RunFailed, match=r"batch 3: loss not finite for documents \d+, .*the step was not taken"):
        train(save_interval="1ba", max_duration="8ba", eval_interval="100ba")
    monkeypatch.setattr(MaskedTokens, "loss_sums", real)
    assert os.readlink(tmp_path / "run" / "latest-rank0.pt").endswith("-ba3-rank0.pt")
    train(max_duration="4ba", autoresume="true")


def test_check_measures_and_writes_nothing(tiny_config, tmp_path, capsys):
    check(tiny_config("checked"))
    out = capsys.readouterr().out
    assert "all shards intact" in out and "tokens/s" in out and "epochs, about 8 steps" in out
    weights = sum(one.numel() for one in build(tiny_config("checked")).model.parameters())
    assert f"weights: {weights:,} trained" in out and "GPU-hours: " in out
    assert f"DDP (a whole copy each): {20 * weights / 1e9:.2f} GB per process" in out
    assert not (tmp_path / "checked").exists()


def test_check_names_damaged_shards(tiny_config, mds, tmp_path):
    shutil.copytree(mds, tmp_path / "data")
    shard = tmp_path / "data" / "train" / "shard.00000.mds"
    index = json.loads((tmp_path / "data" / "train" / "index.json").read_text())
    index["shards"][0]["raw_data"]["hashes"] = {"sha256": "0" * 64}
    (tmp_path / "data" / "train" / "index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=f"1 damaged shards: '{shard}' has the right size but another content"):
        check(tiny_config("checked", data_local=tmp_path / "data"))


@pytest.mark.parametrize(("changes", "message"), [
    ({"precision": "amp_bf16"}, "precision: 'amp_bf16' needs a GPU"),
    ({"device": "gpu"}, "torch sees no CUDA device"),
    ({"device_train_microbatch_size": 3}, "3 does not divide the 4 sequences of one process .*; use 2"),
    ({"device_train_microbatch_size": 8}, "8 does not divide the 4 sequences .*; use 4"),
    ({"model.model_config.vocab_size": 100}, "vocab_size: 100 is less than"),
    ({"model.model_config.num_hidden_layers": 3}, "must be a multiple of global_attn_every_n_layers"),
    ({"model.model_config.hidden_act": "jelu"}, "hidden_act: 'jelu' is unknown"),
    ({"model.model_config.attn_qkv_bias": "true"}, "attn_qkv_bias and attn_out_bias must be equal"),
    ({"model.model_config.sliding_window": 7}, "sliding_window 7 .* cannot be expressed"),
    ({"model.tokenizer_name": "no/such-tokenizer"}, "no tokenizer could be loaded from 'no/such-tokenizer'"),
    ({"model.attention_backend": "flash_attn_2"}, "flash_attn_2 cannot run here"),
    ({"load_path": "no/such-model"}, "'no/such-model' is neither a .pt file nor a language model"),
    ({"load_path": "no/such.pt"}, "there is no checkpoint 'no/such.pt'; download it first"),
    ({"loggers": "{wandb: {project: x}}"}, "loggers.wandb needs a package that is not installed"),
    ({"loggers": "{tensorboard: {no_such: 1}}"}, "loggers.tensorboard"),
    ({"train_loader.dataset.split": "nowhere"}, "has no index.json"),
    ({"train_loader.batch_size_warmup_min_size": 2}, "belong together"),
])  # fmt: skip
@pytest.mark.skipif(torch.cuda.is_available(), reason="these are the sentences of a machine without a GPU")
def test_what_cannot_be_done_is_one_sentence(tiny_config, changes, message, tmp_path):
    with pytest.raises(UserError, match=message):
        run(tiny_config("refused", **changes))
    assert not list((tmp_path / "refused").glob("ep*")) if (tmp_path / "refused").exists() else True


def test_batches_on_other_numbers_of_gpus(tiny_config):
    sizes = {"global_train_batch_size": 576, "device_train_microbatch_size": 12}
    recipe = tiny_config(recipe="phase1/phase1_base", **sizes, **{"model.model_config.hidden_size": 768})
    assert (train_batch_sizes(recipe, 8).device, train_batch_sizes(recipe, 8).rows_per_process) == (72, 6)
    assert note_on_batch(recipe, 8) is None
    assert "GPUs x 72 (here 288)" in note_on_batch(recipe, 4)
    with pytest.raises(UserError, match="576 cannot be divided among 7 processes; use 574 or 581"):
        train_batch_sizes(recipe, 7)
    with pytest.raises(UserError, match=r"12 does not divide the 9 sequences of one process \(576 / 64\); use 9"):
        train_batch_sizes(recipe, 64)
    assert eval_batch_sizes(recipe, 8).micro == 12


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_sigterm_saves_and_ends_well(tiny_config, tmp_path, capfd):
    recipe = tiny_config("stopped", max_duration="100000ba", save_interval="50000ba", **{"train_loader.num_workers": 2})
    process = fork(run_in_session, recipe)
    metrics = tmp_path / "stopped" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)  # as batch systems do: the workers get it, too
    process.join(60)
    assert process.exitcode == 0 and "stopped by SIGTERM after batch" in capfd.readouterr().out
    (path,) = (tmp_path / "stopped").glob("ep*")
    assert f"-ba{read_metrics(metrics.parent)[-1]['batch']}-" in path.name
