"""A fine-tuned model's folder: weights, tokenizer, and in its config what prediction must know of the training."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioclinical import problems
from bioclinical.encoders.sentence_format import POOLING_FOLDER
from bioclinical.errors import UserError
from bioclinical.files import atomic_path, remove, write_json, write_text

FILE_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".jinja", ".md")
KEY = "bioclinical"  # in config.json


@dataclass(frozen=True)
class TrainedFacts:
    """What a model was trained on and how its test score was made; absent from models saved elsewhere.

    max_length: tokens, special ones included.  token_pattern: cuts text into the task's words.  pooling: of texts that
    are longer.  options: the problem's own settings.  texts: the names of the texts that an example has.
    operating_point: a temperature and thresholds chosen on validation.  base: of an adapter, the name, revision and
    hash of the model that it belongs to.
    """

    dataset: str = "unknown task"
    protocol: str = "unknown"
    problem: str | None = None
    max_length: int | None = None
    token_pattern: str | None = None
    pooling: str = "head"
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    texts: list[str] | None = None
    operating_point: dict[str, Any] | None = None
    base: dict[str, Any] | None = None

    @classmethod
    def of(cls, config: Any, model: str) -> "TrainedFacts":
        """The facts in a transformers config, as far as they are there. Raises UserError where they cannot be such."""
        stored = getattr(config, KEY, None)
        stored = {} if stored is None else stored
        if not isinstance(stored, dict):
            raise UserError(f"'{model}': `{KEY}` in its config.json is not what main.py --save_model writes")
        known = {field.name for field in dataclasses.fields(cls)}
        for name, value in stored.items():
            if name in known and value is not None and not is_allowed(name, value):
                raise UserError(f"'{model}': `{KEY}.{name}` in its config.json is not what main.py --save_model writes")
        return cls(**{name: value for name, value in stored.items() if name in known and value is not None})


def is_allowed(name: str, value: Any) -> bool:
    """Whether a stored fact can be one."""
    if name == "max_length":
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    if name == "pooling":
        return value in ("head", "windows")
    if name in ("options", "operating_point", "base"):
        return isinstance(value, dict)
    if name == "texts":
        return isinstance(value, list) and all(isinstance(text, str) for text in value)
    if name == "token_pattern":
        return isinstance(value, str) and is_pattern(value)
    return isinstance(value, str)


def is_pattern(text: str) -> bool:
    """Whether a text is a regular expression."""
    try:
        re.compile(text)
    except re.error:
        return False
    return True


def save_model(model: Any, tokenizer: Any, facts: TrainedFacts, folder: Path, card: str | None = None) -> None:
    """Writes the folder, or replaces it, in one go: the whole model, or its adapter where `facts.base` is given."""
    setattr(model.config, KEY, dataclasses.asdict(facts))
    with atomic_path(folder) as partial:
        if facts.base:
            from bioclinical.encoders.adapters import save_adapter

            save_adapter(model, partial, facts.base["name"])
        else:
            if hasattr(model, "peft_config"):
                from bioclinical.encoders.adapters import merge

                merge(model)
            model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        if card:
            write_text(partial / "README.md", card)
        if facts.problem is not None and facts.max_length is not None:
            beside = problems.get(facts.problem).files_beside(model.config, facts.max_length, facts.options)
            for name, content in beside.items():
                write_json(partial / name, content)


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


def refuse_unsaved_model(folder: str | None) -> None:
    """A finished run keeps no weights: raises UserError where a model is asked for later."""
    if folder and not Path(folder).exists():
        raise UserError(
            f"this run is finished and its weights were not kept; add --overwrite to train again for '{folder}'"
        )


def is_saved_model(folder: Path) -> bool:
    """Whether a folder holds a model with its tokenizer and nothing else."""
    files = list(folder.iterdir()) if folder.is_dir() else []
    known = [f.name == POOLING_FOLDER if f.is_dir() else f.suffix in FILE_SUFFIXES for f in files]
    return (folder / "config.json").is_file() and all(known)
