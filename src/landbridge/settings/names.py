"""Says what a validation error means, with the nearest name that would have been right."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from enum import Enum
from typing import Any

from pydantic import BaseModel, ValidationError

_PLAIN = {
    "missing": "is missing",
    "none_required": "has to be empty",
    "model_type": "has to be a mapping (name: value)",
    "model_attributes_type": "has to be a mapping (name: value)",
    "dict_type": "has to be a mapping (name: value)",
    "list_type": "has to be a list",
    "tuple_type": "has to be a list",
    "string_type": "has to be text; put it in quotes",
    "int_type": "has to be a whole number",
    "int_parsing": "has to be a whole number",
    "int_from_float": "has to be a whole number",
    "float_type": "has to be a number",
    "float_parsing": "has to be a number",
    "bool_type": "has to be true or false",
    "bool_parsing": "has to be true or false",
}


def explain(kind: Any, error: ValidationError) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Each mistake of a validation error as (path, message)."""
    for detail in error.errors(include_url=False):
        path = tuple(part for part in detail["loc"] if part != "[key]")
        yield path, _message(kind, path, dict(detail))


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, or the list of what is known when nothing is near."""
    names = sorted(known)
    near = get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}" if names else ""


def _message(kind: Any, path: tuple[str | int, ...], detail: dict[str, Any]) -> str:
    error = detail["type"]
    if error == "extra_forbidden":
        return f"is not a setting{suggest(str(path[-1]), names_at(kind, path[:-1]))}"
    if error == "enum":
        return f"{detail['input']!r} is not known{suggest(str(detail['input']), choices_at(kind, path))}"
    if error in {"value_error", "assertion_error"}:
        return str(detail["ctx"]["error"])
    if error in _PLAIN:
        return _PLAIN[error]
    return str(detail["msg"]).replace("Input should be", "has to be")


def names_at(kind: Any, path: Sequence[str | int]) -> list[str]:
    """The settings that the model at a path has."""
    found = _descend(kind, path)
    if isinstance(found, type) and issubclass(found, BaseModel):
        return [field.alias or name for name, field in found.model_fields.items()]
    return []


def choices_at(kind: Any, path: Sequence[str | int]) -> list[str]:
    """The values that an enumeration at a path has."""
    found = _descend(kind, path)
    return [str(item.value) for item in found] if isinstance(found, type) and issubclass(found, Enum) else []


def _descend(kind: Any, path: Sequence[str | int]) -> Any:
    kind = plain(kind)
    for part in path:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
            kind = plain(fields.get(str(part)))
        else:
            arguments = [item for item in typing.get_args(kind) if item is not Ellipsis]
            kind = plain(arguments[-1]) if arguments else None
    return kind


def plain(kind: Any) -> Any:
    """The type without `Annotated` and `| None`."""
    while True:
        origin = typing.get_origin(kind)
        if origin is typing.Annotated:
            kind = typing.get_args(kind)[0]
        elif origin in {typing.Union, types.UnionType}:
            kind = next((item for item in typing.get_args(kind) if item is not type(None)), None)
        else:
            return kind
