"""What every task shares: splits, cache, checks, command line."""

import gzip
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from repository import ROOT

from bioclinical.errors import UserError
from bioclinical.tasks import loading
from bioclinical.tasks.corpora import phenotype
from bioclinical.tasks.example import SPLITS
from bioclinical.tasks.loading import load_task
from bioclinical.tasks.readers.conll import ConllReader
from bioclinical.tasks.readers.delimited import DelimitedReader
from bioclinical.tasks.splits import sklearn_split_70_15_15, split_70_10_20, split_70_15_15
from bioclinical.tasks.task import Task
from dataloader import TASKS, get_task, print_summary

NAMES = ["Phenotype", "ChemProt", "DEID", "COS", "SocialHistory"]


@pytest.mark.parametrize("name", NAMES)
def test_sample_data_loads_and_the_cache_gives_the_same(sample, name, monkeypatch):
    first = load_task(get_task(name.upper()), sample / "raw")
    monkeypatch.setattr(type(first.task.reader), "read", lambda *_: pytest.fail("the cache was not used"))
    second = load_task(get_task(name), sample / "raw")
    assert first.splits == second.splits and first.labels == second.labels
    assert all("where" not in example for split in SPLITS for example in first.splits[split])


def test_splits_follow_the_published_permutations():
    """The libraries' documented algorithms, written out: a permutation by numpy's default_rng / RandomState."""
    items = list(range(103))
    for split, first, second in ((split_70_10_20, 0.2, 0.125), (split_70_15_15, 0.3, 0.5)):
        n = int(np.ceil(first * 103))
        order = np.random.default_rng(42).permutation(103)
        held, rest = order[:n], order[n:]
        m = int(np.ceil(second * (103 - n if first == 0.2 else n)))
        pool = rest if first == 0.2 else held
        inner = np.random.default_rng(42).permutation(len(pool))
        out, stay = pool[inner[:m]].tolist(), pool[inner[m:]].tolist()
        parts = split(items)
        assert (parts["validation"], parts["train"], parts["test"]) == (
            (out, stay, held.tolist()) if first == 0.2 else (stay, rest.tolist(), out)
        )
    parts = sklearn_split_70_15_15(items)
    order = np.random.RandomState(42).permutation(103)
    assert parts["train"] == order[31:].tolist() and len(parts["test"]) == 16 and len(parts["validation"]) == 15


def test_chemprot_quoting_and_ids(sample):
    data = load_task(get_task("chemprot"), sample / "raw")
    assert data.labels == ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9", "false")
    texts = [example["text"] for example in data.splits["train"]]
    assert len(texts) == 60 and any('so-called "late" phase' in text for text in texts)
    assert data.splits["test"][0]["id"] == "test0.T1.T2"


def phenotype_files(folder, notes, annotations):
    header = ["ROW_ID", "NONE", *phenotype.LABELS]
    rows = [dict.fromkeys(header, 0) | annotation for annotation in annotations]
    lines = [",".join(header)] + [",".join(str(row[column]) for column in header) for row in rows]
    (folder / "ACTdb102003.csv").write_text("\n".join(lines) + "\n")
    (folder / "NOTEEVENTS.csv").write_text("ROW_ID,SUBJECT_ID,TEXT\n" + "".join(notes))


def test_phenotype_join(tmp_path):
    phenotype_files(
        tmp_path,
        ['5,1,"a ""quoted""\nnote"\n', "3,1,NA\n", "9,2,unused\n", "4,2,null\n", "3,2,again\n"],
        [{"ROW_ID": 3, "OBESITY": 1}, {"ROW_ID": 4, "NONE": 1}, {"ROW_ID": 5, "NONE": 1, "DEMENTIA": 1}, {"ROW_ID": 77}]
        + [{"ROW_ID": 4, "UNSURE": 1}] * 8,
    )
    raw = phenotype.PhenotypeReader().read(tmp_path)
    examples = {(e["id"], e["text"]): e["labels"] for split in raw.splits.values() for e in split}
    assert set(examples) == {("3", "NA"), ("3", "again"), ("4", "null")}
    assert examples["3", "NA"] == [int(label == "OBESITY") for label in phenotype.LABELS]
    assert "1 annotated row(s) with NONE and a phenotype dropped" in raw.warnings
    assert "1 annotated row(s) without a note dropped" in raw.warnings


