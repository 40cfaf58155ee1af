"""Envoy's resource files: each a DiscoveryResponse in binary, whose version is the digest of what it holds.

https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/discovery/v3/discovery.proto
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from landbridge.envoy.binary import encode, packed

_RESPONSE = "envoy.service.discovery.v3.DiscoveryResponse"
_VERSION = 18  # bytes: a tag, a length and 16 digits of the digest


def resource(kind: str, message: Mapping[str, Any] | bytes) -> bytes:
    """One resource as it stands in a file; a message that is encoded already has its name first."""
    return encode(_RESPONSE, {"resources": [packed(kind, message)]})


def join(resources: Sequence[bytes]) -> bytes:
    """A discovery response of resources.

    The same resources always give the same bytes, so an unchanged file need not be written.
    """
    body = b"".join(resources)
    return body + encode(_RESPONSE, {"version_info": hashlib.sha256(body).hexdigest()[:16]})


def split(content: bytes) -> dict[str, bytes]:
    """Name -> resource of a file, without decoding it: 409 exports have 0.5 MB of clusters."""
    return dict(_each(memoryview(content)))


def version_of(content: bytes) -> str:
    """The version_info of a file, to be compared with what Envoy says it obeys."""
    return content[-16:].decode()


def _each(content: memoryview) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at < len(content) - _VERSION:
        held = _field(content, at)
        wrapped = _field(content, held.start)  # the type's address, then the message
        message = _field(content, wrapped.stop)
        name = _field(content, message.start)
        yield str(content[name.start : name.stop], "utf-8"), bytes(content[at : held.stop])
        at = held.stop


def _field(content: memoryview, start: int) -> range:
    """Where the content of the field lies that begins at a place, which has a tag of one byte and a length."""
    length = shift = 0
    at = start + 1
    while content[at] > 0x7F:
        length |= (content[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    length |= content[at] << shift
    return range(at + 1, at + 1 + length)
