"""A pre-training YAML with overrides from the command line: read, checked key by key, completed with defaults."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from composer.core import Time
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bioclinical.errors import UserError, first_line
from bioclinical.pretraining.recipe import schema
from bioclinical.pretraining.recipe.schema import REQUIRED, Key

UNITS = ("tok", "ba", "sp")
NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a section",
}


def load_config(path: str | Path, overrides: list[str] = ()) -> DictConfig:
    """The config of a run: the YAML, then `key=value` overrides, interpolations resolved, defaults filled in.

    Raises UserError naming the key for what is unknown, misspelt, missing, of the wrong type or not expressible.
    """
    raw = read_yaml(path)
    for override in overrides:
        if "=" not in override:
            raise UserError(f"'{override}' is no override; write key=value, e.g. max_duration=100ba")
        key = override.partition("=")[0]
        # A whole section given on the command line replaces the file's: the former schedule's times would not fit
        # another.
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
    try:
        values = OmegaConf.to_container(raw, resolve=True)
    except OmegaConfBaseException as error:
        raise UserError(f"'{path}' cannot be resolved ({first_line(error)}); correct the ${{...}} it names") from error
    config = check_section("", values, schema.TOP)
    config["model"] = check_section("model.", config["model"], schema.MODEL)
    config["model"]["model_config"] = check_section(
        "model.model_config.", config["model"]["model_config"], schema.MODEL_CONFIG
    )
    for name in ("train_loader", "eval_loader"):
        if config[name] is not None:
            config[name] = check_section(f"{name}.", config[name], schema.LOADER)
            config[name]["dataset"] = check_section(f"{name}.dataset.", config[name]["dataset"], schema.DATASET)
    config["optimizer"] = check_section("optimizer.", config["optimizer"], schema.OPTIMIZER)
    config["scheduler"] = check_scheduler(config["scheduler"])
    for section, known in (("callbacks", schema.CALLBACKS), ("algorithms", schema.ALGORITHMS)):
        config[section] = check_named(section, config[section], known)
    for name in config["loggers"]:
        expect_known("loggers.", name, schema.LOGGERS)
    check_numbers(config)
    run_name = config["run_name"]
    config["save_folder"] = config["save_folder"].replace("{run_name}", run_name)
    if config["load_path"]:
        config["load_path"] = config["load_path"].replace("{run_name}", run_name)
    return OmegaConf.create(config)


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


def check_section(prefix: str, values: Any, keys: Mapping[str, Key]) -> dict[str, Any]:
    """One section's values, complete and of the right types, in the schema's order."""
    if not isinstance(values, dict):
        raise UserError(f"{prefix.rstrip('.')} must be a section with keys of its own, not '{values}'")
    for name in values:
        expect_known(prefix, name, keys)
    checked = {}
    for name, key in keys.items():
        if name not in values and key.default is REQUIRED:
            raise UserError(f"the config lacks {prefix}{name}; it needs {NAMES.get(key.kind, key.kind)}")
        checked[name] = check_value(prefix + name, values.get(name, key.default), key)
    return checked


def check_value(name: str, value: Any, key: Key) -> Any:
    """The value in its type. Raises UserError where it has another, or cannot be expressed."""
    if key.no_effect:
        return value
    if value is None and key.default is None:
        return None
    allowed = NAMES.get(key.kind, key.kind)
    if key.kind in (schema.TIME, schema.FRACTION):
        value = f"{value}ba" if isinstance(value, int) and not isinstance(value, bool) else value
        parse_time(name, value, fractions=key.kind == schema.FRACTION)
    elif key.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    elif not isinstance(value, key.kind) or (key.kind is int and isinstance(value, bool)):
        raise UserError(f"{name}: '{value}' must be {allowed}")
    if key.only and value not in key.only:
        listed = ", ".join(str("null" if one is None else one) for one in key.only)
        raise UserError(f"{name}: '{value}' cannot be expressed here; allowed: {listed}")
    return value


def expect_known(prefix: str, name: str, known: Mapping[str, Any]) -> None:
    """Raises UserError for an unknown key, naming the nearest known one."""
    if name in known:
        return
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"did you mean '{prefix}{near[0]}'?" if near else f"known here: {', '.join(known)}"
    raise UserError(f"unknown key '{prefix}{name}'; {hint}")


def check_named(section: str, values: dict[str, Any], known: dict[str, dict[str, Key]]) -> dict[str, Any]:
    """A section of named parts (callbacks, algorithms), each with keys of its own."""
    for name in values:
        expect_known(f"{section}.", name, known)
    return {name: check_section(f"{section}.{name}.", part or {}, known[name]) for name, part in values.items()}


def check_scheduler(values: dict[str, Any]) -> dict[str, Any]:
    name = values.get("name")
    if name not in schema.SCHEDULERS:
        raise UserError(f"scheduler.name: '{name}' is unknown; allowed: {', '.join(schema.SCHEDULERS)}")
    return check_section("scheduler.", values, {"name": Key(str), **schema.SCHEDULERS[name]})


def parse_time(name: str, text: Any, fractions: bool = False) -> Time:
    """A duration. Raises UserError for another unit than tokens, batches, samples (and, if allowed, fractions)."""
    units = (*UNITS, "dur") if fractions else UNITS
    try:
        time = Time.from_timestring(str(text))
    except (ValueError, TypeError):
        time = None
    if time is None or str(time.unit.value) not in units:
        hint = "; one pass over your data is the token count that the converter prints" if "ep" in str(text) else ""
        raise UserError(f"{name}: '{text}' is no duration; write a number and one of {', '.join(units)}{hint}")
    return time


def check_numbers(config: dict[str, Any]) -> None:
    """Ranges that types do not tell."""
    positive = {
        "global_train_batch_size": config["global_train_batch_size"],
        "device_train_microbatch_size": config["device_train_microbatch_size"],
        "model.model_config.num_hidden_layers": config["model"]["model_config"]["num_hidden_layers"],
        "optimizer.lr": config["optimizer"]["lr"],
        "max_duration": parse_time("max_duration", config["max_duration"]).value,
        "save_interval": parse_time("save_interval", config["save_interval"]).value,
    }
    if config["log_to_console"]:
        interval = config["console_log_interval"]
        positive["console_log_interval"] = parse_time("console_log_interval", interval).value
    for name, callback in config["callbacks"].items():
        intervals = {f"callbacks.{name}.{key}": value for key, value in callback.items() if key.endswith("interval")}
        positive |= {key: value for key, value in intervals.items() if isinstance(value, int)}
    for loader in ("train_loader", "eval_loader"):
        if config[loader]:
            dataset = config[loader]["dataset"]
            positive[f"{loader}.dataset.mlm_probability"] = dataset["mlm_probability"]
            if not dataset["mlm_probability"] < 1:
                raise UserError(f"{loader}.dataset.mlm_probability: '{dataset['mlm_probability']}' must be below 1")
            if dataset["max_seq_len"] < 3:
                raise UserError(f"{loader}.dataset.max_seq_len: '{dataset['max_seq_len']}' must be 3 or more")
    for name, value in positive.items():
        if not value > 0:
            raise UserError(f"{name}: '{value}' must be above 0")
    betas = config["optimizer"]["betas"]
    if len(betas) != 2 or not all(isinstance(beta, (int, float)) and 0 <= beta < 1 for beta in betas):
        raise UserError(f"optimizer.betas: '{betas}' must be two numbers from 0 to below 1")
