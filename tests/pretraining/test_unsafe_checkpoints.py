"""Checkpoints that are damaged, of another model, or made to run code: one sentence, and nothing is run."""

import pickle
import shutil
import subprocess
import sys
import zipfile

import pytest
import torch
from flexbert_files import flexbert_checkpoint, flexbert_shapes
from pretraining_setup import CONFIGS
from repository import ROOT

from bioclinical.checkpoints.export import export
from bioclinical.checkpoints.found import is_whole
from bioclinical.checkpoints.read import foreign_classes, load_checkpoint
from bioclinical.checkpoints.resume import only_safe_pickles
from bioclinical.errors import RunFailed, UserError
from bioclinical.pretraining.training.evaluation import evaluate
from bioclinical.pretraining.training.outlook import check


class Payload:
    """Pickled, it makes the file `ran` in the working directory of whoever unpickles it."""

    def __reduce__(self):
        return (open, ("ran", "w"))


def newest(folder):
    return next(folder.glob("ep*-ba2-rank0.pt"))


@pytest.fixture
def trap(train, tmp_path, monkeypatch):
    """A run's folder whose newest checkpoint carries a payload; the working directory is tmp_path."""
    folder = train(max_duration="2ba", save_interval="1ba")
    content = torch.load(newest(folder), weights_only=False)
    content["state"]["surprise"] = Payload()
    torch.save(content, newest(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def test_no_door_runs_code(trap, train, tiny_config, tmp_path, tiny_model):
    doors = {
        "autoresume": lambda: train(max_duration="4ba", autoresume="true"),
        "a finished run": lambda: train(max_duration="2ba", autoresume="true"),
        "--check": lambda: check(tiny_config(autoresume="true")),
        "load_path": lambda: train("other", load_path=newest(trap)),
        "--check of load_path": lambda: check(tiny_config("another", load_path=newest(trap))),
        "evaluation": lambda: evaluate(tiny_config(), str(newest(trap))),
        "export": lambda: export(newest(trap), tmp_path / "hf", None, None, False),
    }
    for door, enter in doors.items():
        with pytest.raises(UserError, match=r"holds more than tensors and plain values: .*io.open"):
            enter()
        assert not (tmp_path / "ran").exists(), door
    assert not (tmp_path / "hf").exists() and not (tmp_path / "other").exists()


def test_composer_itself_opens_nothing_else(trap, tmp_path):
    """Were the file exchanged between our look at it and Composer's, torch would still refuse."""
    from composer.utils.checkpoint import safe_torch_load

    with only_safe_pickles(), pytest.raises(pickle.UnpicklingError):
        safe_torch_load(str(newest(trap)))
    assert not (tmp_path / "ran").exists()


def test_own_checkpoints_hold_plain_values_alone(train):
    folder = train(max_duration="1ba", **{"algorithms.gradient_clipping.clipping_threshold": 1.0})
    assert foreign_classes(next(folder.glob("ep*"))) == []


def test_a_flipped_byte_falls_back_or_is_named(train, tiny_config, capsys, tmp_path):
    folder = train(max_duration="2ba", save_interval="1ba")
    content = bytearray(newest(folder).read_bytes())
    with zipfile.ZipFile(newest(folder)) as archive:
        largest = max(archive.infolist(), key=lambda part: part.file_size)
    content[largest.header_offset + 500] ^= 0x40
    newest(folder).write_bytes(content)
    assert not is_whole(newest(folder))
    with pytest.raises(UserError, match="is damaged .a checksum in it differs"):
        load_checkpoint(newest(folder))
    train(max_duration="2ba", autoresume="true")
    out = capsys.readouterr().out
    assert "-ba2-rank0.pt' is cut off or damaged; falling back" in out and "-ba1-rank0.pt': token" in out


@pytest.mark.parametrize("content", [
    {"state": [1, 2]}, {"state": {"model": None}}, {"state": {"model": {}}}, {"state": {"model": {"a": 1}}}, [1], None,
    {"state": {"model": {"a": torch.ones(1)}, "callbacks": [1]}}, {"state": {"model": {"a": torch.ones(1)}, "optimizers": 3}},
    {"state": {"model": {"a": torch.ones(1)}, "callbacks": {"Checkpoints": {"facts": {"other": 1}}}}},
    {"state": {"model": {"a": torch.ones(1)}, "optimizers": {"x": {"state": {"a": {"exp_avg": 1}}}}, "timestamp": 7}},
])  # fmt: skip
def test_content_of_another_shape_is_one_sentence(content, tmp_path):
    torch.save(content, tmp_path / "odd.pt")
    with pytest.raises(UserError, match="is no Composer checkpoint"):
        export(tmp_path / "odd.pt", tmp_path / "hf", None, None, False)


def test_bytes_that_are_no_pickle(tmp_path):
    with zipfile.ZipFile(tmp_path / "odd.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02nonsense")
        archive.writestr("archive/version", b"3\n")
    with pytest.raises(UserError, match=r"cannot be read|more than tensors"):
        load_checkpoint(tmp_path / "odd.pt")
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pt")
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(tmp_path / "script.pt")


def test_another_model_size_names_the_first_key(train):
    train(max_duration="1ba")
    with pytest.raises(
        UserError, match=r"is of another model \(model.model_config.intermediate_size: 48 there, 64 here\)"
    ):
        train(max_duration="2ba", autoresume="true", **{"model.model_config.intermediate_size": 64})


def test_weights_that_are_not_finite_are_said_to_be(tiny_config, tmp_path):
    path = flexbert_checkpoint(tmp_path / "nan.pt", flexbert_shapes(4, 32, 48, 504))
    content = torch.load(path, weights_only=True)
    content["state"]["model"]["model.head.dense.weight"].fill_(float("nan"))
    torch.save(content, path)
    with pytest.raises(RunFailed, match="LanguageCrossEntropy.* are not finite numbers"):
        evaluate(tiny_config(), str(path))


def script(name: str, *arguments: object) -> tuple[int, str, list[str]]:
    """Exit code, stderr and heavy imports of a script of pretraining_resources."""
    code = (
        "import runpy, sys\nsys.argv = sys.argv[1:]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as stop: code = stop.code or 0\nelse: code = 0\n"
        "print('HEAVY', *[one for one in ('torch', 'transformers', 'composer') if one in sys.modules])\nsys.exit(code)"
    )
    command = [sys.executable, "-c", code, f"{name}.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT / "pretraining_resources", capture_output=True, text=True)
    return done.returncode, done.stderr, done.stdout.splitlines()[-1].split()[1:]


def test_simple_mistakes_are_told_before_anything_heavy_is_imported(overrides, train, mds, tmp_path):
    given = {**overrides, "save_folder": tmp_path / "new", "run_name": "new"}
    shutil.copytree(mds, tmp_path / "lacking")
    next((tmp_path / "lacking" / "train").glob("*.mds")).unlink()
    finished = train(max_duration="2ba")
    cases = [
        ({"optimizer.lrr": 1}, "did you mean 'optimizer.lr'"),
        ({"data_local": tmp_path / "nowhere"}, "has no index.json"),
        ({"data_local": tmp_path / "lacking"}, "is missing; copy or convert it again"),
        ({"device_train_microbatch_size": 3}, "3 does not divide the 4 sequences"),
        ({"load_path": "no.pt"}, "there is no checkpoint 'no.pt'"),
        ({"save_folder": finished}, "already holds checkpoints"),
        ({"save_folder": finished, "autoresume": "true", "max_duration": "2ba"}, ""),
    ]
    for changes, message in cases:
        arguments = [f"{key}={value}" for key, value in (given | changes).items()]
        code, err, heavy = script("main", CONFIGS / "smoke" / "phase1.yaml", *arguments)
        assert heavy == [] and message in err and (code == 0) == (not message), (changes, err)
    assert not (tmp_path / "new").exists()
    (tmp_path / "cut.pt").write_bytes(b"PK")
    assert script("export_to_hf", "--checkpoint", tmp_path / "cut.pt", "--out", tmp_path / "x")[::2] == (2, [])
    assert script("evaluate_mlm", CONFIGS / "smoke/phase2.yaml", "--models", "no.pt")[::2] == (2, [])
