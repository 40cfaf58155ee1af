"""What things are called inside Envoy, and where its files lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
TYPE, ADDRESS = "@type", "type.googleapis.com/"
"""How protobuf's JSON form says of which type a message is: the key, and what stands before the type's name."""

METADATA = "landbridge"
"""The namespace of the endpoint metadata that says whose endpoint it is."""
IDENTITY_SECRET = "identity"  # noqa: S105 - the name of a resource
TRUST_SECRET = "trust"  # noqa: S105 - the name of a resource
ROUTES = "routes"
"""The one route configuration that all HTTP listeners of a waypoint share: one subscription, one inotify instance."""
CLUSTERS_FILE, ROUTES_FILE, LISTENERS_FILE = "clusters.pb", "routes.pb", "listeners.pb"
INOTIFY = {"waypoint": 7, "gateway": 6}
"""Inotify instances of an Envoy, whatever it serves: clusters, listeners, a waypoint's routes, two secrets and the
folders of both. A uid has 128 on a node unless `fs.inotify.max_user_instances` says more; beyond it Envoy aborts."""
IDENTITY_FILE, TRUST_FILE = f"{IDENTITY_SECRET}.pb", f"{TRUST_SECRET}.pb"


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Folders as Envoy sees them: its resource files, and the mounted Secret with tls.crt, tls.key and ca.crt."""

    folder: str = "/run/landbridge/envoy"
    tls: str = "/etc/landbridge/tls"


def side_name(key: str, service: str) -> str:
    """The cluster of one side alone: `shop/web/80|web-leaf`."""
    return f"{key}|{service}"


def either_name(key: str, service: str) -> str:
    """The cluster of one side that falls back on the other: `shop/web/80|web-leaf|or`."""
    return f"{key}|{service}|or"


def shadow_name(key: str, service: str) -> str:
    """The cluster of one side's copies, and the listener in Envoy that it leads to: `shop/web/80|web-eks|shadow`."""
    return f"{key}|{service}|shadow"


def version_name(key: str, service: str, version: str) -> str:
    """The cluster by which copies reach a side's own pods in one version: `shop/web/80|web-leaf|http1`."""
    return f"{key}|{service}|{version}"


def tcp_name(key: str) -> str:
    """The cluster of both sides for whole connections."""
    return f"{key}|tcp"


def typed(kind: str, **fields: Any) -> Json:
    """A typed_config of this protobuf type."""
    return {TYPE: f"{ADDRESS}{kind}", **fields}


def watched(name: str, places: Places) -> Json:
    """A subscription to one of our files; Envoy sees renames only."""
    return {"resource_api_version": "V3", "path_config_source": {"path": f"{places.folder}/{name}"}}


def secret(name: str, places: Places) -> Json:
    """A reference to a secret that Envoy reads again when its file is replaced."""
    return {"name": name, "sds_config": watched(f"{name}.pb", places)}
