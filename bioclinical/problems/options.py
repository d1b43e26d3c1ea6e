"""A problem's own settings (window steps, beams, ...): a frozen dataclass, from `NAME=VALUE` or a saved model."""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bioclinical.errors import UserError

TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class NoOptions:
    """Of problems that have none."""


def filled(kind: type, task: Mapping[str, Any], asked: Sequence[str] = ()) -> Any:
    """Options of a kind: its defaults, then the task's, then those asked for as `NAME=VALUE`.

    Raises UserError for an unknown name or a value that does not fit.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    given = dict(task)
    for text in asked:
        name, _, value = text.partition("=")
        if name not in fields:
            known = f"; known: {', '.join(fields)}" if fields else ", and this kind of problem has none"
            raise UserError(f"--option {name}: there is no such option{known}")
        given[name] = parsed(name, value, typing.get_type_hints(kind)[name])
    return kind(**given)


def restored(kind: type, stored: Mapping[str, Any]) -> Any:
    """Options as a saved model states them; names that this version does not know are left out."""
    known = {field.name for field in dataclasses.fields(kind)}
    return kind(**{name: value for name, value in stored.items() if name in known})


def parsed(name: str, text: str, hint: Any) -> Any:
    """A value as the type of its field; "none" where the field may be absent."""
    allowed = typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        if text.lower() == "none":
            return None
        hint = next(kind for kind in allowed if kind is not type(None))
        allowed = typing.get_args(hint)
    if allowed:
        if text not in allowed:
            raise UserError(f"--option {name}={text}: allowed are {', '.join(allowed)}")
        return text
    try:
        return TRUTHS[text.lower()] if hint is bool else hint(text)
    except (ValueError, KeyError) as error:
        raise UserError(f"--option {name}={text}: not a value of type {hint.__name__}") from error


def require_at_least(options: Any, **smallest: float) -> None:
    """Raises UserError where an option is below its smallest value."""
    for name, least in smallest.items():
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--option {name}={value}: at least {least}")
