"""Every objective, packed and padded: two processes compute what one does, and a killed run goes on bit for bit."""

import os
import subprocess
import sys

import pytest
import torch
from forked_runs import run_in_two_processes, run_until_killed
from pretraining_setup import CONFIGS
from repository import ROOT

from bioclinical.checkpoints.read import read_checkpoint
from bioclinical.pretraining.architectures import stored_architecture
from bioclinical.pretraining.compute import Compute
from bioclinical.pretraining.training.metrics_file import read_metrics
from bioclinical.pretraining.training.run import run
from bioclinical.text.tokenization import load_tokenizer

SMALL = {"model.model_config.num_hidden_layers": 2, "model.model_config.hidden_size": 32,
         "model.model_config.intermediate_size": 48}  # fmt: skip
PACKED = {"model.model_config.num_hidden_layers": 4, "model.model_config.hidden_size": 32,
          "model.model_config.intermediate_size": 48, "max_seq_len": 128}  # fmt: skip
# name -> (recipe of configs/smoke, vocabulary and data of this family, what else differs)
CASES = {
    "masked, packed": ("phase1", "modernbert", PACKED),
    "masked, padded": ("roberta", "roberta", SMALL),
    "whole words and LAMB": ("albert", "albert", SMALL),
    "sentence order": ("albert", "albert", {**SMALL, "objective": "sentence_order"}),
    "replaced, padded": ("electra", "electra", SMALL),
    "replaced, packed": ("phase1", "modernbert", {**PACKED, "objective": "replaced_tokens"}),
    "distillation": ("distillation", "roberta", SMALL),
    "next token, joined": ("gpt2", "gpt2", {"model.model_config.n_layer": 2}),
    "next token, isolated": ("gpt2", "gpt2", {"model.model_config.n_layer": 2, "objective.boundaries": "isolated"}),
}
DROPOUTS = {"modernbert": ("attn_out_dropout_prob",), "gpt2": ("resid_pdrop", "embd_pdrop", "attn_pdrop")}
PADDED_DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")


@pytest.fixture(scope="session")
def teacher(prepared, tmp_path_factory):
    """A RoBERTa with random weights and the vocabulary of the students."""
    folder = tmp_path_factory.mktemp("teacher")
    tokenizer = load_tokenizer(prepared("roberta") / "vocabulary")
    config = {"model_type": "roberta", "vocab_size": 448, "hidden_size": 48, "num_hidden_layers": 2,
              "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 514,
              "pad_token_id": tokenizer.pad_token_id}  # fmt: skip
    stored_architecture(config, Compute()).new_model(seed=5).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def case(miniature, teacher):
    """case(name, folder, key=value, ...): a tiny recipe for one of CASES."""

    def get(name, folder, dropout=True, **changes):
        recipe, family, own = CASES[name]
        names = DROPOUTS.get(family, PADDED_DROPOUTS)
        dropouts = {f"model.model_config.{one}": 0.1 if dropout else 0.0 for one in names}
        distilled = {"objective.teacher": teacher} if recipe == "distillation" else {}
        values = {"device_train_microbatch_size": 2, "scheduler.t_warmup": "2ba", "eval_interval": "100ba",
                  "save_num_checkpoints_to_keep": -1} | own | dropouts | distilled  # fmt: skip
        return miniature(recipe, family, folder, **values | changes)

    return get


def state(folder, number):
    (path,) = folder.glob(f"ep*-ba{number}-rank0.pt")
    return read_checkpoint(path)["state"]


def figures(folder, *names):
    return [[record.get(name) for name in names] for record in read_metrics(folder)]


def test_two_processes_equal_one(case, tmp_path):
    """Two steps and an evaluation of every objective on the same global batches, with gloo in the same two processes.

    With StableAdamW: a plain AdamW's first step is the gradients' sign, which rounding decides where they are nearly 0.
    """
    same = {"max_duration": "2ba", "save_interval": "2ba", "eval_loader.sequence_packing": "true",
            "optimizer.name": "decoupled_stableadamw", "optimizer.weight_decay": 1e-5}  # fmt: skip
    run_in_two_processes([case(name, tmp_path / "two" / name, dropout=False, **same) for name in CASES])
    for name in CASES:
        run(case(name, tmp_path / "one" / name, dropout=False, **same))
        one, two = (state(tmp_path / which / name, 2)["model"] for which in ("one", "two"))
        for tensor_name, tensor in one.items():
            torch.testing.assert_close(tensor, two[tensor_name], atol=1e-6, rtol=0, msg=f"{name}: {tensor_name}")
        first, second = (read_metrics(tmp_path / which / name) for which in ("one", "two"))
        assert any("metrics/eval" in key for record in first for key in record)
        for ours, theirs in zip(first, second, strict=True):
            assert ours["token"] == theirs["token"]
            for key in (key for key in ours if key.startswith(("loss/", "metrics/"))):
                assert ours[key] == pytest.approx(theirs[key], abs=1e-5, rel=1e-4), (name, key)


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("name", CASES)
def test_killed_and_resumed_equals_not_stopped(name, case, tmp_path):
    """kill -9 within the fifth batch: masks, fillings, dropout, packing, optimizer and schedule go on bit for bit."""
    common = {"max_duration": "6ba", "save_interval": "3ba"}
    run(case(name, tmp_path / "whole", **common))
    run_until_killed(case(name, tmp_path / "killed", **common), micro_batch=4 * 4 + 1)
    assert not list((tmp_path / "killed").glob("ep*-ba6-rank0.pt"))
    run(case(name, tmp_path / "killed", autoresume="true", **common))
    whole, killed = (state(tmp_path / which, 6) for which in ("whole", "killed"))
    assert all(torch.equal(tensor, killed["model"][one]) for one, tensor in whole["model"].items())
    (ours,), (theirs,) = (one["optimizers"].values() for one in (whole, killed))
    for parameter, moments in ours["state"].items():
        for moment in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(moments[moment], theirs["state"][parameter][moment]), parameter
    losses = [figures(tmp_path / which, "loss/train/total", "token") for which in ("whole", "killed")]
    assert losses[0] == losses[1]


@pytest.mark.docs
def test_composers_launcher(prepared, tmp_path):
    """`composer main.py RECIPE` on two processes, as the pages give it."""
    root = prepared("modernbert")
    values = {"data_local": root / "mds", "tokenizer_name": root / "vocabulary", "save_folder": tmp_path / "run",
              "max_duration": "2ba", "scheduler.t_warmup": "1ba", "global_train_batch_size": 4,
              "load_path": "null", "model.model_config.vocab_size": 448}  # fmt: skip
    command = [sys.executable, "-m", "composer.cli.launcher", "-n", "2", "main.py", CONFIGS / "smoke" / "phase1.yaml"]
    ended = subprocess.run(
        [*command, *(f"{key}={value}" for key, value in values.items())], cwd=ROOT / "pretraining_resources",
        capture_output=True, text=True, timeout=600, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert (tmp_path / "run" / "latest-rank0.pt").is_file()
