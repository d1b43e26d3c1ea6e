"""The three scripts called in this process, and a tokenizer folder."""

import importlib.util
import sys
from pathlib import Path

import pytest

from bioclinical.errors import run_cli
from bioclinical.text.tokenization import load_tokenizer

SCRIPTS = Path(__file__).resolve().parents[2] / "pretraining_resources"


@pytest.fixture
def run_script(monkeypatch, capsys):
    """Runs a script of pretraining_resources; returns (exit code, stdout, stderr)."""

    def run(name: str, *arguments: object) -> tuple[int, str, str]:
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        try:
            run_cli(module.main)
            code = 0
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def convert(run_script, tiny_model, tmp_path):
    """Converts files into tmp_path/out with small samples and shards; more arguments override these."""

    def run(files, *arguments: object, out: str = "out") -> tuple[int, str, str]:
        files = files if isinstance(files, list) else [files]
        return run_script(
            "convert_dataset_to_mds", "--dataset", *files, "--out_dir", tmp_path / out, "--workers", 2,
            "--out_token_counts", tmp_path / out / "token_counts.txt", "--tokenizer", tiny_model(),
            "--concat_tokens", 64, "--size_limit", "20kb", *arguments,
        )  # fmt: skip

    return run


@pytest.fixture
def tokenizer(tiny_model):
    return load_tokenizer(tiny_model())
