"""The part of Envoy's API that landbridge uses, read from api.txt: which fields its messages have.

The published definitions for Python lag behind Envoy (those of 1.85 know no gauges of the access logger, no scope of
its statistics, no keepalive of a listener), and their 1,800 modules would be in each agent's image and memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_BLOCK = re.compile(
    r"^(?:package (?P<package>[\w.]+);|(?P<what>message|enum) (?P<name>[\w.]+) \{(?P<body>[^}]*)\})", re.MULTILINE
)
_FIELD = re.compile(
    r"(?P<repeated>repeated )?(?:map<string, (?P<map>[\w.]+)>|(?P<type>[\w.]+)) (?P<name>\w+) = (?P<number>\d+);"
)
_VALUE = re.compile(r"(\w+) = (\d+);")
SCALARS = frozenset({"string", "bool", "int32", "int64", "uint32", "uint64", "double"})


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message; `type` is a scalar's, an enum's or a message's whole name, in a map that of its values."""

    number: int
    type: str
    repeated: bool = False
    map: bool = False


@dataclass(frozen=True, slots=True)
class Api:
    """Fields by message and name; numbers by enum and value."""

    messages: Mapping[str, Mapping[str, Field]]
    enums: Mapping[str, Mapping[str, int]]


@cache
def api() -> Api:
    """All that api.txt defines."""
    text = files(__package__).joinpath("api.txt").read_text("utf-8")
    package, messages, enums = "", {}, {}
    for block in _BLOCK.finditer(text):
        if block["package"]:
            package = block["package"]
        elif block["what"] == "enum":
            enums[f"{package}.{block['name']}"] = {name: int(number) for name, number in _VALUE.findall(block["body"])}
        else:
            messages[f"{package}.{block['name']}"] = _fields(block["body"], package)
    return Api(messages, enums)


def _fields(body: str, package: str) -> dict[str, Field]:
    return {
        found["name"]: Field(
            number=int(found["number"]),
            type=_whole(found["map"] or found["type"], package),
            repeated=bool(found["repeated"]),
            map=bool(found["map"]),
        )
        for found in _FIELD.finditer(body)
    }


def _whole(name: str, package: str) -> str:
    return name if name in SCALARS or name.startswith(("google.", "envoy.", "xds.")) else f"{package}.{name}"
