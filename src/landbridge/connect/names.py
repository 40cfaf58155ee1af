"""What the objects that connect makes are called, in both clusters alike."""

from __future__ import annotations

from landbridge.model.service import Manifest
from landbridge.translate.adoption import MANAGED_BY, OURS, TRUSTED

HOME = "landbridge"  # the namespace of our own parts
GATEWAY = "landbridge-gateway"
WAYPOINT = "landbridge-waypoint"
AGENT = "landbridge-agent"
CA = "landbridge-ca"
TLS = "landbridge-tls"
LINK = "landbridge-link"
RUN = "landbridge-run"
PORTS = "landbridge-ports"
CONNECTION = "landbridge-connection"
PRIORITY = "landbridge"
TRUSTED_LABEL = "landbridge.dev/trusted"
"""On a pod, `true`: it may choose a side by the header x-landbridge-side."""

ROLE = "landbridge.dev/role"
SELECT_OURS = f"{MANAGED_BY}={OURS}"

GATEWAY_PORT = 15443
AGENT_PORT = 15020
READY_PORT = 15021
ADMIN_PORT = 15000


__all__ = ["MANAGED_BY", "OURS", "TRUSTED"]


def labels(role: str = "") -> dict[str, str]:
    """The labels of everything that we make; `role` is `waypoint` or `gateway` where it belongs to one."""
    return {MANAGED_BY: OURS} | ({ROLE: role} if role else {})


def link_name(cluster: str) -> str:
    """The Secret with the way to another cluster."""
    return f"{LINK}-{cluster}"


def is_ours(manifest: Manifest) -> bool:
    """Whether an object carries our mark: only such are changed or deleted."""
    return (manifest["metadata"].get("labels") or {}).get(MANAGED_BY) == OURS
