"""Shared fixtures: sample data, tiny models, real data where it exists, and main.py called in this process."""

import functools
import gc
import os
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

import pandas as pd
import psutil
import pytest
from repository import ROOT

import main
from bioclinical.errors import run_cli
from bioclinical.tiny_models import build_tiny_model
from scripts.make_sample_data import make_sample_data

HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "compile_worker")  # they end with us
PATIENCE_S = 20


def pytest_collection_finish() -> None:
    """Every training run collects garbage: looking through all that torch consists of would take a second each time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind(tmp_path_factory):
    """Temporary files of all tests lie in pytest's own folder, and no process outlives the tests."""
    tempfile.tempdir = os.environ["TMPDIR"] = str(tmp_path_factory.mktemp("t"))
    yield
    deadline = time.monotonic() + PATIENCE_S
    while left := [command for child in psutil.Process().children(recursive=True) if (command := alive(child))]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def alive(process: psutil.Process) -> str:
    """What a process was started as; nothing for the dead and for helpers."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        return ""
    return "" if any(helper in command for helper in HELPERS) else command


@pytest.fixture(scope="session")
def sample(tmp_path_factory) -> Path:
    """The invented sample data: raw/ and notes.csv. Read only."""
    folder = tmp_path_factory.mktemp("sample")
    make_sample_data(folder)
    return folder


@pytest.fixture(scope="session")
def notes(sample) -> list[str]:
    return pd.read_csv(sample / "notes.csv", dtype=str, keep_default_na=False)["notes"].tolist()


@pytest.fixture(scope="session")
def tiny_model(notes, tmp_path_factory):
    """family -> folder of a tiny random encoder with its tokenizer; each is built once."""
    built: dict[str, Path] = {}

    def get(family: str = "modernbert") -> Path:
        if family not in built:
            folder = tmp_path_factory.mktemp(family) / f"tiny-{family}"
            built[family] = build_tiny_model(family, notes[:200], folder, vocab_size=500, hidden_size=32, layers=2)
        return built[family]

    return get


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real public data; tests that use it are skipped where it is not there."""
    folder = Path(os.environ.get("BIOCLINICAL_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data at '{folder}' (set BIOCLINICAL_REAL_DATA)")
    return folder


@pytest.fixture
def run_command(monkeypatch, capsys):
    """run_command(module, argument, ...): its command line in this process; returns (exit code, stdout, stderr)."""

    def run(module: ModuleType, *arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
        try:
            run_cli(module.main)
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def run_main(run_command):
    """Runs main.py's command line in this process; returns (exit code, stdout, stderr)."""
    return functools.partial(run_command, main)
