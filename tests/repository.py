"""Where the repository is; imported first by conftest.py, so that neither tests nor what they start look for a hub."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # else importing it starts a process per core, for each process here

from bioclinical.tiny_models import FAMILIES  # noqa: E402

ENCODERS = [family for family in FAMILIES if family not in ("t5", "bart")]  # GPT-2, which reads one way, included
