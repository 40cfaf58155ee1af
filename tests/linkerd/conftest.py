from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest_asyncio

from landbridge.clients.kinds import CRD
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.lab import ApiServer
from landbridge.linkerd.versions import DEFINITIONS
from landbridge.model.service import Manifest
from tests.linkerd.definitions import definitions

CLOCK = SystemClock()
Install = Callable[..., Awaitable[Kubernetes]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def k8s(api: ApiServer) -> AsyncIterator[Kubernetes]:
    """An API server on which definitions come and go; at the end none of them is left for other tests to find."""
    async with Kubernetes.connect(Path(api.kubeconfig), name="legacy") as client:
        await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
        await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "linkerd"}})
        await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "linkerd-multicluster"}})
        yield client
        await become(client, [])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def install(k8s: Kubernetes) -> Install:
    """Makes the API server one of a cluster with this version of Linkerd."""

    async def version(minor: int, *, gateway_api: bool = True, smi: bool = True) -> Kubernetes:
        await become(k8s, definitions(minor, gateway_api=gateway_api, smi=smi))
        return k8s

    return version


async def become(k8s: Kubernetes, wanted: list[Manifest]) -> None:
    """These definitions and no others of ours; one that stays as it is, stays."""
    by_name = {item["metadata"]["name"]: item for item in wanted}
    stay = set()
    for name in DEFINITIONS:
        live = await k8s.find(CRD, name)
        if live is None:
            continue
        if name in by_name and _same(live, by_name[name]):
            stay.add(name)
        else:
            await k8s.delete(CRD, name)
    for name in set(DEFINITIONS) - stay:
        await wait_for(lambda name=name: _gone(k8s, name), what=f"{name} gone", within=60, clock=CLOCK, every=0.05)  # type: ignore[misc]
        if name in by_name:
            await k8s.create(by_name[name], manager="linkerd")
    for name, item in by_name.items():
        await wait_for(lambda item=item: _serves(k8s, item), what=f"{name} served", within=60, clock=CLOCK, every=0.05)  # type: ignore[misc]
    await k8s.served()


def _same(live: Manifest, wanted: Manifest) -> bool:
    shape = [[(v["name"], v["schema"]["openAPIV3Schema"]) for v in item["spec"]["versions"]] for item in (live, wanted)]
    notes = [
        (item["metadata"].get("annotations") or {}).get("gateway.networking.k8s.io/bundle-version")
        for item in (live, wanted)
    ]
    return shape[0] == shape[1] and notes[0] == notes[1]


async def _gone(k8s: Kubernetes, name: str) -> bool:
    return await k8s.find(CRD, name) is None


async def _serves(k8s: Kubernetes, definition: Manifest) -> bool:
    """Discovery and the storage both know every version."""
    spec = definition["spec"]
    wanted = {f"{spec['group']}/{version['name']}" for version in spec["versions"]}
    known = (await k8s.served()).get((spec["group"], spec["names"]["kind"]), ())
    if not wanted <= {kind.api_version for kind in known}:
        return False
    for kind in known:
        await k8s.list(kind)
    return True
