"""scripts/run_parallel.sh with a stand-in for main.py: it only launches processes, and main.py has its own tests."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from repository import ROOT

STAND_IN = """
import os, sys, time
from pathlib import Path
arguments = sys.argv[1:]
seed = arguments[arguments.index("--seed") + 1]
print("gpu", os.environ.get("CUDA_VISIBLE_DEVICES"), "arguments", *arguments)
Path(f"started-{seed}").touch()
if "slow" in arguments:
    time.sleep(60)
    Path(f"survived-{seed}").touch()
sys.exit(seed == "43" and "fails" in arguments)
"""


def default_signals() -> None:
    """As in a terminal: bash cannot trap what was ignored when it started (a suite under nohup, or behind `&`)."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def launcher(tmp_path):
    (tmp_path / "scripts").mkdir()
    for name in ("run_parallel.sh", "run_parallel.py"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    shutil.copy(ROOT / "dataloader.py", tmp_path)
    (tmp_path / "main.py").write_text(STAND_IN)
    environment = os.environ | {
        "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}",
        "CUDA_VISIBLE_DEVICES": "",
    }

    def start(*arguments, **variables):
        return subprocess.Popen(
            ["bash", "scripts/run_parallel.sh", *map(str, arguments)],
            cwd=tmp_path,
            env=environment | variables,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=default_signals,
        )

    return start


def run(launcher, *arguments, **variables):
    process = launcher(*arguments, **variables)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


BASE = ("--dataset", "ChemProt", "--model", "m")


def test_dry_run_prints_the_plan_and_starts_nothing(launcher, tmp_path):
    code, out, _ = run(launcher, *BASE, "--dry_run", "--lr=3e-5", "--resume", "--save_model", "d e")
    assert code == 0 and len(out.splitlines()) == 5 and not list(tmp_path.glob("started-*"))
    assert "--dataset ChemProt --model m --lr=3e-5 --resume --seed 42 --save_model 'd e/seed=42'" in out


def test_gpus_are_taken_in_turn(launcher):
    code, out, _ = run(launcher, *BASE, "--seeds", "1,2,3", CUDA_VISIBLE_DEVICES="4,6")
    assert code == 0
    gpu = {line.split()[1][:-1]: line.split()[3] for line in out.splitlines()}
    assert set(gpu) == {"1", "2", "3"} and {gpu["1"], gpu["2"]} == {"4", "6"} and gpu["3"] in ("4", "6")
    assert all(line.startswith("[seed ") for line in out.splitlines())


def test_one_failing_seed_is_named_and_stops_no_other(launcher, tmp_path):
    code, _out, err = run(launcher, *BASE, "fails")
    assert code == 1 and err == "error: failed seeds: 43 (the others finished)\n"
    assert len(list(tmp_path.glob("started-*"))) == 5


def test_one_seed_is_main(launcher):
    code, out, _ = run(launcher, *BASE, "--seed", "7")
    assert code == 0 and out.count("\n") == 1 and "--seed 7" in out


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopping_reaches_the_children(launcher, tmp_path, how):
    process = launcher(*BASE, "slow", "--jobs", 2, "--seeds", "1,2,3")
    deadline = time.time() + 30
    while len(list(tmp_path.glob("started-*"))) < 2:
        assert time.time() < deadline
        time.sleep(0.05)
    process.send_signal(how)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "stopped" in err
    running = subprocess.run(["pgrep", "-f", str(tmp_path / "main.py")], capture_output=True, text=True).stdout
    assert running == "" and not (tmp_path / "started-3").exists() and not list(tmp_path.glob("survived-*"))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--model", "m"), "--dataset is required"),
        (("--dataset", "d"), "--model is required"),
        ((*BASE, "--seeds", "1,x"), "seed 'x' is not a whole number"),
        ((*BASE, "--seeds", "1,2,1"), "seed 1 is named twice"),
        ((*BASE, "--jobs", "0"), "--jobs '0' is not a number above zero"),
        ((*BASE, "--lr", "1", "--seeds"), "--seeds needs a value"),
    ],
)
def test_bad_arguments(launcher, arguments, message):
    code, _, err = run(launcher, *arguments)
    assert code == 2 and message in err


# Suites, models, folds

TWO_MODELS = ("--model", "m", "--model", "n", "--seeds", "1,43")


def test_a_suite_is_planned_whole_and_says_what_has_no_files(launcher, sample, tmp_path):
    code, out, err = run(launcher, "--suite", "blurb", *TWO_MODELS, "--dry_run", "--data_dir", sample / "raw")
    assert code == 0 and len(out.splitlines()) == 13 * 2 * 2 and all("--resume" in line for line in out.splitlines())
    assert "52 runs of 13 task(s), 2 model(s), 2 seed(s), 1 at a time" in err
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "GAD").symlink_to(sample / "raw" / "GAD")
    code, out, err = run(launcher, "--suite", "blurb", *TWO_MODELS, "--dry_run", "--data_dir", tmp_path / "raw")
    assert len(out.splitlines()) == 4 and err.count("not in the plan: ") == 12


def test_failures_of_a_suite_are_named_at_the_end_with_progress_before(launcher, tmp_path, sample):
    for folder in ("GAD", "RQE"):
        (tmp_path / "raw" / folder).parent.mkdir(exist_ok=True)
        (tmp_path / "raw" / folder).symlink_to(sample / "raw" / folder)
    code, out, err = run(launcher, "--suite", "blurb", *TWO_MODELS, "--data_dir", tmp_path / "raw", "fails")
    assert code == 1 and "4 of 4 runs done (2 failed), 0:00:0" in out
    assert "2 of 4 runs failed and 12 task(s) of the suite have no files" in err
    assert "failed: GAD m seed 43" in err and "not run: PICO: " in err and "failed: GAD m seed 1" not in err


def test_folds(launcher):
    code, out, _ = run(launcher, "--dataset", "EU-ADR", "--model", "m", "--seed", "1", "--folds", "all", "--dry_run")
    assert code == 0 and [f"--fold {fold} " in line for fold, line in enumerate(out.splitlines(), 1)] == [True] * 10
    code, _, err = run(launcher, "--dataset", "EU-ADR", "--model", "m", "--folds", "2,11")
    assert code == 2 and "fold 11 does not exist; EU-ADR has 1 to 10" in err
    code, _, err = run(launcher, *BASE, "--folds", "all")
    assert code == 2 and "--folds: ChemProt has no folds" in err


def test_saved_models_of_a_suite_do_not_meet(launcher, sample):
    arguments = ("--suite", "blurb", *TWO_MODELS, "--dry_run", "--data_dir", sample / "raw", "--save_model", "kept")
    _, out, _ = run(launcher, *arguments)
    folders = [line.split("--save_model ")[1].strip() for line in out.splitlines()]
    assert len(set(folders)) == 52 and "kept/GAD/n/seed=43" in folders
