"""The other cluster: what a link Secret and a mirror say about it (pure)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass

from landbridge.agent import names
from landbridge.envoy.state import Endpoint, Remote, sni
from landbridge.model.service import Manifest

GATEWAY_PORT = 15443


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """The other cluster: its name, its gateway's `host:port` addresses and the gateway's SPIFFE id."""

    cluster: str
    gateways: tuple[str, ...]
    identity: str


def read(secret: Manifest) -> Link | None:
    """The Link that a Secret `landbridge-link-<cluster>` holds; None when it cannot be read."""
    try:
        content = json.loads(base64.b64decode((secret.get("data") or {})["link.json"]))
        return Link(
            cluster=str(content["cluster"]), gateways=tuple(content["gateway"]), identity=str(content["identity"])
        )
    except (ValueError, KeyError, TypeError):
        return None


def callers(link: Link, namespaces: Iterable[str]) -> set[str]:
    """The SPIFFE ids of another cluster that may come in: waypoints of the exported namespaces, and its probes."""
    trust = link.identity.removeprefix("spiffe://").partition("/")[0] or link.cluster
    return {f"spiffe://{trust}/ns/{space}/sa/{names.WAYPOINT}" for space in namespaces} | {
        f"spiffe://{trust}/ns/{names.NAMESPACE}/sa/{names.GATEWAY}"
    }


def remote_of(mirror: Manifest, port: int) -> Remote | None:
    """How a mirror's port is reached, from the mirror's own labels and annotations; None when they are incomplete."""
    service, _, rest = names.annotation(mirror, names.REMOTE_NAME).partition(".")
    namespace = rest.partition(".")[0]
    cluster = names.label(mirror, names.CLUSTER_NAME)
    identity = names.annotation(mirror, names.REMOTE_IDENTITY)
    try:
        gateways = tuple(gateway_endpoint(text) for text in json.loads(names.annotation(mirror, names.GATEWAYS)))
    except (ValueError, TypeError, AttributeError):
        return None
    if not (service and namespace and cluster and identity and gateways):
        return None
    return Remote(sni=sni(service, namespace, cluster, port), gateways=gateways, identity=identity)


def gateway_endpoint(text: str) -> Endpoint:
    """`host:port`, `[v6]:port` or a host alone."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = text, str(GATEWAY_PORT)
    return Endpoint(address=host.strip("[]"), port=int(port))
