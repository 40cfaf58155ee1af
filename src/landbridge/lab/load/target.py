"""What load is sent to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from landbridge.errors import DocumentError


class Mode(StrEnum):
    """How a target is spoken to."""

    HTTP = "http"
    TCP = "tcp"
    SSE = "sse"
    GRPC = "grpc"


_PORTS = {Mode.HTTP: 80, Mode.SSE: 80}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One thing to call, `rate` times a second; for SSE `rate` is the number of streams that are held open.

    `path`: a request's target, with `{n}` replaced by the number of the request; for gRPC the full method, for TCP the
    command line. `fresh`: a new connection for each request; else connections are kept, but none longer than
    `max_age` seconds (0: for ever). `timeout` is in seconds, from the moment of sending.
    """

    name: str
    mode: Mode
    host: str
    port: int
    path: str = "/"
    method: str = "GET"
    body: str = ""
    rate: float = 10.0
    fresh: bool = False
    max_age: float = 10.0
    timeout: float = 10.0


def parse_url(url: str, *, rate: float = 10.0, fresh: bool = False) -> Target:
    """A target from `[NAME=]http|sse|tcp|grpc://HOST[:PORT]/PATH`. Raises DocumentError."""
    name, separator, rest = url.partition("=")
    if not separator or "/" in name:
        name, rest = "", url
    parts = urlsplit(rest)
    try:
        mode = Mode(parts.scheme)
        port = parts.port or _PORTS[mode]
    except (ValueError, KeyError) as error:
        known = ", ".join(f"{mode}://" for mode in Mode)
        raise DocumentError(
            f"{url!r} is nothing to send load to", advice=f"write one of {known}HOST:PORT/PATH"
        ) from error
    if not parts.hostname:
        raise DocumentError(f"{url!r} names no host")
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    path = path.lstrip("/") or "PING" if mode is Mode.TCP else path or "/"
    host = parts.hostname
    return Target(
        name=name or host.partition(".")[0], mode=mode, host=host, port=port, path=path, rate=rate, fresh=fresh
    )


def read_targets(path: Path) -> list[Target]:
    """Targets from a JSON file: a list of objects with the fields of Target. Raises DocumentError."""
    try:
        raw = json.loads(path.read_text())
        return [Target(**{**entry, "mode": Mode(entry["mode"])}) for entry in raw]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DocumentError(f"the list of targets cannot be used: {error}", where=str(path)) from error


def dump_targets(targets: Sequence[Target]) -> str:
    """The same list as text, for a ConfigMap."""
    return json.dumps([asdict(target) for target in targets], indent=1)
