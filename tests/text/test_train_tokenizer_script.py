"""pretraining_resources/train_tokenizer.py from the command line."""

import json
import runpy
import subprocess
import sys

import pytest
from repository import ROOT
from transformers import AutoTokenizer

SCRIPT = ROOT / "pretraining_resources" / "train_tokenizer.py"
HEAVY = ["torch", "transformers", "composer", "streaming", "sentencepiece", "gensim", "matplotlib"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the script in this process; returns (exit code, stdout, stderr)."""

    def run_script(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["train_tokenizer.py", *map(str, arguments)])
        code = 0
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_script


def test_train_and_compare(run, sample, tiny_model, tmp_path):
    terms = tmp_path / "terms.txt"
    terms.write_text("hypertension\nchest pain\n\nhypertension\n")
    code, out, _ = run(
        "--dataset", sample / "notes.csv", "--family", "gpt2", "--vocab_size", 500, "--out", tmp_path / "new",
        "--compare", tiny_model("bert"), "--terms", terms, "--figure", tmp_path / "f.svg", "--json", tmp_path / "f.json",
    )  # fmt: skip
    assert code == 0
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "new")
    assert f"entries: {len(tokenizer):,} of 500 asked for" in out and "vocab_size: 512" in out
    numbers = json.loads((tmp_path / "f.json").read_text())
    assert list(numbers["fertility"]) == ["notes", "notes, distinct words", "terms"]
    assert list(numbers["fertility"]["terms"]) == ["tiny-bert", "new"]
    assert numbers["fertility"]["terms"]["new"]["words"] == 2
    assert f"{numbers['fertility']['notes']['new']['tokens_per_word']:.3f}" in out
    assert (tmp_path / "f.svg").read_text().startswith("<?xml")
    made_of = json.loads((tmp_path / "new" / "tokenizer_training.json").read_text())
    assert made_of["texts"][0]["file"] == "notes.csv" and made_of["settings"]["algorithm"] == "bytebpe"
    again = run("--dataset", sample / "notes.csv", "--vocab_size", 500, "--out", tmp_path / "new")
    assert again[0] == 2 and "exists already" in again[2]


def test_help_and_mistakes_import_nothing_heavy(tmp_path):
    probe = (
        "import runpy, sys\nsys.argv = ['t', *sys.argv[1:]]\ntry:\n"
        f"    runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "except SystemExit as stop:\n    print('code', stop.code)\n"
        f"print('heavy', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    for arguments, code in (["--help"], 0), (["--dataset", str(tmp_path / "none.csv"), "--compare", "x"], 2):
        done = subprocess.run([sys.executable, "-c", probe, *arguments], cwd=ROOT, capture_output=True, text=True)
        assert f"code {code}" in done.stdout and "heavy []" in done.stdout


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "nothing to do: give --out"),
        (["--out", "new"], "--out and --vocab_size belong together"),
        (["--vocab_size", "900", "--compare", "x"], "--out and --vocab_size belong together"),
        (["--compare", "x", "--figure", "a.gif"], "must end in .png"),
        (["--out", "new", "--vocab_size", "900", "--figure", "a.png"], "--figure has no effect without --compare"),
        (["--out", "new", "--vocab_size", "90"], "--vocab_size 90 is too small"),
        (["--compare", "x", "--terms", "none.txt"], "is not a readable UTF-8 text file"),
        (["--compare", "x", "--text_column", "body"], "has no column 'body'"),
        (["--compare", "nowhere"], "no tokenizer could be loaded from 'nowhere'"),
    ],
)
def test_mistakes_are_one_sentence(run, sample, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    code, _, error = run("--dataset", sample / "notes.csv", *arguments)
    assert code == 2 and message in error and "Traceback" not in error
    assert not (tmp_path / "new").exists()
