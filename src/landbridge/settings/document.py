"""Reads a YAML document into plain data and remembers the line of every value, so that mistakes have places.

YAML 1.2 core schema (`no` is a word, not False). The composed nodes are walked here instead of being constructed
by the library: that gives lines, finds every duplicate key and not only the first, and makes no foreign objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError
from yaml import CBaseLoader, MappingNode, MarkedYAMLError, Node, ScalarNode, SequenceNode, YAMLError
from yaml.composer import Composer

from landbridge.errors import DocumentError, Mistake
from landbridge.settings.names import explain

T = TypeVar("T")
Path = tuple[str | int, ...]

MAX_ALIASES = 1000  # a document of nested aliases could grow without bound ("billion laughs")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_PLAIN_TAGS = {
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "timestamp", "map", "seq")
}


class _Loader(Composer, CBaseLoader):
    """libyaml's events, for a plan of 409 services is 14,500 lines; nodes made in Python, where nesting has a limit
    (libyaml's own composer ends the process at 100,000); no plain word resolved.
    """

    def __init__(self, stream: str) -> None:
        CBaseLoader.__init__(self, stream)
        Composer.__init__(self)


@dataclass(slots=True, kw_only=True)
class Document:
    """Plain data, the line of each path in it, and what was wrong with the YAML itself."""

    file: str
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def line(self, path: Path) -> int | None:
        """The line of a path, or of the nearest thing around it that is written."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return None

    def add(self, path: Path, message: str) -> None:
        """Note a mistake at a path."""
        self.mistakes.append(Mistake(file=self.file, line=self.line(path), path=render(path), message=message))

    def stop(self) -> None:
        """Raise DocumentError with all mistakes, in the order of their lines, if there are any."""
        if self.mistakes:
            ordered = sorted(dict.fromkeys(self.mistakes), key=lambda m: (m.line or 0, m.path))
            count = "1 mistake" if len(ordered) == 1 else f"{len(ordered)} mistakes"
            raise DocumentError(f"{self.file} has {count}", ordered, where=self.file, advice="mend the lines named")


def render(path: Path) -> str:
    """A path as people write it: `services.shop/web.steps[2]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(text: str, file: str) -> Document:
    """Read YAML; what is wrong with it is in `mistakes`, and `data` holds what could be read."""
    document = Document(file=file)
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            document.data = _Reader(document).read(node, (), ())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        message = f"this is not YAML: {said}"
        line = min(mark.line, text.count("\n", 0, -1)) + 1 if mark else None  # the end is a line of its own
        document.mistakes.append(Mistake(file=file, line=line, path="", message=message))
    except (YAMLError, ValueError) as error:
        message = f"this is not YAML: {' '.join(str(error).split())}"
        document.mistakes.append(Mistake(file=file, line=None, path="", message=message))
    except RecursionError:
        document.mistakes.append(Mistake(file=file, line=None, path="", message="nested too deeply"))
    return document


def validate(kind: type[T], document: Document) -> T:
    """The document as `kind` (a pydantic model); DocumentError with every mistake otherwise."""
    if document.data is None and not document.mistakes:
        document.add((), "the document is empty")
    if document.data is None:
        document.stop()
    try:
        value = TypeAdapter(kind).validate_python(document.data, by_alias=True, by_name=False)
    except ValidationError as error:
        for path, message in explain(kind, error):
            document.add(path, message)
        document.stop()
        raise AssertionError("unreachable: a validation error has mistakes") from error
    document.stop()
    return value


class _Reader:
    """Turns nodes into plain data."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._visits = 0

    def read(self, node: Node, path: Path, around: tuple[int, ...]) -> Any:
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in around:
            self._document.add(path, "an alias (*) that contains itself")
            return None
        if str(node.tag) not in _PLAIN_TAGS:
            self._document.add(path, f"the tag {node.tag} is not used here")
            return None
        match node:
            case MappingNode():
                return dict(self._pairs(node, path, (*around, id(node))))
            case SequenceNode():
                inner = (*around, id(node))
                return [self.read(item, (*path, i), inner) for i, item in enumerate(self._bounded(node.value, path))]
            case ScalarNode():
                return scalar(node)
            case _:
                return None

    def _bounded(self, items: list[Any], path: Path) -> list[Any]:
        """The items, unless aliases have made the document grow beyond reason."""
        self._visits += 1
        if self._visits > MAX_ALIASES * 100:
            self._document.add(path[:1], "aliases (*) make this document too large")
            return []
        return items

    def _pairs(self, node: MappingNode, path: Path, around: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in self._bounded(node.value, path):
            if not isinstance(key_node, ScalarNode):
                self._document.add(path, "a key has to be a word")
                continue
            key = str(key_node.value)
            line = key_node.start_mark.line + 1
            inner = (*path, key)
            self._document.lines.setdefault(inner, line)
            if key in seen:
                message = f"the key is written twice, first in line {seen[key]}"
                mistake = Mistake(file=self._document.file, line=line, path=render(inner), message=message)
                self._document.mistakes.append(mistake)
                continue
            seen[key] = line
            yield key, self.read(value_node, inner, around)


def scalar(node: ScalarNode) -> Any:
    """The value of a scalar: quoted text is text, plain words follow the YAML 1.2 core schema."""
    text = str(node.value)
    if node.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.match(text):
        return int(text) if len(text) < 20 else text
    if _FLOAT.match(text):
        return float(text)
    return text
