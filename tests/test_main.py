"""main.py end to end on tiny models: every family, selection, resume, results, and what it says to bad input."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock
from repository import ENCODERS, ROOT
from safetensors.torch import load_file, save_file
from transformers import AutoModelForTokenClassification, AutoTokenizer

from bioclinical.finetuning.callbacks import CompleteMark
from bioclinical.finetuning.run import starting_checkpoint
from bioclinical.launch import forked

ONE_STEP = ("--limit", 8, "--batch_size", 8, "--epochs", 1)


@pytest.fixture
def common(sample, tmp_path):
    return ("--data_dir", sample / "raw", "--output_dir", tmp_path / "outputs")


def read(stdout: str) -> dict:
    return json.loads(Path(stdout.splitlines()[-1]).read_text())


@pytest.mark.parametrize("dataset", ["ChemProt", "cos"])
@pytest.mark.parametrize("family", ENCODERS)
def test_every_family_runs_one_step(run_main, common, tiny_model, family, dataset):
    code, out, err = run_main("--dataset", dataset, "--model", tiny_model(family), *ONE_STEP, *common)
    assert code == 0, err
    result = read(out)
    assert result["status"] == "finished" and result["best_epoch"] == 1 and result["config"]["limit"] == 8
    expected = {
        "ChemProt": {"micro_f1_5", "weighted_f1", "micro_f1", "macro_f1", "accuracy", "per_class", "confusion_matrix"},
        "COS": {"f1", "precision", "recall", "f1_all_gold", "token_accuracy", "per_type", "words_cut", "entities_cut"},
    }
    assert expected[result["dataset"]] <= set(result["metrics"]["test"])
    assert result["attention"] in ("sdpa", "eager", "packed:banded_sdpa") and result["reasons"]["attention"]


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_models_that_write_are_refused_for_labels(run_main, common, tiny_model, family):
    code, _, err = run_main("--dataset", "ChemProt", "--model", tiny_model(family), *ONE_STEP, *common)
    assert code == 2 and f"is of type '{family}', an encoder-decoder" in err and "Traceback" not in err


@pytest.mark.parametrize("dataset", ["Phenotype", "DEID", "SocialHistory"])
def test_the_other_tasks(run_main, common, tiny_model, dataset):
    code, out, err = run_main("--dataset", dataset, "--model", tiny_model(), *ONE_STEP, *common)
    assert code == 0, err
    result = read(out)
    path = Path(out.splitlines()[-1])
    predictions = [json.loads(line) for line in path.with_suffix(".predictions.jsonl").read_text().splitlines()]
    assert len(predictions) == 8 and not {"text", "tokens"} & set(predictions[0])
    assert len(predictions[0]["predicted"]) == len(predictions[0]["gold"])
    assert not path.with_suffix(".run").exists() and not path.with_suffix(".lock").exists()
    for key in (
        "protocol",
        "seed",
        "config",
        "splits",
        "times_s",
        "versions",
        "hardware",
        "device",
        "reasons",
        "git_commit",
    ):
        assert key in result


def test_learns_repeats_nothing_and_keeps_a_usable_model(run_main, common, sample, notes, tmp_path):
    from bioclinical.tiny_models import build_tiny_model

    model = build_tiny_model("bert", notes, tmp_path / "bert", hidden_size=32, layers=2)
    arguments = (
        "--dataset",
        "SocialHistory",
        "--model",
        model,
        "--lr",
        "5e-3",
        "--epochs",
        6,
        "--batch_size",
        8,
        *common,
    )
    code, out, err = run_main(*arguments, "--save_model", tmp_path / "saved")
    assert code == 0, err
    result = read(out)
    assert result["metrics"]["test"]["f1"] > 0.5 and result["metrics"]["baseline"]["f1"] == 0.0
    scores = [entry["f1"] for entry in result["metrics"]["validation"]]
    assert [entry["epoch"] for entry in result["metrics"]["validation"]] == [1, 2, 3, 4, 5, 6]
    assert result["best_epoch"] == scores.index(max(scores)) + 1

    saved = AutoModelForTokenClassification.from_pretrained(tmp_path / "saved")
    assert saved.config.id2label[0] == "B-Alcohol" and saved.config.label2id["O"] == 50
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "saved")
    first = json.loads((Path(out.splitlines()[-1]).with_suffix(".predictions.jsonl")).read_text().splitlines()[0])
    words = (sample / "raw" / "SocialHistory" / f"{first['id']}.txt").read_text().split()
    encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
    tags = saved(**encoded).logits[0].argmax(-1).tolist()
    firsts = [i for i, w in enumerate(encoded.word_ids()) if w is not None and w != encoded.word_ids()[i - 1]]
    assert [saved.config.id2label[tags[i]] for i in firsts] == first["predicted"]

    stamp = Path(out.splitlines()[-1]).stat().st_mtime_ns
    code, again, _ = run_main(*arguments)
    assert code == 0 and again.splitlines()[-1] == out.splitlines()[-1] and "finished already" in again
    assert Path(out.splitlines()[-1]).stat().st_mtime_ns == stamp
    code, _, err = run_main(*arguments, "--save_model", tmp_path / "other")
    assert code == 2 and "add --overwrite" in err
    code, out, _ = run_main(*arguments, "--overwrite", "--save_model", tmp_path / "saved")
    assert code == 0 and read(out)["metrics"]["test"] == result["metrics"]["test"]


def test_killed_and_resumed_equals_uninterrupted(run_main, sample, tiny_model, tmp_path):
    common = (
        "--dataset", "chemprot", "--model", tiny_model(), "--lr", "1e-3", "--epochs", 4, "--limit", 48, "--batch_size", 8,
        "--data_dir", sample / "raw",
    )  # fmt: skip
    code, out, err = run_main(*common, "--output_dir", tmp_path / "whole")
    assert code == 0, err
    whole = read(out)

    arguments = [str(one) for one in (*common, "--output_dir", tmp_path / "cut")]
    process = forked.start(forked.Command("main.py", arguments, ROOT), tmp_path / "log.txt")
    deadline = time.monotonic() + 300
    while not list((tmp_path / "cut").rglob("checkpoint-*/complete.json")):
        assert process.is_alive() and time.monotonic() < deadline, (tmp_path / "log.txt").read_text()
        time.sleep(0.005)
    process.kill()
    process.join()
    assert not list((tmp_path / "cut").rglob("seed=42_????????.json"))

    code, out, err = run_main(*common, "--output_dir", tmp_path / "cut", "--resume")
    assert code == 0, err
    assert "resuming from" in out
    resumed = read(out)
    for entry in (*whole["metrics"]["validation"], *resumed["metrics"]["validation"]):
        entry.pop("loss", None)
    assert resumed["metrics"] == whole["metrics"] and resumed["best_epoch"] == whole["best_epoch"]


def test_resume_without_a_checkpoint_starts_over_and_says_so(run_main, common, tiny_model):
    code, out, err = run_main("--dataset", "cos", "--model", tiny_model(), *ONE_STEP, *common, "--resume")
    assert code == 0 and "nothing to resume" in out, err


@pytest.mark.parametrize("damage", ["truncated", "absent", "no mark", "best absent"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, damage):
    for step in (10, 20):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "optimizer.pt").write_bytes(b"12345")
        best = tmp_path / f"checkpoint-{step - 10 if damage == 'best absent' and step == 20 else step}"
        (folder / "trainer_state.json").write_text(json.dumps({"best_model_checkpoint": str(best)}))
        state = SimpleNamespace(global_step=step)
        CompleteMark().on_save(SimpleNamespace(output_dir=tmp_path), state, None)
    assert starting_checkpoint(tmp_path, resume=True) == str(tmp_path / "checkpoint-20")
    if damage == "truncated":
        (tmp_path / "checkpoint-20" / "optimizer.pt").write_bytes(b"123")
    elif damage == "absent":
        (tmp_path / "checkpoint-20" / "optimizer.pt").unlink()
    elif damage == "no mark":
        (tmp_path / "checkpoint-20" / "complete.json").unlink()
    else:
        shutil.rmtree(tmp_path / "checkpoint-10")
    left = starting_checkpoint(tmp_path, resume=True)
    assert left == (None if damage == "best absent" else str(tmp_path / "checkpoint-10"))
    assert not (tmp_path / "checkpoint-20").exists()


@pytest.mark.parametrize("dataset", ["ChemProt", "COS"])
def test_non_finite_values_stop_the_run_and_are_on_record(run_main, common, tiny_model, tmp_path, dataset):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model("bert"), broken)
    weights = load_file(broken / "model.safetensors")
    weights["bert.encoder.layer.0.output.dense.bias"][0] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    code, _out, err = run_main("--dataset", dataset, "--model", broken, *ONE_STEP, *common)
    assert code == 1 and "non-finite loss or logits at step 0 (train), examples " in err
    example = re.search(r"examples (\S+),", err).group(1)
    assert example.startswith("train" if dataset == "ChemProt" else "report")
    (path,) = (tmp_path / "outputs").rglob("seed=42_????????.json")
    assert json.loads(path.read_text())["status"] == "failed"


def test_a_label_is_stored_and_changes_nothing_else(run_main, common, tiny_model):
    """With the run, or afterwards: the run is the same."""
    run = ("--dataset", "chemprot", "--model", tiny_model("bert"), *common)
    _, out, _ = run_main(*run, "--model_label", "ours")
    first = read(out)
    assert first["model_label"] == "ours" and first["parameters"] > 1000
    code, again, _ = run_main(*run, "--model_label", "ours, late")
    assert code == 0 and "finished already" in again
    assert read(again) == first | {"model_label": "ours, late"}


def test_grouping_by_length_is_another_run_and_leaves_evaluation_in_order(run_main, sample, tiny_model, tmp_path):
    """Where training changes nothing, both orders of it must give each example the same prediction."""
    unmoved = ("--limit", 40, "--batch_size", 8, "--epochs", 1, "--lr", "1e-9", "--wd", 0)
    common = ("--data_dir", sample / "raw", "--output_dir", tmp_path / "outputs")
    found = []
    for more in ((), ("--group_by_length",)):
        code, out, err = run_main("--dataset", "chemprot", "--model", tiny_model("bert"), *unmoved, *common, *more)
        assert code == 0, err
        path = Path(out.splitlines()[-1]).with_suffix(".predictions.jsonl")
        found.append((path, [json.loads(line) for line in path.read_text().splitlines()], read(out)))
    (path, predictions, result), (other_path, other_predictions, other) = found
    assert path != other_path
    assert len({tuple(p["probabilities"]) for p in predictions}) > 10
    for one, two in zip(predictions, other_predictions):
        assert one["probabilities"] == pytest.approx(two["probabilities"], abs=2e-6)
    assert other["metrics"]["validation"][0]["accuracy"] == result["metrics"]["validation"][0]["accuracy"]


def test_bf16_runs(run_main, common, tiny_model):
    code, out, err = run_main(
        "--dataset", "cos", "--model", tiny_model("bert"), *ONE_STEP, *common, "--precision", "bf16"
    )
    assert code == 0 and read(out)["dtype"] == "bf16", err


def test_words_beyond_the_context_are_counted(run_main, common, tiny_model):
    arguments = ("--dataset", "SocialHistory", "--model", tiny_model(), *ONE_STEP, *common, "--max_length", 48)
    code, out, err = run_main(*arguments)
    test = read(out)["metrics"]["test"]
    assert code == 0 and test["words_cut"] > 0 and 0 < test["entities_cut"] < test["entities"], err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--dataset", "nope", "--model", "MODEL"), "unknown dataset 'nope'; known: Phenotype, ChemProt, DEID, COS"),
        (("--dataset", "cos", "--model", "no/such-model"), "no model could be loaded from 'no/such-model'"),
        (("--dataset", "cos", "--model", "MODEL", "--data_dir", "nowhere"), "'nowhere/COS/*.ann' is missing. Get"),
        (("--dataset", "cos", "--model", "MODEL", "--limit", "0"), "argument --limit: 0 is not above zero"),
        (("--dataset", "cos", "--model", "MODEL", "--max_length", "9999"), "allowed: 3 to 512"),
        (
            ("--dataset", "cos", "--model", "MODEL", "--attn", "flash_attention_2"),
            "cannot run here: flash-attn needs a CUDA",
        ),
        (
            ("--dataset", "cos", "--model", "MODEL", "--output_dir", "/dev/null/x"),
            "cannot create the folder '/dev/null/x",
        ),
        (("--dataset", "cos", "--model", "MODEL", "--seed", "-1"), "argument --seed: -1 is not zero or above"),
        (("--dataset", "cos", "--model", "MODEL", "--lr", "inf"), "argument --lr: inf is too large"),
        (("--dataset", "cos", "--model", "MODEL", "--wd", "nan"), "argument --wd: nan is not zero or above"),
        (("--dataset", "cos", "--model", "MODEL", "--epochs", "many"), "invalid int value: 'many'"),
        (
            ("configs/phase1/phase1_base.yaml",),
            "pretraining_resources && composer main.py configs/phase1/phase1_base.yaml",
        ),
    ],
)
def test_bad_arguments(run_main, common, tiny_model, tmp_path, arguments, message):
    arguments = [tiny_model() if a == "MODEL" else a for a in arguments]
    defaults = () if arguments[0].endswith("yaml") else (*common, *ONE_STEP)
    code, _out, err = run_main(*defaults, *arguments) if defaults else run_main(*arguments)
    assert code == 2 and message in err and "Traceback" not in err
    assert not list(tmp_path.rglob("*.json"))


def test_a_tokenizer_that_belongs_to_another_model(run_main, common, tiny_model, tmp_path):
    shutil.copytree(tiny_model("bert"), tmp_path / "mixed")
    config = json.loads((tmp_path / "mixed" / "config.json").read_text())
    config["vocab_size"] = 60
    (tmp_path / "mixed" / "config.json").write_text(json.dumps(config))
    weights = load_file(tmp_path / "mixed" / "model.safetensors")
    cut = {k: v[:60].clone() if v.shape[0] == 500 else v for k, v in weights.items()}
    save_file(cut, tmp_path / "mixed" / "model.safetensors", metadata={"format": "pt"})
    code, _, err = run_main("--dataset", "cos", "--model", tmp_path / "mixed", *ONE_STEP, *common)
    assert code == 2 and "the model has only 60 embeddings" in err


@pytest.mark.parametrize("damage", ["truncated", "absent", "foreign"])
def test_damaged_weights(run_main, common, tiny_model, tmp_path, damage):
    shutil.copytree(tiny_model("bert"), tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "absent":
        path.unlink()
    else:
        save_file({"other.weight": torch.zeros(3)}, path, metadata={"format": "pt"})
    code, _, err = run_main("--dataset", "cos", "--model", tmp_path / "m", *ONE_STEP, *common)
    message = "is it a complete checkpoint" if damage == "foreign" else "cannot be loaded"
    assert code == 2 and message in err and err.count("\n") == 1


def test_saving_never_replaces_what_is_no_saved_model(run_main, common, tiny_model, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    shutil.copytree(tiny_model("bert"), tmp_path / "model")
    for folder in (precious, tmp_path / "model", tmp_path):
        arguments = ("--model", tmp_path / "model", "--save_model", folder, "--overwrite", *ONE_STEP, *common)
        code, _, err = run_main("--dataset", "cos", *arguments)
        assert code == 2 and "is not a model saved by an earlier run" in err
    assert (precious / "thesis.txt").read_text() == "years"


def test_a_damaged_result_can_be_overwritten(run_main, common, tiny_model):
    arguments = ("--dataset", "cos", "--model", tiny_model("bert"), *ONE_STEP, *common)
    code, out, _ = run_main(*arguments)
    Path(out.splitlines()[-1]).write_text("{")
    code, _, err = run_main(*arguments)
    assert code == 2 and "--overwrite replaces it" in err
    code, out, _ = run_main(*arguments, "--overwrite")
    assert code == 0 and read(out)["status"] == "finished"


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="mounting needs root on Linux")
@pytest.mark.parametrize("options", ["size=200k", "size=1m,ro"])
def test_a_real_small_or_read_only_disk(run_main, sample, tiny_model, tmp_path, options):
    (tmp_path / "disk").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", tmp_path / "disk"]).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        arguments = ("--data_dir", sample / "raw", "--output_dir", tmp_path / "disk", *ONE_STEP)
        code, _, err = run_main("--dataset", "cos", "--model", tiny_model("bert"), *arguments)
        assert code == 2 and ("the disk is full" in err or "Read-only" in err) and "Traceback" not in err
        assert not list((tmp_path / "disk").rglob("seed=42_????????.json"))
    finally:
        subprocess.run(["umount", tmp_path / "disk"])


def test_disk_full_while_saving(run_main, common, tiny_model, monkeypatch, tmp_path):
    def disk_full(*_, **__):
        raise RuntimeError("[enforce fail at inline_container.cc:659] . PytorchStreamWriter failed writing file data/1")

    monkeypatch.setattr("transformers.Trainer._save_optimizer_and_scheduler", disk_full)
    code, _, err = run_main("--dataset", "cos", "--model", tiny_model(), *ONE_STEP, *common)
    assert code == 2 and err.splitlines()[-1].startswith("error: the disk is full")
    assert not list(tmp_path.rglob("seed=42_????????.json"))


def test_two_processes_on_one_run(run_main, common, tiny_model, monkeypatch):
    arguments = ("--dataset", "cos", "--model", tiny_model(), *ONE_STEP, *common)
    code, _, err = run_main(*arguments)  # the task's files are read and kept, which takes a lock of its own
    assert code == 0, err
    monkeypatch.setattr(
        "bioclinical.files.FileLock", lambda path: FileLock(path) if "processed" in str(path) else HeldLock()
    )
    code, _, err = run_main(*arguments, "--overwrite")
    assert code == 2 and "another process is working on this run" in err


class HeldLock:
    """A lock that somebody else holds."""

    def acquire(self, timeout):
        from filelock import Timeout

        raise Timeout("held")