@pytest.mark.parametrize(
    "annotation, note, message",
    [
        ({"ROW_ID": 1, "UNSURE": 7}, "1,1,x\n", "data row 1: a phenotype column"),
        ({"ROW_ID": 1}, "2,1,x\n", "no ROW_ID"),
        ({"ROW_ID": 1}, '1,1,"never closed\n', "not a well-formed CSV"),
    ],
)
def test_phenotype_bad_files(tmp_path, annotation, note, message):
    phenotype_files(tmp_path, [note], [annotation])
    with pytest.raises(UserError, match=message):
        phenotype.PhenotypeReader().read(tmp_path)


def csv_task(**changes):
    reader = DelimitedReader(files=("a.csv", "b.csv", "c.csv"), text_column="t", label_column="l")
    task = Task("Mine", "single_label_classification", reader, folder="mine", source="Make it", labels=("x", "y"))
    return replace(task, **changes)


def write_csvs(tmp_path, train="t,l\nhello,x\n", encoding="utf-8"):
    folder = tmp_path / "raw" / "mine"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.csv").write_bytes(train.encode(encoding))
    (folder / "b.csv").write_text("t,l\nhi,y\n")
    (folder / "c.csv").write_text("t,l\nhi,y\n")
    return tmp_path / "raw"


@pytest.mark.parametrize(
    "train, encoding, message",
    [
        (
            "t,l\nhello,z\n",
            "utf-8",
            "a.csv' line 2: unknown label of 1 characters .not shown: it may be text.; allowed: x, y",
        ),
        ("t,l\nhello,\n", "utf-8", "line 2: the column 'l' is empty"),
        ("t,l\nhello\n", "utf-8", "line 2: 1 cells where the header has 2"),
        ("t,l\na, b,x\n", "utf-8", "line 2: 3 cells where the header has 2"),
        ("t,l\n  ,x\n", "utf-8", "line 2: the document is empty"),
        ("t,label\nhello,x\n", "utf-8", "no column 'l'; its first line names: 't', 'label'"),
        ("secret words,x\n", "utf-8", "its first line has 2 cells and does not look like column names"),
        ("t,l\n", "utf-8", "the train split is empty"),
        ("", "utf-8", "is empty"),
        ('t,l\n"open,x\n', "utf-8", "quotes do not pair up in the row that begins at line 2"),
        (
            "t,l\nok,x\nj\u00e9,x\n",
            "latin-1",
            "line 3: the text is not valid utf-8; repair the file or convert it to UTF-8",
        ),
    ],
)
def test_bad_csv_is_one_sentence(tmp_path, train, encoding, message):
    with pytest.raises(UserError, match=message) as caught:
        load_task(csv_task(), write_csvs(tmp_path, train, encoding))
    assert "secret" not in str(caught.value)
    assert not list((tmp_path / "processed").rglob("*.json"))


def test_missing_file_names_path_and_source(tmp_path):
    with pytest.raises(UserError, match="Mine: '.*a.csv' is missing. Make it"):
        load_task(csv_task(), tmp_path / "raw")


def test_a_byte_changed_or_a_task_redefined_is_a_new_cache_entry(tmp_path):
    raw = write_csvs(tmp_path)
    first = load_task(csv_task(), raw)
    write_csvs(tmp_path, "t,l\nhullo,x\n")
    second = load_task(csv_task(), raw)
    assert first.raw_sha256 != second.raw_sha256 and second.splits["train"][0]["text"] == "hullo"
    redefined = load_task(csv_task(labels=None), raw)
    assert redefined.labels == ("x", "y") and "can only be missed: y" in redefined.warnings[0]
    assert len(list((tmp_path / "processed" / "Mine").glob("*.json"))) == 3


