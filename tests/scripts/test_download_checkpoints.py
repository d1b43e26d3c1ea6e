"""Where the published checkpoints are put. The hub client is replaced by a script that writes what it is asked for."""

import os
import subprocess

import pytest
from omegaconf import OmegaConf
from repository import ROOT

CLIENT = """#!/usr/bin/env bash
mkdir -p "$5/$(dirname "$3")"
echo "$2" > "$5/$3"
"""


@pytest.fixture
def download(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "huggingface-cli").write_text(CLIENT)
    (tmp_path / "bin" / "huggingface-cli").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = ["bash", str(ROOT / "scripts" / "download_checkpoints.sh"), *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=environment)

    return run


@pytest.mark.parametrize(("size", "which", "recipe", "repo"), [
    ("base", "modernbert", "phase1/phase1_base", "answerdotai/ModernBERT-base-training-checkpoints"),
    ("large", "modernbert", "phase1/phase1_large", "answerdotai/ModernBERT-large-training-checkpoints"),
    ("base", "bioclinical", "phase2/phase2_base", "thomas-sounack/BioClinical-ModernBERT-checkpoints"),
    ("large", "bioclinical", "phase2/phase2_large", "thomas-sounack/BioClinical-ModernBERT-checkpoints"),
])  # fmt: skip
def test_recipes_find_what_was_downloaded(download, tmp_path, size, which, recipe, repo):
    result = download(size, which, str(tmp_path / "checkpoints"))
    assert result.returncode == 0, result.stderr
    config = OmegaConf.load(ROOT / "pretraining_resources" / "configs" / f"{recipe}.yaml")
    assert (tmp_path / config.load_path).read_text().strip() == repo
    assert download(size, which, str(tmp_path / "checkpoints")).returncode == 0  # again


def test_a_run_of_ones_own_is_never_replaced(download, tmp_path):
    own = tmp_path / "checkpoints" / "phase1_all_3ep_constant"
    own.mkdir(parents=True)
    (own / "ep1-ba9-rank0.pt").write_text("days of work")
    (own / "latest-rank0.pt").symlink_to("ep1-ba9-rank0.pt")
    result = download("base", "bioclinical", str(tmp_path / "checkpoints"))
    assert result.returncode == 2 and "is a run of your own" in result.stderr
    assert (own / "latest-rank0.pt").read_text() == "days of work"


def test_wrong_words_are_told_the_right_ones(download):
    result = download("huge", "modernbert")
    assert result.returncode == 2 and "{base|large} {modernbert|bioclinical}" in result.stderr
