"""What tables call a model and its settings, so that no two rows read the same."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import PurePath
from typing import Any

from bioclinical.finetuning.settings import Settings
from bioclinical.results.store import Result

ALWAYS_SHOWN = ("lr", "epochs", "batch_size", "max_length")


def model_names(results: Iterable[Result]) -> dict[str, str]:
    """The hash of each encoder's content -> its name: the label that its runs were given (main.py --model_label), else
    the model's own name; with as much of the path as tells it from others of that name, or else its hash."""
    labelled, paths = {}, {}
    for result in results:
        key = result["identity"]["model_sha256"]
        labelled[key] = result.get("model_label") or labelled.get(key)
        paths.setdefault(key, (result["model_name"], result["model"]))
    names = {key: labelled[key] or name for key, (name, _) in paths.items()}
    for shared in duplicates(names.values()):
        same = [key for key, name in names.items() if name == shared]
        endings = [] if any(labelled[key] for key in same) else shortest_endings([paths[key][1] for key in same])
        names |= dict(zip(same, endings or [f"{shared}@{key[:8]}" for key in same]))
    return names


def duplicates(values: Iterable[str]) -> list[str]:
    """Those that occur more than once, each once."""
    seen = list(values)
    return sorted({value for value in seen if seen.count(value) > 1})


def shortest_endings(paths: list[str]) -> list[str]:
    """The fewest last parts of each path that tell all apart; nothing where the paths do not."""
    parts = [PurePath(path).parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        endings = [str(PurePath(*own[-length:])) for own in parts]
        if len(set(endings)) == len(endings):
            return endings
    return []


def described_settings(config: dict[str, Any]) -> str:
    """The settings that users vary most, and those that differ from the published recipe."""
    if config.get("zero_shot"):
        return f"zero_shot={config['zero_shot']} shots={config.get('shots', 0)} length={config['max_length']}"
    shown = f"lr={config['lr']:g} epochs={config['epochs']} batch={config['batch_size']} length={config['max_length']}"
    for name, default in asdict(Settings()).items():
        value = config.get(name, default)
        value = tuple(value) if isinstance(value, list) else value  # JSON knows no tuples
        if name not in (*ALWAYS_SHOWN, "seed") and value != default:
            shown += f" {name}={value}".replace(", ", ",")
    return shown


def row_names(models: list[str], settings: list[str]) -> list[str]:
    """Each row's model, with those of its settings that not all rows share; numbered where the settings that are shown
    do not tell rows apart."""
    shared = set.intersection(*(set(own.split()) for own in settings)) if settings else set()
    names: list[str] = []
    for model, own in zip(models, settings):
        name = " ".join([model, *(word for word in own.split() if word not in shared)])
        repeats = sum(name == earlier.partition(" #")[0] for earlier in names)
        names.append(f"{name} #{repeats + 1}" if repeats else name)
    return names
