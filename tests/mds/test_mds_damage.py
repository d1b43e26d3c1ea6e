"""Files of an earlier run that are damaged or of another shape, and numbers out of bounds: one sentence, nothing lost."""

import json

import pytest
from mds_files import files_of, write_csv

from bioclinical.mds import conversion, shards
from bioclinical.runtime import cores

DAMAGES = {
    "truncated": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "object": lambda text: "{}",
    "list": lambda text: "[]",
    "number": lambda text: "7",
    "deep": lambda text: "[" * 100_000,
    "bytes": lambda text: "\udcff",
}


def damage(path, how, text=None):
    text = path.read_text(encoding="utf-8") if text is None else text
    path.write_bytes(DAMAGES[how](text).encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_stats_file_is_named_with_the_way_on(convert, tmp_path, notes, how):
    path = write_csv(tmp_path / "notes.csv", notes[:30])
    assert convert(path)[0] == 0
    damage(tmp_path / "out" / "notes.stats.json", how)
    before = files_of(tmp_path / "out")
    code, _, err = convert(path)
    assert code == 2 and "notes.stats.json' is damaged" in err and "inspect_mds.py" in err and err.count("error:") == 1
    assert files_of(tmp_path / "out") == before
    (tmp_path / "other.csv").write_bytes(path.read_bytes())
    code, _, err = convert(tmp_path / "other.csv")  # another input is converted all the same
    assert code == 0 and (tmp_path / "out" / "other" / "index.json").exists()
    assert "warning" in err and "notes.stats.json' is damaged" in err


@pytest.fixture
def interrupted(convert, tmp_path, notes, monkeypatch):
    """The CSV of a conversion that was stopped after two shards."""
    path = write_csv(tmp_path / "notes.csv", notes[:200])
    flushed = []
    real = conversion.SplitWriter.flush

    def stopping(self, next_row):
        if len(flushed) == 2:
            raise KeyboardInterrupt
        flushed.append(next_row)
        real(self, next_row)

    monkeypatch.setattr(conversion.SplitWriter, "flush", stopping)
    assert convert(path)[0] == 130
    monkeypatch.undo()
    return path


@pytest.mark.parametrize("how", [*DAMAGES, "other shape"])
def test_a_damaged_journal_is_named_and_no_shard_is_lost(convert, tmp_path, interrupted, how):
    journal = tmp_path / "out" / ".notes.unfinished" / "journal"
    if how == "other shape":
        content = json.loads(journal.read_text())
        content["shards"]["train"][0]["info"]["raw_data"]["basename"] = "../../elsewhere"
        journal.write_text(json.dumps(content))
    else:
        damage(journal, how)
    before = files_of(tmp_path / "out")
    code, _, err = convert(interrupted)
    assert code == 2 and "journal' is damaged" in err and f"delete '{journal.parent}'" in err
    assert files_of(tmp_path / "out") == before and len(before) == 3


def test_an_interruption_leaves_the_journal_and_complete_shards_alone(tmp_path, interrupted):
    names = {"notes/shard.00000.mds", "notes/shard.00001.mds", ".notes.unfinished/journal"}
    assert set(files_of(tmp_path / "out")) == names


def test_an_interruption_before_the_first_shard_leaves_nothing(convert, tmp_path, notes, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion.SplitWriter, "flush", stop)
    assert convert(write_csv(tmp_path / "notes.csv", notes[:50]))[0] == 130
    assert files_of(tmp_path / "out") == {}


@pytest.mark.parametrize("stopped_at", [1, 2])
def test_an_interruption_between_shard_and_journal_leaves_what_can_be_continued(
    convert, tmp_path, notes, monkeypatch, stopped_at
):
    path = write_csv(tmp_path / "notes.csv", notes[:200])
    assert convert(path, out="whole")[0] == 0
    made = []

    class Stopping(shards.ShardRecord):
        def __init__(self, *arguments):
            made.append(arguments)
            if len(made) == stopped_at:
                raise KeyboardInterrupt
            super().__init__(*arguments)

    monkeypatch.setattr(shards, "ShardRecord", Stopping)
    assert convert(path)[0] == 130
    monkeypatch.undo()
    left = set(files_of(tmp_path / "out"))
    assert left == ({"notes/shard.00000.mds", ".notes.unfinished/journal"} if stopped_at == 2 else set())
    assert convert(path)[0] == 0
    assert files_of(tmp_path / "out" / "notes") == files_of(tmp_path / "whole" / "notes")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_index_is_named(run_script, convert, tmp_path, notes, how):
    assert convert(write_csv(tmp_path / "notes.csv", notes[:30]))[0] == 0
    index = tmp_path / "out" / "notes" / "index.json"
    damage(index, how)
    code, _, err = run_script("merge_mds", tmp_path / "out")
    assert code == 2 and f"'{index}' is not an MDS index" in err


WRONG = {
    "samples": -1, "raw_data": None, "column_encodings": [], "column_names": [3], "format": "csv", "zip_data": {},
}  # fmt: skip


@pytest.mark.parametrize("field", [*WRONG, "absent", "entry", "escape", "bytes"])
def test_an_index_with_a_wrong_entry_is_named(run_script, convert, tmp_path, notes, field):
    assert convert(write_csv(tmp_path / "notes.csv", notes[:30]))[0] == 0
    index = tmp_path / "out" / "notes" / "index.json"
    content = json.loads(index.read_text())
    info = content["shards"][0]
    if field in WRONG:
        info[field] = WRONG[field]
    elif field == "absent":
        del info["samples"]
    elif field == "entry":
        content["shards"][0] = {}
    elif field == "escape":
        info["raw_data"]["basename"] = "../../secret"
    else:
        info["raw_data"]["bytes"] = -5
    index.write_text(json.dumps(content))
    code, _, err = run_script("merge_mds", tmp_path / "out")
    assert code == 2 and f"'{index}' is not an MDS index" in err


def test_no_more_threads_than_cores(convert, tmp_path, notes, monkeypatch):
    monkeypatch.setattr(cores, "usable_cores", lambda: 2)
    asked = []
    monkeypatch.setattr("bioclinical.mds.tokens.use_threads", asked.append)
    code, _, err = convert(write_csv(tmp_path / "notes.csv", notes[:30]), "--workers", 10000)
    assert code == 0 and asked == [2]
    assert "--workers 10000: this machine has 2 usable cores, so 2; more would only wait" in err


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--workers", "-1"], "argument --workers: -1 is not above zero"),
        (["--workers", "1" * 40], "argument --workers: 1111111111111111111111111111111111111111 is too large"),
        (["--row_count", "0"], "argument --row_count: 0 is not above zero"),
        (["--concat_tokens", "99999999999"], "argument --concat_tokens: 99999999999 is too large"),
        (["--concat_tokens", "0"], "argument --concat_tokens: 0 is not above zero"),
        (["--size_limit", "0"], "argument --size_limit: 0 is not allowed; 1 to"),
        (["--size_limit", "8gb"], "argument --size_limit: 8gb is not allowed; 1 to"),
        (["--size_limit=-1mb"], "argument --size_limit: -1mb is not a size"),
        (["--eval_fraction", "nan"], "--eval_fraction nan is not allowed"),
        (["--compression", "zstd:99"], "--compression zstd:99 is unknown"),
    ],
)
def test_numbers_out_of_bounds(convert, tmp_path, notes, arguments, message):
    code, _, err = convert(write_csv(tmp_path / "notes.csv", notes[:5]), *arguments)
    assert code == 2 and message in err and not (tmp_path / "out").exists()
