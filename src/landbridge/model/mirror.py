"""What a mirror is called: `<service>-<cluster>`, as Linkerd names it, and a short name where that is too long.

Agents, routers, metrics and checks all ask here, so that one object has one name everywhere.
"""

from __future__ import annotations

import hashlib

LONGEST = 63
"""Characters of a Service's name (RFC 1035 label)."""
_DIGEST = 8
_CLUSTER = 24


def mirror_name(service: str, cluster: str) -> str:
    """The Service that stands in one cluster for `service` of another, or for one pod by the pod's host name."""
    full = f"{service}-{cluster}"
    if len(full) <= LONGEST:
        return full
    digest = hashlib.sha256(full.encode()).hexdigest()[:_DIGEST]
    tail = f"-{digest}-{cluster[:_CLUSTER].rstrip('-')}"
    return service[: LONGEST - len(tail)].rstrip("-") + tail


def is_shortened(service: str, cluster: str) -> bool:
    """Whether the mirror's name is not simply `<service>-<cluster>`."""
    return len(f"{service}-{cluster}") > LONGEST
