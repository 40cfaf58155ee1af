"""Envoy's resources from the JSON form of protobuf to the binary one, which Envoy reads many times as fast.

A gateway of 409 Services has 5 MB of JSON, and each change cost 0.33 s of Envoy's main thread; in this form 0.04 s.
The forms: https://protobuf.dev/programming-guides/encoding and /json.

What is encoded already may stand in the JSON as bytes. One message behind another is both merged: lists grow so.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache, partial
from typing import Any

from landbridge.envoy.api import Field, api
from landbridge.envoy.names import ADDRESS, TYPE

_VARINT, _EIGHT_BYTES, _LENGTH = 0, 1, 2
_NUMBERS = frozenset({"bool", "int32", "int64", "uint32", "uint64"})
Write = Callable[[Any], bytes]


def encode(kind: str, value: Mapping[str, Any] | bytes) -> bytes:
    """A message of this type. Raises LookupError for a field or an enum's value that api.txt has not."""
    if isinstance(value, bytes):
        return value
    known = _writers(kind)
    if unknown := value.keys() - known.keys():
        raise LookupError(f"{kind} has no {', '.join(sorted(unknown))} in api.txt")
    found = sorted((*known[name], given) for name, given in value.items())
    return b"".join(write(given) for _, write, given in found)


def packed(kind: str, message: Mapping[str, Any] | bytes) -> bytes:
    """The google.protobuf.Any of a message of this type."""
    return _tagged(1, "string")(f"{ADDRESS}{kind}") + _tagged(2, kind)(message)


@cache
def _writers(kind: str) -> dict[str, tuple[int, Write]]:
    """By field: its number, and what writes it."""
    if kind not in api().messages:
        raise LookupError(f"api.txt has no message {kind}")
    return {name: (field.number, _writer(field)) for name, field in api().messages[kind].items()}


def _writer(field: Field) -> Write:
    if field.map:
        key, value = _tagged(1, "string"), _tagged(2, field.type)
        entry = _tagged(field.number, "bytes")
        return lambda given: b"".join(entry(key(name) + value(given[name])) for name in sorted(given))
    one = _tagged(field.number, field.type)
    return (lambda given: b"".join(map(one, given))) if field.repeated else one


@cache
def _tagged(number: int, kind: str) -> Write:
    """What writes one value of this type as the field of this number."""
    if kind in _NUMBERS:
        tag = _varint(number << 3 | _VARINT)
        return lambda value: tag + _varint(value)
    if kind in api().enums:
        tag, values = _varint(number << 3 | _VARINT), api().enums[kind]
        return lambda value: tag + _varint(values[value])
    if kind == "double":
        tag = _varint(number << 3 | _EIGHT_BYTES)
        return lambda value: tag + struct.pack("<d", value)
    tag, content = _varint(number << 3 | _LENGTH), _content(kind)

    def write(value: Any) -> bytes:
        made = content(value)
        return tag + _varint(len(made)) + made

    return write


def _content(kind: str) -> Write:
    known = _KNOWN.get(kind) or partial(encode, kind)
    return lambda value: value if isinstance(value, bytes) else known(value)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _any(value: Mapping[str, Any]) -> bytes:
    kind = value[TYPE].removeprefix(ADDRESS)
    return packed(kind, value["value"] if kind in _KNOWN else {name: value[name] for name in value if name != TYPE})


def _duration(text: str) -> bytes:
    seconds = Decimal(text.removesuffix("s"))
    whole = int(seconds)
    return _tagged(1, "uint64")(whole) + _tagged(2, "uint32")(int((seconds - whole) * 1_000_000_000))


def _struct(value: Mapping[str, Any]) -> bytes:
    entry = _tagged(1, "bytes")
    return b"".join(entry(_tagged(1, "string")(name) + _tagged(2, "value")(value[name])) for name in sorted(value))


def _value(value: Any) -> bytes:
    match value:
        case bool():
            return _tagged(4, "bool")(value)
        case int() | float():
            return _tagged(2, "double")(value)
        case str():
            return _tagged(3, "string")(value)
        case _:
            raise LookupError(f"metadata of Envoy holds texts, numbers and truths, not {type(value).__name__}")


def _wrapped(kind: str, value: Any) -> bytes:
    return _tagged(1, kind)(value)


_KNOWN: Mapping[str, Write] = {
    "string": str.encode,
    "bytes": bytes,  # a message that is encoded already
    "value": _value,
    "google.protobuf.Any": _any,
    "google.protobuf.Duration": _duration,
    "google.protobuf.Struct": _struct,
    "google.protobuf.BoolValue": partial(_wrapped, "bool"),
    "google.protobuf.StringValue": partial(_wrapped, "string"),
    "google.protobuf.UInt32Value": partial(_wrapped, "uint32"),
    "google.protobuf.UInt64Value": partial(_wrapped, "uint64"),
}
