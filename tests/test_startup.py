"""Every script answers `--help` and a wrong argument without importing torch, transformers or composer first."""

import subprocess
import sys

import pytest
from repository import ROOT

from bioclinical.encoders import attention_names
from bioclinical.errors import UserError
from bioclinical.mds.settings import check_compression

HEAVY = ("torch", "transformers", "composer")
SCRIPTS = (
    "scripts/quickstart.py", "main.py", "dataloader.py", "multiprocess_bench.py", "pretraining_resources/main.py",
    "pretraining_resources/train_tokenizer.py", "pretraining_resources/swap_vocabulary.py",
    "pretraining_resources/convert_dataset_to_mds.py", "pretraining_resources/merge_mds.py",
    "pretraining_resources/inspect_mds.py", "pretraining_resources/evaluate_mlm.py",
    "pretraining_resources/export_to_hf.py", "scripts/download_data.py", "scripts/make_sample_data.py",
    "pretraining_resources/average_checkpoints.py", "pretraining_resources/swap_vocabulary.py",
    "pretraining_resources/train_tokenizer.py", "scripts/run_parallel.py", "scripts/convert_benchmarks.py",
    "scripts/quickstart_report.py", "bioclinical.predict", "bioclinical.results", "bioclinical.score",
    "bioclinical.tiny_models", "bioclinical.doctor", "bioclinical.embed", "bioclinical.export_onnx",
    "bioclinical.bioasq",
    "bioclinical.perplexity",
)  # fmt: skip
# argv, then what the script does with each of two arguments; prints the exit codes and the heavy modules imported.
CALL = """
import contextlib, io, runpy, sys
script, name = sys.argv[1:]
codes = []
for argument in ("--help", "--no_such_flag=1"):
    sys.argv = [name, argument]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            runpy.run_path(script, run_name="__main__") if script.endswith(".py") else runpy.run_module(script, run_name="__main__")
            codes.append(0)
        except SystemExit as stop:
            codes.append(stop.code or 0)
print(*codes, *(name for name in {heavy} if name in sys.modules))
"""


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_and_usage_errors_import_nothing_heavy(script):
    path = str(ROOT / script) if script.endswith(".py") else script
    command = [sys.executable, "-c", CALL.format(heavy=HEAVY), path, script]
    assert subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout.split() == ["0", "2"]


def test_no_script_is_forgotten():
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in (".", "pretraining_resources", "scripts")
        for path in (ROOT / folder).glob("*.py")
        if "__main__" in path.read_text(encoding="utf-8")
    }
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for path in (ROOT / "bioclinical").rglob("*.py")
        if "run_cli(main)" in path.read_text(encoding="utf-8")
    }
    assert found | modules == set(SCRIPTS)


def test_names_known_without_an_import_are_those_of_the_libraries():
    """The command lines list them; the modules that implement them import torch and streaming."""
    from streaming.base.compression import get_compressions

    from bioclinical.modeling import BACKENDS

    assert tuple(BACKENDS) == attention_names.PACKED_BACKENDS
    candidates = {
        f"{name}{level}"
        for name in ("br", "bz2", "gz", "snappy", "zstd", "rar")
        for level in ("", *(f":{i}" for i in range(30)))
    }
    assert (
        {name for name in candidates if is_compression(name)} == get_compressions() & candidates == get_compressions()
    )


def is_compression(name: str) -> bool:
    try:
        check_compression(name)
    except UserError:
        return False
    return True
