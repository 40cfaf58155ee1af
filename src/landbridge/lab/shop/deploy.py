"""Puts the shop into a cluster as its owners would, and waits until it serves."""

from __future__ import annotations

from collections.abc import Sequence

from landbridge.clients.kubernetes import DEPLOYMENT, Kubernetes
from landbridge.clock import Clock, wait_for
from landbridge.lab.databases import Databases
from landbridge.lab.shop.objects import Manifest, manifests

OWNER = "shop-team"
"""The field manager of whoever runs the shop; landbridge is another."""


async def deploy(
    cluster: Kubernetes,
    databases: Databases,
    image: str,
    *,
    clock: Clock,
    namespace: str = "shop",
    schedule: str = "* * * * *",
    within: float = 120,
) -> list[Manifest]:
    """Apply the shop's objects and wait for every Deployment, at most `within` seconds; returns what was applied."""
    objects = manifests(
        namespace,
        image=image,
        postgres=databases.postgres,
        redis=databases.redis,
        user=databases.user,
        password=databases.password,
        database=databases.database,
        schedule=schedule,
    )
    for manifest in objects:
        await cluster.apply(manifest, manager=OWNER)
    await wait_ready(cluster, namespace, clock=clock, within=within)
    return objects


async def wait_ready(cluster: Kubernetes, namespace: str, *, clock: Clock, within: float = 120) -> None:
    """Wait until every Deployment of a namespace has all its copies ready. Raises DeadlineError."""

    async def all_ready() -> bool:
        return not _unready(await cluster.list(DEPLOYMENT, namespace))

    await wait_for(all_ready, what=f"the shop in {cluster.name} to be ready", within=within, clock=clock, every=0.5)


def _unready(deployments: Sequence[Manifest]) -> list[str]:
    return [deployment["metadata"]["name"] for deployment in deployments if not _is_ready(deployment)]


def _is_ready(deployment: Manifest) -> bool:
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
    return bool(seen and status.get("readyReplicas", 0) == wanted == status.get("updatedReplicas", 0))
