"""What things are called inside Envoy, where its files lie, and how a resource file is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

METADATA = "landbridge"
"""The namespace of the endpoint metadata that says whose endpoint it is."""
IDENTITY_SECRET = "identity"  # noqa: S105 - the name of a resource
TRUST_SECRET = "trust"  # noqa: S105 - the name of a resource
ROUTES = "routes"
"""The one route configuration that all HTTP listeners of a waypoint share: one subscription, one inotify instance."""
CLUSTERS_FILE, ROUTES_FILE, LISTENERS_FILE = "clusters.json", "routes.json", "listeners.json"
INOTIFY = {"waypoint": 7, "gateway": 6}
"""Inotify instances of an Envoy, whatever it serves: clusters, listeners, a waypoint's routes, two secrets and the
folders of both. A uid has 128 on a node unless `fs.inotify.max_user_instances` says more; beyond it Envoy aborts."""
IDENTITY_FILE, TRUST_FILE = "identity.json", "trust.json"


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
    return {"@type": f"type.googleapis.com/{kind}", **fields}


def watched(name: str, places: Places) -> Json:
    """A subscription to one of our files; Envoy sees renames only."""
    return {"resource_api_version": "V3", "path_config_source": {"path": f"{places.folder}/{name}"}}


def secret(name: str, places: Places) -> Json:
    """A reference to a secret that Envoy reads again when its file is replaced."""
    return {"name": name, "sds_config": watched(f"{name}.json", places)}


def encode(kind: str, resource: Json) -> bytes:
    """One resource as it stands in a file, on one line: type and name first, then all keys sorted."""
    head = dump(typed(kind, name=resource["name"]))
    rest = dump({key: value for key, value in resource.items() if key != "name"})
    return head[:-1] + b"," + rest[1:]


def join(resources: Sequence[bytes]) -> bytes:
    """A discovery response of encoded resources; its version is the digest of what it holds.

    The same resources always give the same bytes, so an unchanged file need not be written.
    """
    body = _SEPARATOR.join(resources)
    version = hashlib.sha256(body).hexdigest()[:16].encode()
    return _START + body + _END + version + b'"}'


def resource_file(kind: str, resources: Sequence[Json]) -> bytes:
    """A discovery response of resources of one kind."""
    return join([encode(kind, resource) for resource in resources])


def split(content: bytes) -> dict[str, bytes]:
    """Name -> encoded resource of a rendered file, without parsing it: 409 services have 7 MB of clusters."""
    body = content[len(_START) : content.rindex(_END)]
    lines = body.split(_SEPARATOR) if body else []
    return {line.split(b'"name":"', 1)[1].split(b'"', 1)[0].decode(): line for line in lines}


def version_of(content: bytes) -> str:
    """The version_info of a rendered file, to be compared with what Envoy says it obeys."""
    return content[content.rindex(_END) + len(_END) : -2].decode()


_START, _SEPARATOR, _END = b'{"resources":[', b",\n", b'],"version_info":"'


def dump(value: Any) -> bytes:
    """A value as it stands in a file."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
