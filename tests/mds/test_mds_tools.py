"""Merging, inspecting and reading back."""

import json
import shutil

import numpy as np
import pytest
from mds_files import samples, write_csv
from repository import ROOT
from streaming import MDSWriter
from streaming.base.util import merge_index

from bioclinical.errors import RunFailed, UserError
from bioclinical.mds.conversion import Conversion
from bioclinical.mds.index import read_index
from bioclinical.mds.inspection import all_lengths, histogram_lines
from bioclinical.mds.merging import merge
from bioclinical.mds.settings import MdsSettings
from bioclinical.mds.verify import SpotTexts, verify_split


@pytest.fixture
def root(convert, tmp_path, notes):
    """Two converted files."""
    paths = [write_csv(tmp_path / f"{name}.csv", notes[at : at + 60]) for name, at in (("a", 0), ("b", 60))]
    assert convert(paths)[0] == 0
    return tmp_path / "out"


def test_merge_equals_streamings_own_and_can_be_repeated(root):
    merge_index(str(root), True)
    theirs = json.loads((root / "index.json").read_text())["shards"]
    merge(root)
    ours = json.loads((root / "index.json").read_text())["shards"]
    assert sorted(ours, key=str) == sorted(theirs, key=str)
    before = (root / "index.json").read_bytes()
    merge(root)
    assert (root / "index.json").read_bytes() == before
    assert len(samples(root)) == len(samples(root / "a")) + len(samples(root / "b"))


def test_merge_notices_new_gone_and_unfinished_folders(run_script, convert, tmp_path, root, notes):
    assert run_script("merge_mds", root)[1] == f"{root / 'index.json'}: 2 folders, {len(samples(root))} samples\n"
    assert convert(write_csv(tmp_path / "c.csv", notes[:20]))[0] == 0
    shutil.rmtree(root / "a")
    (root / "b" / "index.json").rename(root / "b" / "index.kept")
    code, out, _ = run_script("merge_mds", root)
    assert code == 0
    assert "new since the last merge: c\n" in out and "gone since the last merge: a, b\n" in out
    assert "left out, because not finished (no index.json): b\n" in out
    assert len(samples(root)) == len(samples(root / "c"))


def test_merge_refuses_what_cannot_be_read_as_one(run_script, root, tmp_path):
    code, _, err = run_script("merge_mds", tmp_path / "nowhere")
    assert code == 2 and "there is no folder" in err
    (tmp_path / "empty").mkdir()
    code, _, err = run_script("merge_mds", tmp_path / "empty")
    assert code == 2 and "no finished MDS folder" in err
    with MDSWriter(columns={"input_ids": "ndarray:uint32"}, out=str(root / "wide")) as writer:
        writer.write({"input_ids": np.arange(3, dtype=np.uint32)})
    code, _, err = run_script("merge_mds", root)
    assert code == 2 and "ndarray:uint32" in err and "one tokenizer" in err
    shutil.rmtree(root / "wide")
    next((root / "a").glob("*.mds")).unlink()
    code, _, err = run_script("merge_mds", root)
    assert code == 2 and "is missing" in err and not (root / "index.json").exists()


def test_lengths_from_headers_are_those_of_the_samples(tmp_path):
    for dtype in ("uint16", "uint32"):
        folder = tmp_path / dtype
        lengths = [1, 2, 254, 255, 256, 257, 258, 65535, 65536, 65537, 70001]
        with MDSWriter(columns={"input_ids": f"ndarray:{dtype}"}, out=str(folder)) as writer:
            for length in lengths:
                writer.write({"input_ids": np.zeros(length, dtype)})
        assert all_lengths(folder, read_index(folder)).tolist() == lengths


def test_inspect_shows_counts_but_no_text(run_script, root, tiny_model, notes):
    merge(root)
    code, out, err = run_script("inspect_mds", root, "--max_seq_len", 128)
    assert code == 0, err
    lengths = [len(sample) for sample in samples(root)]
    assert f"{len(lengths):,} samples, {sum(lengths):,} tokens (ndarray:uint16, compression none)" in out
    assert f"100% {max(lengths)}" in out and "packed into rows of 128" in out
    assert notes[0][:20] not in out
    code, out, _ = run_script("inspect_mds", root, "--show_text", 2, "--tokenizer", tiny_model())
    assert code == 0 and notes[0][:20] in out and out.count("---") == 2


def test_inspect_names_the_damaged_shard(run_script, root):
    shard = next((root / "a").glob("*.mds"))
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    code, _, err = run_script("inspect_mds", root / "a")
    assert code == 1 and f"'{shard}' has the right size but another content" in err and "1 of" in err
    code, _, err = run_script("inspect_mds", root)
    assert code == 2 and "no index.json" in err and "merge_mds.py" in err


