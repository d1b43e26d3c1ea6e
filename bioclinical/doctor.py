"""What this machine can do, and what to do about what is missing.

python -m bioclinical.doctor [--data_dir data/raw]
"""

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bioclinical.errors import run_cli

NEEDED_FREE_GB = 10  # an encoder, its checkpoints of one run and the data's caches
PYTHONS = ((3, 11), (3, 12))
# What an extra of pyproject.toml adds, and a module that shows that it is there.
EXTRAS = {
    "test": "pytest",
    "adapters": "peft",
    "vectors": "sentence_transformers",
    "onnx": "onnxruntime",
    "duplicates": "datasketch",
    "surrogates": "faker",
    "vocabulary": "gensim",
    "site": "mkdocs",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report. advice: what to do about it; empty where all is well."""

    what: str
    state: str
    advice: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_dir", default="data/raw", help="folder of the raw files (default: data/raw)")
    args = parser.parse_args()
    advised = 0
    for title, findings in (
        ("versions", versions()),
        ("optional", extras()),
        ("devices", devices()),
        ("packed attention", attention()),
        ("disk and caches", disks()),
        ("data", data(Path(args.data_dir))),
    ):
        print(f"{title}:")
        for finding in findings:
            print(f"  {finding.what:<22} {finding.state}")
            if finding.advice:
                advised += 1
                print(f"  {'':<22} -> {finding.advice}")
    print(f"to do: {advised}, marked '->'" if advised else "nothing to do")


def versions() -> Iterator[Finding]:
    """Python and the packages that can change a number, beside the versions that the project is tested with."""
    from bioclinical.runtime.provenance import RECORDED_PACKAGES, installed_versions

    found, pins = installed_versions(), pinned()
    wrong = "" if sys.version_info[:2] in PYTHONS else "use Python 3.11 or 3.12"
    yield Finding("python", found["python"], wrong)
    for package in RECORDED_PACKAGES:
        pin, version = pins.get(package), found.get(package)
        if version is None and pin:
            yield Finding(package, "missing", "bash scripts/test.sh installs everything; or: pip install -e .")
        elif version and pin and version.split("+")[0] != pin:
            yield Finding(package, f"{version} (tested with {pin})", f"pip install {package}=={pin}")
        elif version:
            yield Finding(package, version)


def pinned() -> dict[str, str]:
    """Package -> version, of what this installation requires."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        required = requires("bioclinical") or []
    except PackageNotFoundError:
        return {}
    pairs = [line.split("==") for line in required if "==" in line and ";" not in line]
    return dict(pairs)


def extras() -> Iterator[Finding]:
    for extra, module in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        yield Finding(extra, "installed" if there else f"not installed; where needed: pip install -e .[{extra}]")


def devices() -> Iterator[Finding]:
    import torch

    from bioclinical.runtime.cores import usable_cores
    from bioclinical.runtime.machine import choose_device
    from bioclinical.runtime.provenance import hardware

    found = hardware()
    threads = torch.get_num_threads()
    yield Finding("cpu", f"{found['cpu']}, {usable_cores()} usable cores, torch uses {threads} threads")
    for name, memory in zip(found["gpus"], found["gpu_memory_bytes"]):
        yield Finding("gpu", f"{name}, {memory / 2**30:.0f} GiB")
    chosen = choose_device()
    advice = ""
    if shutil.which("nvidia-smi") and chosen.value != "cuda":
        advice = "nvidia-smi is here but torch sees no GPU: is this a CPU build of torch, or CUDA_VISIBLE_DEVICES set?"
    yield Finding("used by default", f"{chosen.value} ({chosen.reason})", advice)


def attention() -> Iterator[Finding]:
    """Each kernel of packed attention, and why it cannot run here where it cannot."""
    from bioclinical.modeling import BACKENDS
    from bioclinical.modeling.backend_choice import choose_packed_backend, why_no_backend
    from bioclinical.runtime.machine import choose_device

    device = choose_device().value
    for name in BACKENDS:
        yield Finding(name, why_no_backend(name, device, "bf16") or "runs here")
    for precision in ("fp32", "bf16"):
        yield Finding(f"taken in {precision}", str(choose_packed_backend("auto", device, precision)))


def disks() -> Iterator[Finding]:
    """Free space where results, temporary files and downloaded models go, and whether a hub is asked for."""
    from huggingface_hub import constants

    places = {
        "here": Path.cwd(),
        "temporary files": Path(tempfile.gettempdir()),
        "hub cache": Path(constants.HF_HUB_CACHE),
    }
    for name, place in places.items():
        existing = next(parent for parent in (place, *place.parents) if parent.exists())
        free = shutil.disk_usage(existing).free / 1e9
        advice = "" if free >= NEEDED_FREE_GB else f"less than {NEEDED_FREE_GB} GB; free some, or use another folder"
        if not os.access(existing, os.W_OK):
            advice = "this folder cannot be written"
        yield Finding(name, f"{place}, {free:,.0f} GB free", advice)
    offline = constants.HF_HUB_OFFLINE
    yield Finding(
        "hub", "off (HF_HUB_OFFLINE=1): models are folders or cached" if offline else "asked for models by name"
    )


def data(folder: Path) -> Iterator[Finding]:
    """Whose raw files there are."""
    found = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    advice = (
        "" if found else "docs/data.md says where the corpora are; scripts/make_sample_data.py writes invented ones"
    )
    state = f"{len(found)} folders; `python dataloader.py --list` names the tasks" if found else "no folder here"
    yield Finding(str(folder), state, advice)


if __name__ == "__main__":
    run_cli(main)
