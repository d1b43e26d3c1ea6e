"""What the files of an encoder say of it, read without transformers: enough to name a run that is finished."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bioclinical.files import sha256_of_file, sha256_of_json
from bioclinical.text.lengths import chosen_length, context_limit, stated_length

IDENTITY_FILES = ("*.json", "*.safetensors", "*.bin", "*.txt", "*.model", "*.py")
COMMIT = re.compile("[0-9a-f]{40}")


def folder_identity(folder: Path) -> str:
    """Hash of the content of a folder in Hugging Face layout."""
    files = sorted(path for pattern in IDENTITY_FILES for path in folder.glob(pattern))
    return sha256_of_json({path.name: sha256_of_file(path) for path in files})


def hub_identity(name: str, commit: str) -> str:
    """Hash of a hub id with its commit."""
    return sha256_of_json([name, commit])


def stored_encoder(name: str, revision: str | None, requested: int | None) -> tuple[str, int] | None:
    """(identity, maximum length in tokens) of an encoder; None where only transformers (or the hub) can tell."""
    folder = Path(name) if Path(name).is_dir() else cached_snapshot(name, revision)
    if folder is None:
        return None
    config, tokenizer = read_object(folder / "config.json"), read_object(folder / "tokenizer_config.json")
    if config is None or tokenizer is None:
        return None
    length = length_from_files(config, tokenizer, requested)
    if length is None:
        return None
    identity = folder_identity(folder) if Path(name).is_dir() else hub_identity(name, folder.name)
    return identity, length


def cached_snapshot(name: str, revision: str | None) -> Path | None:
    """The folder of a hub model in the cache, where no newer one can be meant: offline, or by its commit."""
    is_offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
    if not is_offline and not COMMIT.fullmatch(revision or ""):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(name, "config.json", revision=revision)
    except HFValidationError:  # no hub id
        return None
    return Path(config).parent if isinstance(config, str) else None


def length_from_files(config: dict[str, Any], tokenizer: dict[str, Any], requested: int | None) -> int | None:
    """The published rule by the two files; None where a value that it needs is left to transformers' defaults."""
    needed = ("model_type", "max_position_embeddings", "pad_token_id")
    if any(not isinstance(config.get(key), str if key == "model_type" else int) for key in needed):
        return None
    if config["model_type"].startswith("deberta") and "position_biased_input" not in config:
        return None
    stated = tokenizer.get("model_max_length", float("inf"))
    if not isinstance(stated, (int, float)):
        return None
    return chosen_length(requested, stated_length(stated), context_limit(SimpleNamespace(**config)))[0]


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object of a file; None where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