def test_concurrent_loads_read_the_raw_files_once(tmp_path, monkeypatch):
    raw = write_csvs(tmp_path)
    reads = []
    original = DelimitedReader.read
    monkeypatch.setattr(DelimitedReader, "read", lambda self, folder: reads.append(1) or original(self, folder))
    with ThreadPoolExecutor(5) as pool:
        loaded = list(pool.map(lambda _: load_task(csv_task(), raw).splits, range(5)))
    assert len(reads) == 1 and all(splits == loaded[0] for splits in loaded)


def test_an_interrupted_write_leaves_no_cache(tmp_path, monkeypatch):
    def disk_full(*_):
        raise OSError(28, "No space left on device")

    raw = write_csvs(tmp_path)
    monkeypatch.setattr("bioclinical.files.os.fsync", disk_full)
    with pytest.raises(OSError):
        load_task(csv_task(), raw)
    monkeypatch.undo()
    assert not [p for p in (tmp_path / "processed" / "Mine").iterdir() if p.suffix in (".json", ".partial")]
    assert load_task(csv_task(), raw).splits["train"]


def test_one_file_without_splits(tmp_path):
    folder = tmp_path / "raw" / "mine"
    folder.mkdir(parents=True)
    (folder / "all.csv").write_text("t,l\n" + "".join(f"row {i},{'xy'[i % 2]}\n" for i in range(20)))
    reader = DelimitedReader(files="all.csv", text_column="t", label_column="l")
    data = load_task(csv_task(reader=reader, labels=None), tmp_path / "raw")
    assert data.labels == ("x", "y") and [len(data.splits[split]) for split in SPLITS] == [14, 3, 3]


def test_json_lines_and_gzip(tmp_path):
    folder = tmp_path / "raw" / "mine"
    folder.mkdir(parents=True)
    lines = "".join(json.dumps({"t": f"row {i}", "l": i % 2, "other": None}) + "\n" for i in range(20))
    (folder / "all.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    reader = DelimitedReader(files="all.jsonl.gz", text_column="t", label_column="l")
    data = load_task(csv_task(reader=reader, labels=None), tmp_path / "raw")
    assert data.labels == ("0", "1") and [len(data.splits[split]) for split in SPLITS] == [14, 3, 3]
    (folder / "all.jsonl.gz").write_bytes(gzip.compress(b'{"t": "a", "l": ["x"]}\n'))
    with pytest.raises(UserError, match="line 1: the column 'l' holds no text"):
        load_task(csv_task(reader=reader, labels=None), tmp_path / "raw")


def test_conll(tmp_path):
    text = "-DOCSTART- O\n\nA\tB-X\n\u2028b\tO\r\n\n\nC D\tO\n"
    for name in "abc":
        (tmp_path / name).write_bytes(text.encode())
    sentences = ConllReader(files=("a", "b", "c")).read(tmp_path).splits["train"]
    assert [s["tokens"] for s in sentences] == [["A", "\u2028b"], ["C D"]] and sentences[0]["tags"] == ["B-X", "O"]
    (tmp_path / "a").write_text("alone\n")
    with pytest.raises(UserError, match="a' line 1: expected a token and a tag"):
        ConllReader(files=("a", "b", "c")).read(tmp_path)


def test_unknown_task_lists_the_names():
    with pytest.raises(UserError, match="unknown dataset 'x'; known: Phenotype, ChemProt, DEID, COS, SocialHistory"):
        get_task("x")
    names = [task.name for task in TASKS]
    assert names[: len(NAMES)] == NAMES and len({name.lower() for name in names}) == len(names)


def test_text_in_the_label_column_is_never_printed(tmp_path):
    note = "patient John has a secret"
    with pytest.raises(UserError, match="unknown label of 25 characters") as caught:
        load_task(csv_task(), write_csvs(tmp_path, f"t,l\nhello,{note}\n"))
    assert "John" not in str(caught.value)
    long_note = f"{note} " * 10
    with pytest.raises(UserError, match="2 different values, the longest of 259 characters") as caught:
        load_task(csv_task(labels=None), write_csvs(tmp_path, f"t,l\nhello,{long_note}\n"))
    assert "John" not in str(caught.value)


def test_collected_labels_that_may_be_text_are_counted_and_not_named(tmp_path, capsys):
    """Names stand in the label column: in warnings and in dataloader.py's table only what looks like labels has a name."""
    rows = "t,l\nhello,mild\nhi,mild\nho,Smith\nhe,of the left lower lobe\nha,of the left lower lobe\n"
    raw = write_csvs(tmp_path, rows)
    (raw / "mine" / "b.csv").write_text("t,l\nhi,mild\nhi,John\nhi,severe\nhi,severe\n")
    data = load_task(csv_task(labels=None), raw)
    assert data.warnings[0].endswith("can only be missed: severe, 2 more (not shown: they may be text)")
    print_summary(data)
    printed = capsys.readouterr().out
    assert "mild " in printed and "severe " in printed and "label 3 (22 characters)" in printed
    assert not any(text in printed for text in ("Smith", "John", "lobe"))


def test_tags_that_are_no_bio_tags(tmp_path):
    folder = tmp_path / "raw" / "mine"
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / name).write_text("O\tJohn\n")
    task = csv_task(reader=ConllReader(files=("a", "b", "c")), problem="token_classification", labels=None)
    with pytest.raises(UserError, match="is no BIO tag"):
        load_task(task, tmp_path / "raw")


