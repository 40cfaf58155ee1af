"""Labels, annotations and object names that the agent reads and writes, and the names it derives from them."""

from __future__ import annotations

from landbridge.model import exports
from landbridge.model.service import Manifest

PREFIX = "landbridge.dev/"
NAMESPACE = "landbridge"
MANAGER = "landbridge-agent"

MANAGED_BY = "app.kubernetes.io/managed-by"
ROLE = PREFIX + "role"
LEAF_OF = PREFIX + "leaf-of"
STATE = PREFIX + "state"
PORTS = PREFIX + "ports"
DRIFT = PREFIX + "drift"
RESTORED = PREFIX + "restored"
RUN_LEASE = PREFIX + "run-lease"
ON_EXPIRY = PREFIX + "on-expiry"
HOME = PREFIX + "home"
HOME_REPLICAS = PREFIX + "home-replicas"
HEADER_ROUTE = PREFIX + "header-route"
SHADOW = PREFIX + "shadow"
PROTOCOLS = PREFIX + "protocols"
PODS = PREFIX + "pods"
FULL_RETRY = PREFIX + "full-retry"
GATEWAYS = PREFIX + "gateways"
REMOTE_READY = PREFIX + "remote-ready"
FULL_NAME = PREFIX + "full-name"

EXPORTED = exports.EXPORTED
MIRRORED = exports.MIRRORED
CLUSTER_NAME = "mirror.linkerd.io/cluster-name"
REMOTE_NAME = "mirror.linkerd.io/remote-svc-fq-name"
REMOTE_IDENTITY = "mirror.linkerd.io/remote-gateway-identity"
HEADLESS_MIRROR = "mirror.linkerd.io/headless-mirror-svc-name"
REMOTE_DISCOVERY = "multicluster.linkerd.io/remote-discovery"
REMOTE_SERVICE = "multicluster.linkerd.io/remote-service"

SERVICE_NAME = "kubernetes.io/service-name"
SLICE_MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
SLICE_MANAGER = "agent.landbridge.dev"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"

WAYPOINT = "landbridge-waypoint"
GATEWAY = "landbridge-gateway"
TRUSTED = "landbridge-trusted"
"""The headless Service of a namespace; its pods may choose a side by header."""
PORT_RECORD = "landbridge-ports"
CA = "landbridge-ca"
TLS = "landbridge-tls"
LINK = "landbridge-link-"
AGENT_LEASE = "landbridge-agent"
AGENT_PORT = 15020


def leaf_name(service: str) -> str:
    """The Service that keeps the original pods of `service`."""
    return f"{service}-leaf"


def slice_name(service: str, family: str) -> str:
    """Our EndpointSlice of a Service; `family` is IPv4 or IPv6."""
    return f"{service}-landbridge-{family.lower()}"


def health_sni(name: str) -> str:
    """The name that answers 200 while the exported Service behind `name` has ready endpoints."""
    return f"health.{name}"


def label(obj: Manifest, key: str) -> str:
    """A label's value, empty when absent."""
    return str((obj["metadata"].get("labels") or {}).get(key, ""))


def annotation(obj: Manifest, key: str) -> str:
    """An annotation's value, empty when absent."""
    return str((obj["metadata"].get("annotations") or {}).get(key, ""))


def ours(obj: Manifest) -> bool:
    """Whether an EndpointSlice was written by an agent."""
    return label(obj, SLICE_MANAGED_BY) == SLICE_MANAGER


def is_headless(service: Manifest) -> bool:
    """Whether callers of a Service get the addresses of its pods."""
    return (service.get("spec") or {}).get("clusterIP") == "None"


def is_mirror(service: Manifest) -> bool:
    """Whether a Service is a mirror that we made; those of others (Linkerd's) are not ours to touch."""
    return label(service, MIRRORED) == "true" and label(service, MANAGED_BY) == "landbridge"


def remote_service(mirror: Manifest) -> tuple[str, str]:
    """What a mirror stands for, as (namespace, service); of one pod of a headless Service `<hostname>.<service>`.

    Empty texts when its annotation does not say.
    """
    path, svc, _ = annotation(mirror, REMOTE_NAME).partition(".svc.")
    service, dot, namespace = path.rpartition(".")
    return (namespace, service) if svc and dot else ("", "")
