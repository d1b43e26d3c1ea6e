"""Plain values of a YAML -> a checked section of the schema, and back."""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from bioclinical.errors import UserError
from bioclinical.pretraining.recipe.duration import FRACTION, UNITS, Duration, parse_duration
from bioclinical.pretraining.recipe.keys import Rule, rule_of

KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    tuple: "two numbers",
    dict: "a section",
    Duration: "a duration such as 1_000_000tok, 500ba or 20_000sp",
}


def read_section(prefix: str, values: Any, section: type) -> Any:
    """An instance of `section` from the values of a YAML.

    Raises UserError naming the key for what is unknown, misspelt, missing, of the wrong type, out of range or not
    expressible.
    """
    if not isinstance(values, dict):
        raise UserError(f"{prefix.rstrip('.')} must be a section with keys of its own, not '{values}'")
    fields = {field.name: field for field in dataclasses.fields(section)}
    for name in values:
        expect_known(prefix, name, fields)
    read = {}
    hints = typing.get_type_hints(section)
    for name, field in fields.items():
        kind, optional = kind_of(hints[name])
        if name not in values and default_of(field) is dataclasses.MISSING:
            raise UserError(f"the config lacks {prefix}{name}; it needs {KINDS.get(kind, KINDS[dict])}")
        value = values.get(name, default_of(field))
        rule = rule_of(field)
        if rule.no_effect or (value is None and optional):
            read[name] = value
        elif rule.variants:
            selected = read if rule.beside else value
            read[name] = read_variant(prefix + name, value, rule, selected)
        elif rule.or_section and isinstance(value, dict):
            read[name] = read_section(f"{prefix}{name}.", value, rule.or_section)
        elif rule.each:
            read[name] = read_each(prefix + name, value, rule.each)
        elif rule.parts:
            read[name] = read_parts(prefix + name, value, rule.parts)
        elif dataclasses.is_dataclass(kind) and kind is not Duration:
            read[name] = read_section(f"{prefix}{name}.", value, kind)
        else:
            read[name] = read_value(prefix + name, value, kind, rule)
    return section(**read)


def kind_of(hint: Any) -> tuple[type, bool]:
    """The class of a key's values, and whether it may be null."""
    if isinstance(hint, types.UnionType):
        kinds = [part for part in hint.__args__ if part is not types.NoneType]
        return kind_of(kinds[0])[0], len(kinds) < len(hint.__args__)
    return typing.get_origin(hint) or hint, False


def default_of(field: dataclasses.Field) -> Any:
    """A key's default; MISSING where it must be given."""
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def read_variant(name: str, value: Any, rule: Rule, selected: Any) -> Any:
    """The section that the key `rule.selector` of `selected` names; a plain name is short for a section with it."""
    if isinstance(value, str) and not rule.beside:
        value = selected = {rule.selector: value}
    if not isinstance(value, dict):
        raise UserError(f"{name} must be a section with keys of its own, not '{value}'")
    which = selected.get(rule.selector)
    if which not in rule.variants:
        raise UserError(f"{name}.{rule.selector}: '{which}' is unknown; allowed: {', '.join(rule.variants)}")
    return read_section(f"{name}.", value, rule.variants[which])


def read_parts(name: str, value: Any, known: Mapping[str, type | None]) -> dict[str, Any]:
    """A section of named parts (callbacks, loggers), each with keys of its own."""
    if not isinstance(value, dict):
        raise UserError(f"{name} must be a section with keys of its own, not '{value}'")
    for part in value:
        expect_known(f"{name}.", part, known)
    return {
        part: options if known[part] is None else read_section(f"{name}.{part}.", options or {}, known[part])
        for part, options in value.items()
    }


def read_each(name: str, value: Any, kind: type) -> dict[str, Any]:
    """A section of parts that the user names, all of one kind."""
    if not isinstance(value, dict):
        raise UserError(f"{name} must be a section of named sections, not '{value}'")
    return {str(part): read_section(f"{name}.{part}.", keys, kind) for part, keys in value.items()}


def read_value(name: str, value: Any, kind: type, rule: Rule) -> Any:
    """The value in its type. Raises UserError where it has another, is out of range or cannot be expressed."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is Duration:
        value = read_duration(name, f"{value}ba" if isinstance(value, int) and is_number else value, rule)
        expect_range(name, value.value, rule, value.text)
        return value
    if kind is float and is_number:
        value = float(value)
    if kind is tuple:
        return read_pair(name, value, rule)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise UserError(f"{name}: '{value}' must be {KINDS[kind]}")
    if rule.only and value not in rule.only:
        listed = ", ".join(str("null" if one is None else one) for one in rule.only)
        why = f" ({rule.why})" if rule.why else ""
        raise UserError(f"{name}: '{value}' cannot be expressed here; allowed: {listed}{why}")
    if kind in (int, float):
        expect_range(name, value, rule, value)
    return value


def read_pair(name: str, value: Any, rule: Rule) -> tuple[float, float]:
    numbers = value if isinstance(value, (list, tuple)) else ()
    if len(numbers) != 2 or not all(
        isinstance(one, (int, float)) and rule.at_least <= one < rule.below for one in value
    ):
        raise UserError(f"{name}: '{value}' must be two numbers from {rule.at_least} to below {rule.below}")
    return tuple(map(float, numbers))


def read_duration(name: str, value: Any, rule: Rule) -> Duration:
    """A duration. Raises UserError for another unit than tokens, batches, samples (and, if allowed, fractions)."""
    duration = parse_duration(str(value), rule.fractions)
    if duration is None:
        units = [*UNITS, FRACTION] if rule.fractions else UNITS
        hint = "; one pass over your data is the token count that the converter prints" if "ep" in str(value) else ""
        raise UserError(f"{name}: '{value}' is no duration; write a number and one of {', '.join(units)}{hint}")
    return duration


def expect_range(name: str, value: float, rule: Rule, shown: Any) -> None:
    """Raises UserError where a number is out of its range or no number at all."""
    if value in rule.also:
        return
    why = f" ({rule.why})" if rule.why else ""
    also = "".join(f", or {one}" for one in rule.also)
    for limit, holds, words in (
        (rule.above, rule.above is None or value > rule.above, "above"),
        (rule.below, rule.below is None or value < rule.below, "below"),
    ):
        if not holds:
            raise UserError(f"{name}: '{shown}' must be {words} {limit:,}{also}{why}")
    if not (rule.at_least is None or value >= rule.at_least):
        raise UserError(f"{name}: '{shown}' must be {rule.at_least:,} or more{also}{why}")
    if not (rule.at_most is None or value <= rule.at_most):
        raise UserError(f"{name}: '{shown}' must be {rule.at_most:,} or less{also}{why}")
    if not math.isfinite(value):
        raise UserError(f"{name}: '{shown}' must be a finite number")


def expect_known(prefix: str, name: str, known: Mapping[str, Any]) -> None:
    """Raises UserError for an unknown key, naming the nearest known one."""
    if name in known:
        return
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f"did you mean '{prefix}{near[0]}'?" if near else f"known here: {', '.join(known)}"
    raise UserError(f"unknown key '{prefix}{name}'; {hint}")


def to_plain(value: Any) -> Any:
    """A section as nested plain values, in the schema's order; read_section takes them back."""
    if isinstance(value, Duration):
        return value.text
    if dataclasses.is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: to_plain(part) for name, part in value.items()}
    return [to_plain(part) for part in value] if isinstance(value, (list, tuple)) else value
