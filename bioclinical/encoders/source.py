"""Where an encoder comes from, its config, and the hash that names exactly which one it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, PretrainedConfig

from bioclinical.encoders.stored import folder_identity, hub_identity
from bioclinical.errors import UserError, first_line


@dataclass(frozen=True)
class Source:
    """Where a model comes from: a hub id with an optional revision, or a folder; and whether its code may run."""

    name: str
    revision: str | None = None
    trust_remote_code: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """The keywords that every `from_pretrained` takes."""
        return {"revision": self.revision, "trust_remote_code": self.trust_remote_code}


def load_config(source: Source) -> PretrainedConfig:
    """The model's config.json; raises UserError where it cannot be loaded or holds a word for a number."""
    name = source.name
    try:
        config = AutoConfig.from_pretrained(name, **source.options)
    except Exception as error:  # hub client and config parser raise classes of their own
        raise UserError(
            f"no model could be loaded from '{name}' ({first_line(error)}); give a hub id or a folder "
            "(docs/checkpoints.md makes one of a .pt file)"
        ) from error
    for key in number_keys(type(config)):
        if isinstance(getattr(config, key, None), str):
            raise UserError(f"'{name}': `{key}` in its config.json must be a number")
    return config


def number_keys(config_class: type[PretrainedConfig]) -> list[str]:
    """The settings of a kind of config whose defaults are numbers."""
    defaults = {} if config_class.has_no_defaults_at_init else vars(config_class())
    return [key for key, value in defaults.items() if isinstance(value, (int, float)) and not isinstance(value, bool)]


def model_identity(source: Source, config: PretrainedConfig) -> str:
    """Hash of a folder's content, or of a hub id with its commit."""
    folder = Path(source.name)
    if folder.is_dir():
        return folder_identity(folder)
    return hub_identity(source.name, getattr(config, "_commit_hash", None) or source.revision or "main")
