"""The README's commands run as they stand, in order, in a copy of the repository where the quickstart has been."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from repository import ROOT

import main
from bioclinical.pretraining.recipe.load import load_recipe

README = (ROOT / "README.md").read_text()
SETUP_COMMANDS = ["bash scripts/quickstart.sh", "bash scripts/test.sh"]  # CI runs these two


def commands(language: str) -> list[str]:
    blocks = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    lines = [line.split("  #")[0].rstrip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("readme") / "repository"
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(request.getfixturevalue("tiny_model")(), folder / "quickstart" / "tiny-modernbert")
    shutil.copy(request.getfixturevalue("sample") / "notes.csv", folder / "quickstart" / "notes.csv")
    return folder


def test_the_two_setup_commands_come_first_and_ci_runs_them():
    assert commands("bash")[:2] == SETUP_COMMANDS
    ci = (ROOT / ".ci" / "run").read_text()
    assert all(command in ci for command in SETUP_COMMANDS)


@pytest.mark.parametrize("command", commands("bash")[2:])
def test_command(workplace, command):
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    run = subprocess.run(
        ["bash", "-c", command], cwd=workplace, capture_output=True, text=True, env=os.environ | {"PATH": path}
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("command", [c for c in commands("sh") if c.startswith("python main.py --dataset")])
def test_command_with_a_hub_model_is_understood(command):
    arguments = main.parse_args(shlex.split(command)[2:])
    assert arguments.model.count("/") == 1


QUICKSTART_PARTS = (
    "python main.py configs/smoke/",
    "python export_",
    "python evaluate_",
    "python -m bioclinical.results",
)


@pytest.mark.parametrize("command", [c for c in commands("sh") if c.startswith(QUICKSTART_PARTS)])
def test_commands_of_the_quickstart(command):
    quickstart = (ROOT / "scripts" / "quickstart.sh").read_text().replace("\\\n", " ")
    assert " ".join(command.split()) in " ".join(quickstart.split())


@pytest.mark.parametrize(
    "command", [c for c in commands("sh") if c.startswith(("composer ", "python main.py configs/phase"))]
)
def test_commands_on_gpus_name_recipes_that_load(command):
    words = shlex.split(command)
    recipe = next(i for i, word in enumerate(words) if word.endswith(".yaml"))
    overrides = [word for word in words[recipe + 1 :] if "=" in word]
    assert load_recipe(ROOT / "pretraining_resources" / words[recipe], overrides).run_name
