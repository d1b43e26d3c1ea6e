"""A conversion killed at any moment and started again gives the files of an uninterrupted one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mds_files import files_of, write_csv

from bioclinical.errors import RunFailed
from bioclinical.mds import conversion
from bioclinical.mds.conversion import Conversion
from bioclinical.mds.settings import MdsSettings
from bioclinical.mds.shards import SplitWriter

HARNESS = Path(__file__).with_name("killed_runs.py")


def test_killed_and_started_again(tmp_path, notes, tiny_model):
    path = write_csv(tmp_path / "notes.csv", notes[:60] + [" "])
    command = [sys.executable, str(HARNESS), str(path), str(tiny_model()), str(tmp_path / "runs"), "--every", "5"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["differing"] == []
    assert result["killed"] > 10


@pytest.fixture
def interrupted(tmp_path, notes, tokenizer, monkeypatch):
    """(a conversion stopped after two shards, the folder of an uninterrupted one)."""
    path = write_csv(tmp_path / "notes.csv", notes[:200])
    settings = MdsSettings(concat_tokens=64, size_limit=4_000)
    Conversion(str(path), tmp_path / "whole", settings, tokenizer, "tiny").run(tmp_path / "a.txt", 1, None)
    begun = Conversion(str(path), tmp_path / "out", settings, tokenizer, "tiny")
    flushes = []
    real = SplitWriter.flush

    def stopping(self, next_row):
        if len(flushes) == 2:
            raise KeyboardInterrupt
        flushes.append(next_row)
        real(self, next_row)

    monkeypatch.setattr(SplitWriter, "flush", stopping)
    with pytest.raises(KeyboardInterrupt):
        begun.run(tmp_path / "b.txt", 1, None)
    monkeypatch.undo()
    return begun, tmp_path / "whole" / "notes"


def test_ctrl_c_keeps_complete_shards_and_they_are_not_written_again(interrupted, tmp_path, monkeypatch):
    begun, whole = interrupted
    out = tmp_path / "out" / "notes"
    assert sorted(files_of(out)) == ["shard.00000.mds", "shard.00001.mds"]
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    encoded = []
    real = conversion.write_batch

    def spy(batch, *rest):
        encoded.extend(batch.rows)
        real(batch, *rest)

    monkeypatch.setattr(conversion, "write_batch", spy)
    begun.run(tmp_path / "b.txt", 1, None)
    assert files_of(out) == files_of(whole)
    assert all((out / name).stat().st_mtime_ns == time for name, time in times.items())
    assert 0 < encoded[0].number == 200 - len(encoded)


def test_a_damaged_shard_of_an_interrupted_run_is_written_again(interrupted, tmp_path):
    begun, whole = interrupted
    shard = tmp_path / "out" / "notes" / "shard.00001.mds"
    shard.write_bytes(b"x" * shard.stat().st_size)
    (tmp_path / "out" / "notes" / "shard.00002.mds").write_bytes(b"half")
    begun.run(tmp_path / "b.txt", 1, None)
    assert files_of(tmp_path / "out" / "notes") == files_of(whole)


def test_other_settings_do_not_continue_it(interrupted, tmp_path, convert):
    before = files_of(tmp_path / "out")
    code, _, err = convert(tmp_path / "notes.csv", "--concat_tokens", 32)
    assert code == 2 and "interrupted conversion" in err and "concat_tokens 64 (now 32)" in err and "or delete" in err
    assert files_of(tmp_path / "out") == before


def test_a_failed_reading_back_publishes_nothing(tmp_path, notes, tokenizer, monkeypatch):
    path = write_csv(tmp_path / "notes.csv", notes[:50])
    run = Conversion(str(path), tmp_path / "out", MdsSettings(concat_tokens=64), tokenizer, "tiny")

    def fail(*arguments):
        raise RunFailed("differs")

    monkeypatch.setattr(conversion, "verify_split", fail)
    with pytest.raises(RunFailed):
        run.run(tmp_path / "counts.txt", 1, None)
    assert not list(tmp_path.rglob("index.json")) and not (tmp_path / "counts.txt").exists()
