"""The other cluster: what a link Secret and a mirror say about it (pure)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

from landbridge.agent import names
from landbridge.envoy.state import Backend, Endpoint, Listener, Remote, Waypoint, sni
from landbridge.model.exports import Exports, MirrorRules
from landbridge.model.service import Manifest

GATEWAY_PORT = 15443
LABELLED = Exports()
AS_USUAL = MirrorRules()

Resolve = Callable[[str], Iterable[str]]
"""The addresses behind a host name; none as long as nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The other cluster: its name, its gateway's `host:port` addresses (none: only flat mirrors) and SPIFFE id, what it
    exports, and how that is mirrored here.
    """

    cluster: str
    gateways: tuple[str, ...]
    identity: str
    exports: Exports = LABELLED
    rules: MirrorRules = AS_USUAL


def read(secret: Manifest) -> Link | None:
    """The Link that a Secret `landbridge-link-<cluster>` holds; None when it cannot be read."""
    try:
        content = json.loads(base64.b64decode((secret.get("data") or {})["link.json"]))
        return Link(
            cluster=str(content["cluster"]),
            gateways=tuple(content["gateway"]),
            identity=str(content["identity"]),
            exports=Exports.read(content.get("exports") or {}),
            rules=MirrorRules.read(content.get("mirrors") or {}),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def callers(link: Link, namespaces: Iterable[str]) -> set[str]:
    """The SPIFFE ids of another cluster that may come in: waypoints of the exported namespaces, and its probes."""
    trust = link.identity.removeprefix("spiffe://").partition("/")[0] or link.cluster
    return {f"spiffe://{trust}/ns/{space}/sa/{names.WAYPOINT}" for space in namespaces} | {
        f"spiffe://{trust}/ns/{names.NAMESPACE}/sa/{names.GATEWAY}"
    }


def remote_of(mirror: Manifest, port: int) -> Remote | None:
    """How a mirror's port is reached, from the mirror's own labels and annotations; None when they are incomplete."""
    namespace, service = names.remote_service(mirror)
    cluster = names.label(mirror, names.CLUSTER_NAME)
    identity = names.annotation(mirror, names.REMOTE_IDENTITY)
    gateways = _gateways(names.annotation(mirror, names.GATEWAYS))
    if not (service and namespace and cluster and identity and gateways):
        return None
    return Remote(sni=sni(service, namespace, cluster, port), gateways=gateways, identity=identity)


@lru_cache(maxsize=64)  # all mirrors of a link say the same
def _gateways(text: str) -> tuple[Endpoint, ...]:
    try:
        return tuple(map(gateway_endpoint, json.loads(text)))
    except (ValueError, TypeError, AttributeError):
        return ()


def gateway_endpoint(text: str) -> Endpoint:
    """`host:port`, `[v6]:port` or a host alone."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = text, str(GATEWAY_PORT)
    return Endpoint(address=host.strip("[]"), port=int(port))


def addresses_of(gateways: Iterable[Endpoint], resolve: Resolve) -> tuple[Endpoint, ...]:
    """Gateways by address: every address of a host name, and the name itself while it has none."""
    found = (
        replace(gateway, address=address)
        for gateway in gateways
        for address in tuple(resolve(gateway.address)) or (gateway.address,)
    )
    return tuple(dict.fromkeys(found))


def by_address(state: Waypoint, resolve: Resolve) -> Waypoint:
    """What a waypoint has to do, with its gateways by address; Envoy resolves a name that the agent could not."""
    return replace(state, listeners=tuple(_listener(item, resolve) for item in state.listeners))


def _listener(item: Listener, resolve: Resolve) -> Listener:
    if all(backend.remote is None for backend in item.backends):
        return item
    return replace(item, backends=tuple(_backend(backend, resolve) for backend in item.backends))


def _backend(backend: Backend, resolve: Resolve) -> Backend:
    if backend.remote is None:
        return backend
    gateways = addresses_of(backend.remote.gateways, resolve)
    return replace(backend, remote=replace(backend.remote, gateways=gateways))
