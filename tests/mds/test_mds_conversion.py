"""The converter from the command line: what it writes, that readers read it, and every refusal."""

import csv
import json
import os
import shutil

import numpy as np
import pytest
from mds_files import assert_holds, files_of, samples, write_csv
from streaming import StreamingDataset
from streaming.base.util import merge_index

from bioclinical.files import exclusive
from bioclinical.mds import conversion
from bioclinical.mds.journal import Journal
from bioclinical.mds.token_counts import append_once
from bioclinical.text.tokenization import load_tokenizer


@pytest.fixture
def texts(notes):
    return notes[:120] + ["NA", "two\r\nlines", "x " * 200]


@pytest.fixture
def notes_csv(tmp_path, texts):
    return write_csv(tmp_path / "notes.csv", texts, id=[str(number) for number in range(len(texts))])


def stats(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_document_round_trips_and_is_counted(convert, tmp_path, notes_csv, texts, tokenizer):
    code, out, err = convert(notes_csv)
    assert code == 0, err
    folder = tmp_path / "out" / "notes"
    assert_holds(folder, texts, tokenizer, 64)
    written = samples(folder)
    tokens = sum(map(len, written))
    assert (tmp_path / "out" / "token_counts.txt").read_text() == f"{notes_csv} {tokens:,}\n"
    found = stats(tmp_path / "out" / "notes.stats.json")
    assert found["counts"]["documents"] == len(texts) == found["rows"]
    assert (found["counts"]["samples"], found["counts"]["tokens"]) == (len(written), tokens)
    assert sum(found["counts"]["lengths"].values()) == len(written)
    assert [path.name for path in folder.rglob("*.json")] == ["index.json"]
    assert len(list(folder.glob("*.mds"))) > 1
    assert not list((tmp_path / "out").glob(".*"))
    assert f"max_duration: {tokens:_}tok  # 1 pass; 3 passes: {3 * tokens:_}tok" in out
    assert f"merge_mds.py {tmp_path / 'out'}" in out
    assert not any(text[:20] in out + err for text in texts if len(text) > 20)


def test_streaming_dataset_reads_it(convert, tmp_path, notes_csv):
    assert convert(notes_csv)[0] == 0
    folder = tmp_path / "out" / "notes"
    dataset = StreamingDataset(local=str(folder), batch_size=1, validate_hash="sha256")
    read = [dataset[index]["input_ids"].tolist() for index in range(len(dataset))]
    assert read == [sample.tolist() for sample in samples(folder)]


def test_output_does_not_depend_on_the_workers(convert, tmp_path, notes_csv, monkeypatch):
    monkeypatch.setattr(conversion, "BATCH_CHARACTERS_PER_WORKER", 2000)
    for workers in (1, 2, 7):
        assert convert(notes_csv, "--workers", workers, out=f"out{workers}")[0] == 0
    first = files_of(tmp_path / "out1" / "notes")
    assert first == files_of(tmp_path / "out2" / "notes") == files_of(tmp_path / "out7" / "notes")


def test_zstd_holds_the_same_samples_and_warns(convert, tmp_path, notes_csv):
    assert convert(notes_csv)[0] == 0
    code, out, _ = convert(notes_csv, "--compression", "zstd", out="packed")
    assert code == 0 and "streaming: true" in out and "cannot read" in out
    packed = StreamingDataset(local=str(tmp_path / "packed" / "notes"), batch_size=1, validate_hash="sha256")
    plain = samples(tmp_path / "out" / "notes")
    read = [packed[index]["input_ids"].tolist() for index in range(len(packed))]
    assert read == [sample.tolist() for sample in plain]


def test_no_wrap_and_other_tokens(convert, tmp_path, notes_csv, texts, tokenizer):
    assert convert(notes_csv, "--no_wrap")[0] == 0
    joined = [token for sample in samples(tmp_path / "out" / "notes") for token in sample.tolist()]
    assert joined == [token for text in texts for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert convert(notes_csv, "--bos_text", "[PAD]", "--eos_text", "", out="other")[0] == 0
    first = samples(tmp_path / "other" / "notes")[0]
    assert first[0] == tokenizer.pad_token_id and first[-1] != tokenizer.sep_token_id


def test_several_inputs_merge_with_the_guides_own_call(convert, tmp_path, texts):
    for number in range(3):
        write_csv(tmp_path / f"part{number}.csv", texts[number * 40 : number * 40 + 40])
    code, _out, err = convert(str(tmp_path / "part*.csv"))
    assert code == 0, err
    root = tmp_path / "out"
    merge_index(str(root), True)
    parts = [samples(root / f"part{number}") for number in range(3)]
    assert sorted(x.tobytes() for x in samples(root)) == sorted(x.tobytes() for part in parts for x in part)
    lines = (root / "token_counts.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == [str(tmp_path / f"part{number}.csv") for number in range(3)]
    assert [int(line.split()[1].replace(",", "")) for line in lines] == [sum(map(len, part)) for part in parts]


def test_eval_split_loses_nothing_and_keeps_a_key_on_one_side(convert, tmp_path, texts, tokenizer):
    patients = [f"p{number // 3}" for number in range(len(texts))]
    path = write_csv(tmp_path / "notes.csv", texts, patient=patients)
    code, out, err = convert(path, "--eval_fraction", "0.3", "--split_by", "patient", "--merge")
    assert code == 0, err
    root = tmp_path / "out"
    kept = {split: stats(root / split / "notes.stats.json")["counts"] for split in ("train", "eval")}
    assert kept["train"]["documents"] + kept["eval"]["documents"] == len(texts)
    assert kept["train"]["tokens"] + kept["eval"]["tokens"] == int(
        (root / "token_counts.txt").read_text().split()[1].replace(",", "")
    )
    eval_ids = {x[1:-1].tobytes() for x in samples(root / "eval" / "notes")}
    sides: dict[str, set[bool]] = {}
    for text, patient in zip(texts, patients):
        first = tokenizer(text, add_special_tokens=False)["input_ids"][:62]
        sides.setdefault(patient, set()).add(np.array(first, np.uint16).tobytes() in eval_ids)
    assert all(len(side) == 1 for side in sides.values())
    assert len(samples(root / "train")) == kept["train"]["samples"]
    assert f"data_local: {root}\n" in out


def test_a_split_without_documents_is_said(convert, tmp_path):
    code, out, _ = convert(write_csv(tmp_path / "few.csv", ["one", "two"]), "--eval_fraction", "0.000001")
    assert code == 0 and "no document fell into eval" in out
    assert not (tmp_path / "out" / "eval" / "few").exists()
    assert "was finished already" in convert(tmp_path / "few.csv", "--eval_fraction", "0.000001")[1]


def test_skips_are_counted_and_printed(convert, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"notes": "one"}\n{"notes": null}\n{"notes": 3}\n{"notes": " "}\n{"notes": "a\\u0000b"}\n')
    code, _, err = convert(path)
    assert code == 2 and "line 5: the text holds a NUL byte" in err
    code, out, err = convert(path, "--on_bad_rows", "skip")
    assert code == 0 and "1 absent, 1 not_text, 1 blank, 1 nul_byte" in out
    skipped = stats(tmp_path / "out" / "a.stats.json")["skipped_rows"]
    assert skipped == {"absent": 1, "blank": 1, "not_text": 1, "nul_byte": 1}


def test_a_finished_input_is_left_alone(convert, tmp_path, notes_csv):
    assert convert(notes_csv)[0] == 0
    before = files_of(tmp_path / "out")
    os.utime(notes_csv)
    code, out, _ = convert(notes_csv)
    assert code == 0 and "was finished already" in out and files_of(tmp_path / "out") == before


def test_another_data_sets_folder_is_refused(convert, tmp_path, notes_csv, texts):
    assert convert(notes_csv)[0] == 0
    before = files_of(tmp_path / "out")
    code, _, err = convert(notes_csv, "--concat_tokens", 32)
    assert code == 2 and "concat_tokens 64 (now 32)" in err and "another --out_dir" in err
    write_csv(notes_csv, [text.upper() for text in texts], id=["0"] * len(texts))
    code, _, err = convert(notes_csv)
    assert code == 2 and "of another input or other settings" in err
    assert files_of(tmp_path / "out") == before
    other = tmp_path / "other" / "notes"
    other.mkdir(parents=True)
    (other / "thesis.txt").write_text("mine")
    code, _, err = convert(notes_csv, out="other")
    assert code == 2 and "holds something else" in err and (other / "thesis.txt").read_text() == "mine"


def test_a_repaired_input_is_converted_without_further_ado(convert, tmp_path, texts):
    damaged = tmp_path / "notes.csv"
    write_csv(damaged, texts)
    good = damaged.read_bytes()
    damaged.write_bytes(good + b'"never closed\n')
    code, _, err = convert(damaged)
    assert code == 2 and "quotes do not pair up" in err and "Traceback" not in err
    assert not (tmp_path / "out" / "notes" / "index.json").exists()
    assert not (tmp_path / "out" / "token_counts.txt").exists()
    damaged.write_bytes(good)
    assert convert(damaged)[0] == 0


def test_the_way_out_of_a_bad_row_continues(convert, tmp_path, texts, monkeypatch):
    monkeypatch.setattr(conversion, "BATCH_CHARACTERS_PER_WORKER", 1000)
    path = write_csv(tmp_path / "notes.csv", [*texts, "NUL\0", "last"])
    code, _, err = convert(path, "--size_limit", "2kb")
    kept = files_of(tmp_path / "out" / "notes")
    assert code == 2 and "--on_bad_rows skip" in err and kept and "index.json" not in kept
    code, out, err = convert(path, "--size_limit", "2kb", "--on_bad_rows", "skip")
    assert code == 0 and "1 nul_byte" in out, err
    write_csv(path, [*texts, "last"])
    assert convert(path, "--size_limit", "2kb", out="repaired")[0] == 0
    assert files_of(tmp_path / "out" / "notes") == files_of(tmp_path / "repaired" / "notes")


def test_no_usable_row_writes_nothing(convert, tmp_path):
    code, _, err = convert(write_csv(tmp_path / "blank.csv", [" ", "\t"]))
    assert code == 2 and "no usable row: 2 rows (2 blank)" in err
    assert files_of(tmp_path / "out") == {}


def test_a_full_disk_is_one_sentence_and_the_next_run_continues(convert, tmp_path, notes_csv, monkeypatch):
    assert convert(notes_csv, out="reference")[0] == 0
    calls = []

    def full(*arguments):  # stands for a disk without space, which a test cannot have
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    real = conversion.SplitWriter.flush
    monkeypatch.setattr(conversion.SplitWriter, "flush", full)
    code, _, err = convert(notes_csv)
    assert code == 2 and "the disk is full" in err and not (tmp_path / "out" / "notes" / "index.json").exists()
    monkeypatch.undo()
    assert convert(notes_csv)[0] == 0
    assert files_of(tmp_path / "out" / "notes") == files_of(tmp_path / "reference" / "notes")


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--text_column", "text"], "no column 'text'; its first line names: 'id', 'notes'"),
        (["--split_by", "id"], "--split_by has no effect without --eval_fraction"),
        (["--eval_fraction", "1.5"], "--eval_fraction 1.5 is not allowed"),
        (["--eval_fraction", "0.1", "--split_by", "patient"], "no column 'patient'"),
        (["--concat_tokens", "2"], "leaves no room for text"),
        (["--bos_text", "<s>"], "the tokenizer has no token '<s>'"),
        (["--compression", "rar"], "--compression rar is unknown"),
        (["--size_limit", "big"], "argument --size_limit: big is not a size"),
        (["--workers", "0"], "argument --workers: 0 is not above zero"),
        (["--tokenizer", "no/such"], "no tokenizer could be loaded from 'no/such'"),
    ],
)
def test_refused_arguments_leave_nothing(convert, tmp_path, notes_csv, arguments, message):
    code, _, err = convert(notes_csv, *arguments)
    assert code == 2 and message in err and err.count("error:") == 1
    assert not (tmp_path / "out").exists()


def test_refused_inputs(convert, tmp_path, notes_csv):
    (tmp_path / "sub").mkdir()
    shutil.copy(notes_csv, tmp_path / "sub" / "notes.csv")
    code, _, err = convert([notes_csv, tmp_path / "sub" / "notes.csv"])
    assert code == 2 and "would all be written to the folder 'notes'" in err
    code, _, err = convert(str(tmp_path / "*.parquet"))
    assert code == 2 and "matches no file" in err
    empty = tmp_path / "empty.csv"
    empty.touch()
    code, _, err = convert([notes_csv, empty])  # found before the first input is worked on
    assert code == 2 and "is empty" in err and not (tmp_path / "out").exists()


def test_a_second_converter_of_the_same_input_is_refused(convert, tmp_path, notes_csv):
    with exclusive(tmp_path / "out" / ".notes.lock"):
        code, _, err = convert(notes_csv)
    assert code == 2 and "another process is converting" in err


@pytest.mark.parametrize("present", ["", "other.csv 5\n", "a.csv 1,000\n", "no line end"])
def test_a_count_is_appended_once_whatever_is_there(tmp_path, present):
    path, line = tmp_path / "deep" / "counts.txt", "a.csv 1,000\n"
    path.parent.mkdir()
    path.write_text(present)
    journal = Journal(tmp_path / "journal", {}, {})
    append_once(path, line, journal)
    append_once(path, line, Journal.load(journal.path))  # the run after one killed at this point
    expected = present + ("\n" if present and not present.endswith("\n") else "") + line
    assert path.read_text() == expected


def test_real_notes_round_trip(convert, tmp_path, real_data):
    folder = real_data / "tokenizers" / "modernbert"
    for name in ("clinical_notes", "pubmed_abstracts"):
        with open(real_data / "corpora" / f"{name}.csv", encoding="utf-8", newline="") as file:
            texts = [row["notes"] for row in csv.DictReader(file)][::12]
        path = write_csv(tmp_path / f"{name}.csv", texts)
        code, _, err = convert(path, "--tokenizer", folder, "--concat_tokens", 512)
        assert code == 0, err
        assert_holds(tmp_path / "out" / name, [text for text in texts if text.strip()], load_tokenizer(folder), 512)
