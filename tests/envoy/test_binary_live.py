"""The definitions in api.txt against a real Envoy: what it says it was told is what was meant, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from landbridge.clock import SystemClock
from landbridge.connect.identity import make_authority
from landbridge.envoy.api import api
from landbridge.envoy.state import Endpoint, Gateway, HeaderRoute, Shadow, Waypoint, with_hops
from landbridge.model.service import Protocol
from tests.envoy.decoded import resources
from tests.envoy.envoys import Envoy, running
from tests.envoy.pair import (
    LOCAL,
    REMOTE,
    WAYPOINT_ID,
    Addresses,
    certificates,
    gateway_state,
    listener,
    waypoint_state,
)

RESPONSE = "envoy.service.discovery.v3.DiscoveryResponse"
ELSEWHERE = {
    f"{RESPONSE}.version_info",
    f"{RESPONSE}.resources",
    "envoy.config.core.v3.SocketAddress.ipv4_compat",  # with `::`, which would take other tests' ports; pods have it
}
KNOWN = "google.protobuf."
DUMP = "/config_dump?include_eds"
NAMED = {"ClustersConfigDump": "cluster", "ListenersConfigDump": "listener", "RoutesConfigDump": "route_config"}
ZERO = {value for values in api().enums.values() for value, number in values.items() if number == 0}


def everything(at: Addresses) -> Waypoint:
    """A waypoint in which every field is used that landbridge ever uses."""
    plain = waypoint_state(at, 0)
    http = listener(at, Protocol.HTTP, 0)
    header = HeaderRoute(source=LOCAL, target=REMOTE, trusted=("10.0.0.1",))
    copied = replace(http, service="copied", listen=21001, header=header, shadow=Shadow(service=REMOTE, percent=50))
    near, far = listener(at, Protocol.HTTP, 50).backends
    assert far.remote
    named = replace(far.remote, gateways=(Endpoint(address="gateway.example", port=15443),))
    alike = replace(http, service="alike", listen=21002, affinity=True, callers=("10.0.0.0/8",), full_retry=True)
    away = replace(http, service="away", listen=21003, backends=(near, replace(far, remote=named)))
    tcp = replace(listener(at, Protocol.TCP, 50), service="held", listen=21004, affinity=True, callers=())
    home = replace(
        http, service="home", listen=21005, backends=(replace(near, weight=0), replace(far, weight=100)),
        shadow=Shadow(service=LOCAL, percent=100),
    )  # fmt: skip
    return replace(plain, listeners=(*plain.listeners, copied, alike, away, tcp, home))


async def test_envoy_understands_every_field_as_it_was_meant(at: Addresses, tmp_path: Path) -> None:
    tls = certificates(tmp_path / "tls", make_authority("legacy", now=SystemClock().now()), WAYPOINT_ID, [])
    exports = gateway_state(at)
    states: list[Waypoint | Gateway] = [
        everything(at),
        with_hops(replace(exports, exports=tuple(replace(item, affinity=True) for item in exports.exports)), "x-hops"),
    ]
    seen: set[str] = set()
    for number, state in enumerate(states):
        async with running(state, tmp_path / str(number), tls, (at.waypoint, 15000 + number)) as envoy:
            told = [item for _, content in envoy.written for item in resources(content)]
            understood = {(item["@type"], item["name"]): item for item in await dumped(envoy)}
        for item in told:
            seen.update(fields(item))
            if item["name"] not in {"identity", "trust"}:
                assert meant(understood[item["@type"], item["name"]]) == meant(item)
    assert {f"{kind}.{name}" for kind in api().messages for name in api().messages[kind]} - seen == ELSEWHERE


async def dumped(envoy: Envoy) -> list[dict[str, Any]]:
    """What Envoy has from the files, as its admin interface shows it."""
    found = []
    for part in json.loads(await envoy.get(DUMP))["configs"]:
        if key := NAMED.get(part["@type"].rpartition(".")[2]):
            for items in (value for name, value in part.items() if name.startswith("dynamic_")):
                found += [item.get("active_state", item)[key] for item in items]
    return found


def meant(value: Any) -> Any:
    """Without what says nothing: the zero of a type, which may be said or left out, and a large number's quotes."""
    if isinstance(value, dict):
        return {name: inner for name, said in value.items() if (inner := meant(said)) not in ("", 0, {}, [], None)}
    if isinstance(value, list):
        return [meant(inner) for inner in value]
    return None if value in ZERO else int(value) if isinstance(value, str) and value.isdecimal() else value


def fields(message: Any, kind: str = "") -> Iterator[str]:
    """The whole names of all fields that a message and those in it have."""
    kind = message["@type"].rpartition("/")[2] if "@type" in message else kind
    if kind.startswith(KNOWN):
        return
    for name, value in message.items():
        if name == "@type":
            continue
        yield f"{kind}.{name}"
        field = api().messages[kind][name]
        inner = list(value.values()) if field.map else value if field.repeated else [value]
        for item in inner:
            if isinstance(item, dict):
                yield from fields(item, field.type)
