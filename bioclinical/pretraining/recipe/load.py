"""A recipe: a YAML with overrides from the command line, read, checked key by key, completed with defaults."""

import dataclasses
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bioclinical.errors import UserError, first_line
from bioclinical.pretraining.recipe.masking_rate import MaskingSchedule, in_tokens
from bioclinical.pretraining.recipe.schema import Dataset, Recipe
from bioclinical.pretraining.recipe.sections import read_section, to_plain
from bioclinical.pretraining.recipe.streams import expect_shares


def load_recipe(path: str | Path, overrides: list[str] = ()) -> Recipe:
    """The recipe of a run: the YAML, then `key=value` overrides, interpolations resolved, defaults filled in.

    Raises UserError naming the key for what is unknown, misspelt, missing, of the wrong type, out of range or not
    expressible.
    """
    raw = read_yaml(path)
    for override in overrides:
        apply_override(raw, override)
    try:
        values = OmegaConf.to_container(raw, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(f"'{path}' cannot be resolved ({first_line(error)}); correct the value it names") from error
    recipe = read_section("", values, Recipe)
    folders = {
        name: folder.replace("{run_name}", recipe.run_name)
        for name in ("save_folder", "load_path")
        if (folder := getattr(recipe, name))
    }
    for name in ("train_loader", "eval_loader"):
        if loader := getattr(recipe, name):
            expect_sources(f"{name}.dataset", loader.dataset, name == "train_loader")
    return with_masking_in_tokens(dataclasses.replace(recipe, **folders))


def expect_sources(name: str, dataset: Dataset, is_training: bool) -> None:
    """Raises UserError where it is not said, or said twice, what is read, or in which shares."""
    if not dataset.streams and not dataset.local:
        raise UserError(f"the config lacks {name}.local; it needs the folder of an MDS, or {name}.streams")
    if not dataset.streams:
        return
    if dataset.local:
        raise UserError(f"{name}: local '{dataset.local}' and streams are given; give one of them")
    if is_training and not dataset.shuffle:
        raise UserError(f"{name}.shuffle must be true with streams, which are mixed by shuffling")
    expect_shares(f"{name}.streams", dataset.streams, is_training)


def with_masking_in_tokens(recipe: Recipe) -> Recipe:
    """The recipe with a falling masking rate's times in tokens. Raises UserError where there can be none."""
    key = "{}.dataset.mlm_probability"
    if recipe.eval_loader and isinstance(recipe.eval_loader.dataset.mlm_probability, MaskingSchedule):
        raise UserError(
            f"{key.format('eval_loader')} must be one number, so that evaluations of all times can be compared"
        )
    train, rate = recipe.train_loader, recipe.train_loader.dataset.mlm_probability
    if not isinstance(rate, MaskingSchedule):
        return recipe
    rate = in_tokens(key.format("train_loader"), rate, recipe.max_duration)
    dataset = dataclasses.replace(train.dataset, mlm_probability=rate)
    return dataclasses.replace(recipe, train_loader=dataclasses.replace(train, dataset=dataset))


def apply_override(raw: DictConfig, override: str) -> None:
    """Sets one `key=value` of the command line. Raises UserError where it cannot be read.

    A whole section given on the command line replaces the file's: the former schedule's times would not fit another.
    """
    if "=" not in override:
        raise UserError(f"'{override}' is no override; write key=value, e.g. max_duration=100ba")
    key = override.partition("=")[0]
    try:
        value = OmegaConf.to_container(OmegaConf.from_dotlist([override]), resolve=False)
        for part in key.split("."):
            value = value[part]
        OmegaConf.update(raw, key, value, merge=False, force_add=True)
    except (OmegaConfBaseException, yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"'{override}' cannot be read ({first_line(error)}); write key=value in quotes, e.g. "
            "'optimizer.betas=[0.9, 0.98]'"
        ) from error


def read_yaml(path: str | Path) -> DictConfig:
    """The file as it stands. Raises UserError where it is missing or no YAML mapping."""
    try:
        raw = OmegaConf.load(path)
    except OSError as error:
        raise UserError(f"cannot read the config '{path}' ({error.strerror}); give one of configs/*/*.yaml") from error
    except Exception as error:  # YAML's own errors have many classes
        raise UserError(f"'{path}' is not YAML ({first_line(error)})") from error
    if not isinstance(raw, DictConfig):
        raise UserError(f"'{path}' holds no keys; give one of configs/*/*.yaml")
    return raw


def recipe_text(recipe: Recipe) -> str:
    """The complete recipe as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(to_plain(recipe)))


def plain_recipe(recipe: Recipe) -> dict[str, Any]:
    """The complete recipe as plain values, which a checkpoint can hold."""
    return to_plain(recipe)
