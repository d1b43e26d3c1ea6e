"""How a section of a recipe is described: a dataclass whose fields carry what their types do not tell.

A field says its range, the values that can be expressed, or why it has no effect, beside its name, type and default.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """only: the values that can be expressed. no_effect: why a key is accepted and changes nothing.

    at_least, at_most, above, below: a number's range; also: values outside of it that have a meaning. why: of a range
    or of `only`. fractions: a duration may be a fraction of max_duration. variants: the sections among which the key
    `selector` chooses (of the section itself, or, with `beside`, of the one it stands in). parts: a section of named
    parts, each of its own kind (None: its keys pass through). or_section: a section may stand in the value's place.
    each: a section of the user's own names, each of this kind.
    """

    only: tuple[Any, ...] = ()
    no_effect: str = ""
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    also: tuple[Any, ...] = ()
    why: str = ""
    fractions: bool = False
    variants: Mapping[str, type] | None = None
    selector: str = "name"
    beside: bool = False
    parts: Mapping[str, type | None] | None = None
    or_section: type | None = None
    each: type | None = None


def key(default: Any = dataclasses.MISSING, **rule: Any) -> Any:
    """A key of a section; without a default it must be given."""
    metadata = {"rule": Rule(**rule)}
    if isinstance(default, (dict, list)):
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def fixed(*values: Any, why: str = "") -> Any:
    """A key with one or more expressible values, the first being the default."""
    return key(values[0], only=values, why=why)


def unused(why: str) -> Any:
    """A key that published recipes carry and that changes nothing here."""
    return key(None, no_effect=why)


def anchor() -> Any:
    return unused("only a name for ${...} elsewhere in the file")


def rule_of(field: dataclasses.Field) -> Rule:
    return field.metadata.get("rule", Rule())
