"""The folder format of sentence-transformers: what such a folder says of how its vectors are made, and saying it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioclinical.encoders.stored import read_object
from bioclinical.errors import UserError

POOLING_FOLDER = "1_Pooling"
COMPUTED_HERE = ("Transformer", "Pooling", "Normalize")
# Before sentence-transformers 5.6 a pooling was named by a key of its own that is true.
OLDER_KEYS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max"}


@dataclass(frozen=True)
class SentenceFormat:
    """What a folder asks for: a pooling, vectors of length one, a maximum length in tokens; None: nothing is said."""

    pooling: str | None = None
    normalize: bool = False
    max_length: int | None = None

    @classmethod
    def of(cls, name: str) -> "SentenceFormat":
        """What the folder says; nothing for a folder in plain Hugging Face layout, or a hub id.

        Raises UserError for steps that this project does not compute (a dense layer, a prompt).
        """
        folder = Path(name)
        if not (folder / "modules.json").is_file():
            return cls()
        try:
            modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
            paths = {module["type"].rpartition(".")[2]: folder / module["path"] for module in modules}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(f"'{name}': modules.json is not what sentence-transformers writes") from error
        if other := [kind for kind in paths if kind not in COMPUTED_HERE]:
            raise UserError(f"'{name}' computes its vectors with a step '{other[0]}', which is not supported here")
        if (read_object(folder / "config_sentence_transformers.json") or {}).get("default_prompt_name"):
            raise UserError(f"'{name}' puts a prompt before each text, which is not supported here")
        limit = (read_object(folder / "sentence_bert_config.json") or {}).get("max_seq_length")
        pooling = stated_pooling(paths["Pooling"]) if "Pooling" in paths else None
        return cls(pooling, "Normalize" in paths, limit if isinstance(limit, int) else None)


def sentence_files(pooling: str, hidden_size: int, max_length: int) -> dict[str, Any]:
    """The JSON files, by path, that make a folder in Hugging Face layout one of sentence-transformers (2.x on)."""
    paths = {"Transformer": "", "Pooling": POOLING_FOLDER}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(paths.items())
    ]
    modes = {key: name == pooling for key, name in OLDER_KEYS.items()}
    return {
        "modules.json": modules,
        f"{POOLING_FOLDER}/config.json": {"word_embedding_dimension": hidden_size} | modes,
        "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
    }


def stated_pooling(folder: Path) -> str:
    """The pooling that a folder's config names, one that is not offered here too."""
    config = read_object(folder / "config.json") or {}
    modes = [key for key, value in config.items() if key.startswith("pooling_mode_") and value is True]
    return str(config.get("pooling_mode") or "+".join(OLDER_KEYS.get(mode, mode) for mode in modes))
