"""README and docs: every link leads somewhere, every command is understood, and those marked `bash` run as they stand.

Commands in ```bash blocks run in the order of the pages, in one copy of the repository where the quickstart has been:
`pytest -m docs`, once in CI. Commands in ```sh blocks need a hub, a GPU or data of one's own; they are parsed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from repository import ROOT

import main
from bioclinical.pretraining.recipe.load import load_recipe

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]
PAGES = [page for page in PAGES if page.exists()]
SETUP_COMMANDS = ["bash scripts/quickstart.sh", "bash scripts/test.sh"]  # CI runs these two
LONGEST_LINE = 120
README_LINES = 300


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page: Path, language: str) -> list[str]:
    joined = [block.replace("\\\n", " ") for block in blocks(page, language)]
    lines = [line.split("  #")[0].rstrip() for block in joined for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def commands_of_all(language: str, *starts: str) -> list:
    return [
        pytest.param(command, id=f"{page.name}: {command[:60]}")
        for page in PAGES
        for command in commands(page, language)
        if command.startswith(starts or "")
    ]


def runnable_blocks() -> list:
    """The blocks that run as they stand; those of the two set-up commands run in CI by themselves."""
    return [
        pytest.param(block, id=f"{page.name}: {block.splitlines()[0][:60]}")
        for page in PAGES
        for block in blocks(page, "bash")
        if not any(command in block for command in SETUP_COMMANDS)
    ]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("docs") / "repository"
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(request.getfixturevalue("tiny_model")(), folder / "quickstart" / "tiny-modernbert")
    shutil.copytree(request.getfixturevalue("sample"), folder / "quickstart", dirs_exist_ok=True)
    return folder


@pytest.mark.docs
@pytest.mark.parametrize("block", runnable_blocks())
def test_block_runs(workplace, block):
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(workplace)}
    run = subprocess.run(["bash", "-e", "-c", block], cwd=workplace, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr


def test_the_two_setup_commands_come_first_and_ci_runs_them():
    assert commands(PAGES[0], "bash")[:2] == SETUP_COMMANDS
    ci = (ROOT / ".ci" / "run").read_text()
    assert all(command in ci for command in SETUP_COMMANDS) and "-m docs" in ci


def test_the_readme_can_be_read():
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) < README_LINES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_fit_and_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    long = [n for n, line in enumerate(text.splitlines(), start=1) if len(line) > LONGEST_LINE and "|" not in line[:3]]
    assert not long, f"lines over {LONGEST_LINE} characters: {long}"
    broken = [
        target
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
        if not (page.parent / target).exists()
    ]
    assert not broken


@pytest.mark.parametrize("command", commands_of_all("sh", "python main.py --dataset"))
def test_command_with_a_hub_model_is_understood(command):
    main.parse_args(shlex.split(command)[2:])


@pytest.mark.parametrize("command", commands_of_all("sh", "composer ", "python main.py configs/"))
def test_commands_on_gpus_name_recipes_that_load(command):
    words = shlex.split(command)
    recipe = next(i for i, word in enumerate(words) if word.endswith(".yaml"))
    overrides = [word for word in words[recipe + 1 :] if "=" in word]
    assert load_recipe(ROOT / "pretraining_resources" / words[recipe], overrides).run_name