def test_a_damaged_copy_is_rebuilt(tmp_path):
    raw = write_csvs(tmp_path)
    first = load_task(csv_task(), raw)
    (copy,) = (tmp_path / "processed" / "Mine").glob("*.json")
    for content in ("", "{}", '{"splits": '):
        copy.write_text(content)
        assert load_task(csv_task(), raw).splits == first.splits


def test_raw_data_on_a_disk_that_cannot_be_written(tmp_path, monkeypatch):
    raw = write_csvs(tmp_path)
    first = load_task(csv_task(), raw)
    monkeypatch.setattr(loading, "is_writable", lambda folder: False)
    assert load_task(csv_task(), raw) == first


def test_a_changed_reader_gets_a_new_version(tmp_path, monkeypatch):
    version = loading.reader_version()
    shutil.copytree(ROOT / "bioclinical", tmp_path / "bioclinical")
    monkeypatch.setattr(loading, "__file__", str(tmp_path / "bioclinical" / "tasks" / "loading.py"))
    loading.reader_version.cache_clear()
    assert loading.reader_version() == version
    with open(tmp_path / "bioclinical" / "tasks" / "cos.py", "a") as file:
        file.write("# changed\n")
    loading.reader_version.cache_clear()
    assert loading.reader_version() != version
    loading.reader_version.cache_clear()


def test_command_line_shows_counts_and_dumps(sample, tmp_path):
    dump = tmp_path / "dump.jsonl"
    command = [sys.executable, ROOT / "dataloader.py", "--dataset", "cos", "--data_dir", sample / "raw", "--dump", dump]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "B-Cos" in run.stdout and "lobe" not in run.stdout
    rows = [json.loads(line) for line in dump.read_text(encoding="utf-8").splitlines()]
    assert [row["split"] for row in rows] == ["train"] * 84 + ["validation"] * 18 + ["test"] * 18
    assert set(rows[0]) == {"split", "id", "tokens", "tags"}


def test_real_chemprot_counts(real_data, tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "ChemProt").symlink_to(real_data / "chemprot")
    data = load_task(get_task("ChemProt"), tmp_path / "raw")
    assert [len(data.splits[split]) for split in SPLITS] == [15_920, 10_073, 14_005]
    (tmp_path / "raw" / "ChemProt").unlink()
    (tmp_path / "raw" / "ChemProt").mkdir()
    for name in ("train", "dev", "test"):
        (tmp_path / "raw" / "ChemProt" / f"{name}.tsv").symlink_to(real_data / "chemprot_official_dev" / "dev.tsv")
    with pytest.raises(UserError, match="its first line has 3 cells and does not look"):
        load_task(get_task("ChemProt"), tmp_path / "raw")
