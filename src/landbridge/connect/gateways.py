"""The table of linked gateways: does the other cluster's gateway answer, how fast, and for how many Services.

Each cluster is asked what it sees of the other one: the leading gateway agent probes every mirrored Service through
the other gateway each two seconds, so nothing is dialled from here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from landbridge.clients.kinds import POD, SECRET, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clients.linkerd import detect
from landbridge.connect import linkerd_check, names
from landbridge.connect.connect import recorded_plane
from landbridge.connect.link import decode
from landbridge.errors import LandbridgeError
from landbridge.model.service import LINKERD, Manifest
from landbridge.translate.adoption import MIRRORED

CLUSTER = "mirror.linkerd.io/cluster-name"
GATEWAY_PODS = f"{names.SELECT_OURS},{names.ROLE}=gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkedGateway:
    """The gateway of `cluster` as `seen_from` sees it. Latencies in milliseconds, by p50, p95, p99; None: no answer."""

    cluster: str
    seen_from: str
    alive: bool | None
    """None where that is not known."""
    services: int
    """Services of it that are mirrored in `seen_from`."""
    ready: int
    """Those of them that answer."""
    latency_ms: Mapping[str, float | None] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()
    problem: str = ""
    unused: bool = False
    """Nothing of it is exported yet, so nobody asks whether it answers: that is no fault."""


async def gateways(source: Kubernetes, target: Kubernetes) -> list[LinkedGateway]:
    """What each cluster sees of the other one's gateway, the source's view first; not connected is a problem told."""
    return list(await asyncio.gather(_view(source, target.name), _view(target, source.name)))


async def _view(k8s: Kubernetes, other: str) -> LinkedGateway:
    try:
        if await recorded_plane(k8s) == LINKERD.name:
            return await _probed(k8s, other)
        mirrors = await k8s.list(SERVICE, labels=f"{MIRRORED}=true,{CLUSTER}={other}")
        secret = await k8s.find(SECRET, names.link_name(other), names.HOME)
        pods = await k8s.list(POD, names.HOME, labels=GATEWAY_PODS)
        states = await asyncio.gather(*(_state(k8s, pod) for pod in pods))
    except LandbridgeError as error:
        return LinkedGateway(cluster=other, seen_from=k8s.name, alive=False, services=0, ready=0, problem=error.what)
    addresses = tuple(json.loads(decode(secret, "link.json") or b"{}").get("gateway") or ())
    return read(states, cluster=other, seen_from=k8s.name, services=len(mirrors), addresses=addresses)


async def _probed(k8s: Kubernetes, other: str) -> LinkedGateway:
    """As Linkerd's own mirror controller sees it."""
    here = await detect(k8s)
    mirrors, said = await asyncio.gather(linkerd_check.mirrors(k8s, other), linkerd_check.probed(k8s, here, other))
    linked = [link for link in (here.links if here else ()) if link.cluster == other]
    alive = None if isinstance(said, str) else said.alive
    problem = f"unknown: {said}" if isinstance(said, str) else "" if said.alive else "it does not answer its probes"
    return LinkedGateway(
        cluster=other,
        seen_from=k8s.name,
        alive=alive,
        services=len(mirrors),
        ready=sum(ready > 0 for ready in mirrors.values()),
        latency_ms={} if isinstance(said, str) else said.latency_ms,
        addresses=tuple(address for link in linked for address in link.gateway.split(",") if address),
        problem=problem if linked else f"there is no Link to {other}",
    )


async def _state(k8s: Kubernetes, pod: Manifest) -> Mapping[str, Any] | str:
    """An agent's state, or why there is none."""
    meta = pod["metadata"]
    try:
        found: dict[str, Any] = json.loads(await k8s.proxy(meta["name"], meta["namespace"], names.AGENT_PORT, "/state"))
    except (LandbridgeError, ValueError) as error:
        return f"{meta['name']}: {error}"
    return found


def read(
    states: list[Mapping[str, Any] | str], *, cluster: str, seen_from: str, services: int, addresses: tuple[str, ...]
) -> LinkedGateway:
    """One row from what the gateway agents say; only the leader probes (pure)."""
    known = [state for state in states if not isinstance(state, str)]
    leader = next((state for state in known if state.get("leading")), None)
    link: Mapping[str, Any] = ((leader or {}).get("duties") or {}).get("links", {}).get(cluster, {})
    alive = bool(link.get("alive"))
    unused = bool(link) and not (alive or services or link.get("probed"))
    return LinkedGateway(
        cluster=cluster,
        seen_from=seen_from,
        alive=alive,
        services=services,
        ready=int(link.get("ready", 0)),
        latency_ms=dict(link.get("latency_ms", {})),
        addresses=addresses,
        problem="" if alive or unused else _why(states, leader, link),
        unused=unused,
    )


def _why(states: list[Mapping[str, Any] | str], leader: Mapping[str, Any] | None, link: Mapping[str, Any]) -> str:
    if leader is None:
        silent = [state for state in states if isinstance(state, str)]
        return f"no gateway agent leads here{': ' + '; '.join(silent) if silent else ''}"
    return "it does not answer" if link else "the leading agent says nothing about it"