def test_inspect_refuses_other_columns(run_script, tmp_path):
    with MDSWriter(columns={"text": "str"}, out=str(tmp_path / "text")) as writer:
        writer.write({"text": "words"})
    code, _, err = run_script("inspect_mds", tmp_path / "text")
    assert code == 2 and "not tokenised MDS" in err


def test_compressed_shards_are_inspected_too(run_script, convert, tmp_path, notes):
    path = write_csv(tmp_path / "z.csv", notes[:50])
    assert convert(path)[0] == 0 and convert(path, "--compression", "zstd", out="packed")[0] == 0
    plain = run_script("inspect_mds", tmp_path / "out" / "z")[1].splitlines()
    packed = run_script("inspect_mds", tmp_path / "packed" / "z")[1].splitlines()
    assert plain[1:] == packed[1:] and "compression zstd" in packed[0]


@pytest.mark.parametrize(("damaged", "message"), [
    (lambda shard: shard.pop("samples"), "is not an MDS index"),
    (lambda shard: shard.update(samples=shard["samples"] + 5000, raw_data=shard["raw_data"] | {"hashes": {}}), "does not hold the"),
    (lambda shard: shard.clear(), "is not an MDS index"),
    (lambda shard: shard.update(column_encodings=["ndarray:uintx"]), "not tokenised MDS"),
    (lambda shard: shard.update(samples=0), "holds no samples"),
])  # fmt: skip
def test_inspect_of_a_damaged_index_is_one_sentence(run_script, root, damaged, message):
    path = root / "a" / "index.json"
    index = json.loads(path.read_text())
    index["shards"] = index["shards"][:1]
    damaged(index["shards"][0])
    path.write_text(json.dumps(index))
    code, _, err = run_script("inspect_mds", root / "a")
    assert code == 2 and message in err, err


def test_inspect_predicts_the_rows_of_a_recipe(run_script, root):
    merge(root)
    recipe = ROOT / "pretraining_resources" / "configs" / "smoke" / "phase1.yaml"
    changes = ("max_seq_len=64", "global_train_batch_size=4", "device_train_microbatch_size=2")
    code, out, err = run_script("inspect_mds", root, "--recipe", recipe, *changes)
    assert code == 0 and "packed into rows of 128: " in out, err


def test_histogram_counts_every_sample():
    lines = histogram_lines(np.array([3, 4, 5, 7, 8, 8192]))
    assert [" ".join(line.split()[:4]) for line in lines[:3]] == ["2 to 3 1", "4 to 7 3", "8 to 15 1"]
    assert sum(int(line.split()[3]) for line in lines) == 6


def test_verification_finds_what_differs(tmp_path, notes, tokenizer, monkeypatch):
    """Each fault that the reading back exists for, planted after the writing."""
    path = write_csv(tmp_path / "a.csv", notes[:60])
    settings = MdsSettings(concat_tokens=64, size_limit=20_000)
    conversion = Conversion(str(path), tmp_path / "out", settings, tokenizer, "tiny")
    seen = {}

    def spy(folder, records, encoder, public, texts):
        seen.update(folder=folder, records=records, encoder=encoder, public=public, texts=dict(texts))
        return verify_split(folder, records, encoder, public, texts)

    monkeypatch.setattr("bioclinical.mds.conversion.verify_split", spy)
    assert conversion.run(tmp_path / "counts.txt", 1, None).compared == len(seen["texts"]) > 5
    row = next(iter(seen["texts"]))
    with pytest.raises(RunFailed, match=f"row {row} differs") as raised:
        verify_split(*list(seen.values())[:4], {row: "another text"})
    assert "another" not in str(raised.value)
    seen["records"][0].counts.tokens += 1
    with pytest.raises(RunFailed, match="other counts"):
        verify_split(*seen.values())
    shard = sorted(seen["folder"].glob("*.mds"))[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(RunFailed, match="bytes instead of"):
        verify_split(*seen.values())


def test_spot_texts_are_a_bounded_reproducible_sample():
    kept = []
    for _ in range(2):
        spots = SpotTexts(limit=10, longest=50)
        for row in range(1000):
            spots.offer(row, "x" * (60 if row % 2 else 3))
        kept.append(spots.texts)
    assert kept[0] == kept[1] and len(kept[0]) == 10 and max(kept[0]) > 100
    assert all(row % 2 == 0 for row in kept[0])


def test_an_index_that_is_none(tmp_path):
    (tmp_path / "index.json").write_text("{}")
    with pytest.raises(UserError, match="is not an MDS index"):
        read_index(tmp_path)
