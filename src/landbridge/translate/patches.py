"""Users' own changes to objects on their way: JSON Patch (RFC 6902), the escape hatch for what no rule knows."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from landbridge.errors import DocumentError


class PatchError(DocumentError):
    """An operation does not fit the object: wrong path, or a test that is not met."""


def apply_patch(document: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """The document after all operations; PatchError names the one that does not fit. `document` is left as it is."""
    result = copy.deepcopy(document)
    for operation in operations:
        try:
            result = _operate(result, operation)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            what = f"{operation['op']} {operation['path']}"
            raise PatchError(f"the patch operation {what!r} does not fit: {error}", advice="see copy.patches") from None
    return result


def _operate(document: Any, operation: Mapping[str, Any]) -> Any:
    path = _pointer(operation["path"])
    match operation["op"]:
        case "add":
            return _put(document, path, copy.deepcopy(operation.get("value")), insert=True)
        case "replace":
            _find(document, path)
            return _put(document, path, copy.deepcopy(operation.get("value")), insert=False)
        case "remove":
            return _remove(document, path)
        case "copy":
            return _put(document, path, copy.deepcopy(_find(document, _pointer(operation["from"]))), insert=True)
        case "move":
            origin = _pointer(operation["from"])
            value = _find(document, origin)
            return _put(_remove(document, origin), path, value, insert=True)
        case "test":
            if _find(document, path) != operation.get("value"):
                raise ValueError("the value is another one")
            return document
        case unknown:
            raise ValueError(f"there is no operation {unknown!r}")


def _pointer(text: str) -> tuple[str, ...]:
    """RFC 6901: `/metadata/annotations/a~1b`."""
    if text and not text.startswith("/"):
        raise ValueError("a path begins with /")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])


def _find(document: Any, path: tuple[str, ...]) -> Any:
    for part in path:
        document = document[_index(document, part)] if isinstance(document, list) else document[part]
    return document


def _index(items: list[Any], part: str) -> int:
    if not part.isdecimal() or int(part) >= len(items):
        raise IndexError(f"there is no item {part}")
    return int(part)


def _put(document: Any, path: tuple[str, ...], value: Any, *, insert: bool) -> Any:
    if not path:
        return value
    parent, last = _find(document, path[:-1]), path[-1]
    if isinstance(parent, dict):
        parent[last] = value
    elif not isinstance(parent, list):
        raise TypeError(f"{last!r} has no parent that could hold it")
    elif not insert:
        parent[_index(parent, last)] = value
    elif last == "-" or int(last) == len(parent):
        parent.append(value)
    else:
        parent.insert(_index(parent, last), value)
    return document


def _remove(document: Any, path: tuple[str, ...]) -> Any:
    if not path:
        raise ValueError("the whole object cannot be removed; use copy.exclude")
    parent, last = _find(document, path[:-1]), path[-1]
    del parent[_index(parent, last) if isinstance(parent, list) else last]
    return document
