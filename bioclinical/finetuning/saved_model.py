"""A fine-tuned model's folder: weights, tokenizer, and in its config what prediction must know of the training."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioclinical.errors import UserError
from bioclinical.files import atomic_path, remove

FILE_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja", ".md")
KEY = "bioclinical"  # in config.json


@dataclass(frozen=True)
class TrainedFacts:
    """What a model was trained on and how its test score was made; absent from models saved elsewhere.

    max_length: tokens, special ones included.  token_pattern: cuts text into the task's words.  pooling: of texts that
    are longer.  options: the problem's own settings.
    """

    dataset: str = "unknown task"
    protocol: str = "unknown"
    problem: str | None = None
    max_length: int | None = None
    token_pattern: str | None = None
    pooling: str = "head"
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, config: Any) -> "TrainedFacts":
        """The facts in a transformers config, as far as they are there."""
        stored = getattr(config, KEY, None) or {}
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in known and value is not None})


def save_model(model: Any, tokenizer: Any, facts: TrainedFacts, folder: Path) -> None:
    """Writes the folder, or replaces it, in one go."""
    setattr(model.config, KEY, dataclasses.asdict(facts))
    with atomic_path(folder) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)


def check_target(folder: Path, model: Path, overwrite: bool) -> None:
    """Raises UserError, before any work, where no model could be saved or something else would be replaced."""
    if folder.exists() and not overwrite:
        raise UserError(f"--save_model: '{folder}' exists; choose another folder or add --overwrite")
    if folder.exists() and (not is_saved_model(folder) or folder.resolve() == model.resolve()):
        raise UserError(f"--save_model: '{folder}' is not a model saved by an earlier run; choose another folder")
    probe = folder.parent / f"{folder.name}.writable"
    with atomic_path(probe) as partial:
        partial.mkdir()
    remove(probe)


def is_saved_model(folder: Path) -> bool:
    """Whether a folder holds a model with its tokenizer and nothing else."""
    files = list(folder.iterdir()) if folder.is_dir() else []
    return (folder / "config.json").is_file() and all(f.is_file() and f.suffix in FILE_SUFFIXES for f in files)
