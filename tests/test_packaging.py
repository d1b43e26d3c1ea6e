"""The console commands and the image for CUDA hosts, as far as they can be checked without building either."""

import ast
import re
import tomllib

from repository import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def installed_folders() -> dict[str, str]:
    """Package -> folder, of setup.py."""
    (call,) = [
        node
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.keyword) and node.arg == "package_dir"
    ]
    return ast.literal_eval(call.value)


def test_every_console_command_is_a_function_of_a_script():
    folders = installed_folders()
    assert len(PROJECT["scripts"]) == 6
    for name, target in PROJECT["scripts"].items():
        module, function = target.split(":")
        package, _, file = module.rpartition(".")
        path = ROOT / folders.get(package, package.replace(".", "/")) / f"{file}.py"
        functions = {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert name in ast.get_docstring(functions[function]), path


def test_the_image_takes_what_is_there_and_pins_what_the_set_up_pins():
    pinned = re.search(r"UV_VERSION=(\S+)", (ROOT / "scripts" / "setup_env.sh").read_text())[1]
    assert re.search(r"ARG UV_VERSION=(\S+)", DOCKERFILE)[1] == pinned
    python = re.search(r"FROM python:3\.(\d+)", DOCKERFILE)[1]
    assert f">=3.{python}" in PROJECT["requires-python"]
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE) for word in line.split()]
    assert copied and all((ROOT / name).exists() for name in copied)
    assert all(command in PROJECT["scripts"] for command in re.findall(r"bioclinical-\w+", DOCKERFILE))
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", "data/*", "outputs", "checkpoints", "quickstart"} <= set(ignored), "patients' text stays out"
