"""The entries of docs/adding_a_task.md, put into a copy of dataloader.py and run through main.py."""

import json
import shutil
from pathlib import Path

from repository import ROOT

from bioclinical.launch import forked

DRIVER = """
import sys
for name in ("main", "dataloader"):  # the copies in this folder, not what the forked process has imported
    sys.modules.pop(name, None)
import main
for name in ("MyNotes", "MyPairs", "MyEntities", "MyTags"):
    sys.argv = ["main.py", "--dataset", name, *ARGUMENTS]
    main.main()
"""


def entries_of_the_page() -> str:
    page = (ROOT / "docs" / "adding_a_task.md").read_text(encoding="utf-8")
    return page.split("```python\n", 1)[1].split("```", 1)[0]


def write_files(raw: Path) -> None:
    for folder in ("MyNotes", "MyPairs", "MyEntities", "MyTags"):
        (raw / folder).mkdir(parents=True)
    rows = "".join(f'"note {i}, with a\nline break",{("acute", "chronic")[i % 2]}\n' for i in range(20))
    (raw / "MyNotes" / "notes.csv").write_text("text,diagnosis\n" + rows)
    pairs = "".join(f"pain in the chest,pain in the {('chest', 'foot')[i % 2]},{4 - 3 * (i % 2)}\n" for i in range(20))
    (raw / "MyPairs" / "pairs.csv").write_text("first,second,similarity\n" + pairs)
    for i in range(20):
        (raw / "MyEntities" / f"doc{i}.txt").write_text(f"Took aspirin, {i} mg.")
        (raw / "MyEntities" / f"doc{i}.ann").write_text("T1\tDrug 5 12\taspirin\n")
    for name in ("train", "devel", "test"):
        (raw / "MyTags" / f"{name}.tsv").write_text("Took\tO\naspirin\tB-Drug\n\nNo\tO\ndrugs\tO\n")


def test_entries_of_the_page_run(tmp_path, tiny_model):
    source = (ROOT / "dataloader.py").read_text()
    registry_end = "\n]\n\n\ndef get_task"
    assert source.count(registry_end) == 1
    (tmp_path / "dataloader.py").write_text(
        source.replace(registry_end, "\n" + entries_of_the_page() + registry_end[1:])
    )
    shutil.copy(ROOT / "main.py", tmp_path)
    write_files(tmp_path / "raw")
    arguments = [
        "--model",
        str(tiny_model()),
        "--data_dir",
        str(tmp_path / "raw"),
        "--output_dir",
        str(tmp_path / "outputs"),
        "--epochs",
        "1",
    ]
    (tmp_path / "driver.py").write_text(DRIVER.replace("ARGUMENTS", repr(arguments)))
    process = forked.start(forked.Command("driver.py", [], tmp_path), tmp_path / "log.txt")
    process.join(300)
    assert process.exitcode == 0, (tmp_path / "log.txt").read_text()
    results = [json.loads(path.read_text()) for path in tmp_path.glob("outputs/*/*/seed=42_????????.json")]
    labels = {result["dataset"]: result["labels"] for result in results}
    assert labels == {
        "MyNotes": ["acute", "chronic"],
        "MyPairs": [],
        "MyEntities": ["B-Drug", "O"],
        "MyTags": ["B-Drug", "O"],
    }
