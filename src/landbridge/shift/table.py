"""All routers by the name that migration.yaml uses."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from landbridge.clients.kubernetes import Kubernetes
from landbridge.shift.httproute import HTTPROUTE_ROUTER, LINKERD_HTTPROUTE_ROUTER, OLDER_HTTPROUTE_ROUTER
from landbridge.shift.router import RouterKind
from landbridge.shift.serviceprofile import SERVICEPROFILE_ROUTER
from landbridge.shift.trafficsplit import TRAFFICSPLIT_ROUTER

ROUTERS: Mapping[str, RouterKind] = {
    kind.name: kind
    for kind in (
        TRAFFICSPLIT_ROUTER,
        HTTPROUTE_ROUTER,
        OLDER_HTTPROUTE_ROUTER,
        LINKERD_HTTPROUTE_ROUTER,
        SERVICEPROFILE_ROUTER,
    )
}


async def router_of(k8s: Kubernetes, wanted: str = "") -> RouterKind:
    """The router of a cluster: the one asked for, else what it serves."""
    return ROUTERS[wanted] if wanted else router_among(await k8s.served())


def router_among(served: Collection[tuple[str, str]]) -> RouterKind:
    """The router where so many (group, kind) are served; TrafficSplit comes with `connect`."""
    for kind in (TRAFFICSPLIT_ROUTER, HTTPROUTE_ROUTER):
        if (kind.kind.group, kind.kind.kind) in served:
            return kind
    return TRAFFICSPLIT_ROUTER
