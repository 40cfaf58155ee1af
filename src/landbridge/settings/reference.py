"""docs/migration-yaml.md, rendered from the model so that no setting is without a line."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from landbridge.settings.migration import Migration
from landbridge.settings.names import plain
from landbridge.settings.template import quote
from landbridge.settings.values import Duration

PAGE = "docs/migration-yaml.md"
HEAD = """\
# migration.yaml

What people decide about a migration. `landbridge init` writes the first one; every command that reads it names all
mistakes at once, each with its line and the nearest name that would have been right.

- Names are written as here; unknown names are mistakes.
- Durations are seconds, or text such as `90s`, `5m`, `1h30m`, `2d`.
- YAML 1.2: `no` and `on` are words, not false and true. A key may stand once.
- Services and workers are named `namespace/name`.

```yaml
version: 1
source: {name: legacy, context: legacy}
target: {name: eks, context: arn:aws:eks:eu-west-1:111122223333:cluster/shop}
namespaces: [shop]
dwell: 5m
services:
  shop/payments: {requestRate: 40, steps: [1, 5, 25, 50, 95, 100], idempotent: false, pools: {postgres: 10}}
stores:
  postgres: {maxConnections: 200}
copy:
  patches:
    - {kind: Ingress, patch: [{op: replace, path: /spec/ingressClassName, value: alb}]}
accepted:
  - {check: single-replica, object: Deployment shop/notices, reason: may pause for a second, date: 2026-11-21}
```
"""


def render_reference() -> str:
    """The whole page."""
    return HEAD + "".join(_tables(Migration, "", "The file"))


def _tables(model: type[BaseModel], path: str, title: str) -> Iterator[str]:
    """One table for a model, then those of the models in it."""
    said = (model.__doc__ or "").split("\n")[0]
    yield f"\n## {title}\n\n{said}\n\n| setting | type | default | meaning |\n|---|---|---|---|\n"
    inner: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        alias = field.alias or name
        yield f"| `{alias}` | {describe(field)} | {_default(field)} | {field.description or ''} |\n"
        found = model_in(field.annotation)
        if found:
            inner.append((f"{path}.{alias}" if path else alias, found))
    seen: set[type[BaseModel]] = set()
    for where, found in inner:
        if found not in seen:
            seen.add(found)
            yield from _tables(found, where, " and ".join(f"`{w}`" for w, f in inner if f is found))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or isinstance(value, BaseModel):
        return ""
    return f"`{quote(value)}`"


def describe(field: FieldInfo) -> str:
    """A field's type in words."""
    if any(item in field.metadata for item in typing.get_args(Duration)[1:]):
        return "duration"
    if Duration in typing.get_args(field.annotation):
        return "duration"
    return _words(field.annotation)


def _words(kind: Any) -> str:
    kind = plain(kind)
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}
    if kind in names:
        return names[kind]
    origin, arguments = typing.get_origin(kind), [a for a in typing.get_args(kind) if a is not Ellipsis]
    if origin is typing.Literal:
        return " or ".join(f"`{item}`" for item in arguments)
    if origin is dict:
        return f"mapping to {_words(arguments[1])}"
    if origin is tuple:
        return f"list of {_words(arguments[0])}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return ", ".join(f"`{item.value}`" for item in kind)
    return "settings below" if isinstance(kind, type) and issubclass(kind, BaseModel) else "date"


def model_in(kind: Any) -> type[BaseModel] | None:
    """The model that a field holds, alone, in a list or in a mapping."""
    kind = plain(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    inner = [found for argument in typing.get_args(kind) if argument is not Ellipsis and (found := model_in(argument))]
    return inner[0] if inner else None
