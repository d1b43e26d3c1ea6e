"""A finished run answers from files alone, and these say what transformers says."""

import json
import subprocess
import sys

import pytest
from repository import ROOT

from bioclinical.encoders.source import Source, load_config, model_identity
from bioclinical.encoders.stored import stored_encoder
from bioclinical.text.tokenization import choose_max_length, load_tokenizer
from bioclinical.tiny_models import FAMILIES

LEFT_TO_TRANSFORMERS = ("gpt2", "t5")  # they call their positions otherwise, or have none
CALL = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import main
main.main()
print([name for name in ("torch", "transformers", "datasets", "sklearn", "pandas") if name in sys.modules])
"""


@pytest.mark.parametrize("requested", [None, 7])
@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in LEFT_TO_TRANSFORMERS])
def test_files_give_the_identity_and_the_length_that_transformers_gives(tiny_model, family, requested):
    source = Source(str(tiny_model(family)))
    config, tokenizer = load_config(source), load_tokenizer(source.name)
    expected = model_identity(source, config), choose_max_length(requested, tokenizer, config)[0]
    assert stored_encoder(source.name, None, requested) == expected


@pytest.mark.parametrize("file, key", [("config.json", "max_position_embeddings"), ("config.json", "model_type")])
def test_what_is_left_to_defaults_is_left_to_transformers(tiny_model, tmp_path, file, key):
    for path in tiny_model("bert").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = json.loads((tmp_path / file).read_text())
    del content[key]
    (tmp_path / file).write_text(json.dumps(content))
    assert stored_encoder(str(tmp_path), None, None) is None
    assert stored_encoder(str(tmp_path / "absent"), None, None) is None


def test_a_hub_model_is_asked_for_again_unless_it_cannot_have_changed(tiny_model, tmp_path, monkeypatch):
    commit = "0123456789" * 4
    snapshot = tmp_path / "models--org--name" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    for path in tiny_model("bert").iterdir():
        (snapshot / path.name).write_bytes(path.read_bytes())
    (tmp_path / "models--org--name" / "refs").mkdir()
    (tmp_path / "models--org--name" / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path), raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = stored_encoder("org/name", None, None)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert stored_encoder("org/name", None, None) is None
    assert found is not None and stored_encoder("org/name", commit, None) == found


def test_a_finished_run_answers_without_heavy_imports(run_main, sample, tiny_model, tmp_path):
    arguments = ["--dataset", "ChemProt", "--model", tiny_model("bert"), "--limit", 8, "--epochs", 1]
    arguments += ["--data_dir", sample / "raw", "--output_dir", tmp_path]
    code, out, err = run_main(*arguments)
    assert code == 0, err
    again = [sys.executable, "-c", CALL, str(ROOT), *map(str, arguments)]
    lines = subprocess.run(again, capture_output=True, text=True, check=True, cwd=ROOT).stdout.splitlines()
    assert lines == ["this run is finished already (--overwrite repeats it)", out.splitlines()[-1], "[]"]
