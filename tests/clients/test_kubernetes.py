"""The dict client and its informer against a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from landbridge.clients.answers import ApiError, ConflictError, NotFoundError
from landbridge.clients.informer import Informer
from landbridge.clients.kinds import CONFIGMAP, DEPLOYMENT, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.lab import ApiServer
from landbridge.model.service import Manifest

CLOCK = SystemClock()


@pytest.fixture
async def k8s(api: ApiServer) -> AsyncIterator[Kubernetes]:
    async with Kubernetes.connect(api.kubeconfig, name="legacy") as client:
        await client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "client"}})
        yield client


def config(name: str, **data: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "client"}, "data": data}


async def test_lists_are_read_page_by_page(k8s: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        await k8s.apply(config(f"page-{number}"))
    monkeypatch.setattr("landbridge.clients.kubernetes.PAGE", 3)
    listed = [item for item in await k8s.list(CONFIGMAP, "client") if item["metadata"]["name"].startswith("page-")]
    assert [item["metadata"]["name"] for item in listed] == [f"page-{number}" for number in range(7)]
    assert {item["kind"] for item in listed} == {"ConfigMap"}


async def test_apply_is_refused_where_another_manager_owns_the_field(k8s: Kubernetes) -> None:
    await k8s.apply(config("owned", x="1"), manager="helm")
    with pytest.raises(ConflictError) as caught:
        await k8s.apply(config("owned", x="2"))
    assert caught.value.managers == ("helm",)
    assert (await k8s.apply(config("owned", x="2"), force=True))["data"] == {"x": "2"}


async def test_writes_with_an_old_version_are_refused(k8s: Kubernetes) -> None:
    old = await k8s.apply(config("versioned", x="1"))
    new = await k8s.patch(CONFIGMAP, "versioned", {"data": {"x": "2"}}, "client")
    version = old["metadata"]["resourceVersion"]
    with pytest.raises(ConflictError):
        await k8s.patch(CONFIGMAP, "versioned", {"data": {"x": "3"}}, "client", version=version)
    with pytest.raises(ConflictError):
        await k8s.replace(old)
    with pytest.raises(ConflictError):
        await k8s.delete(CONFIGMAP, "versioned", "client", version=version)
    await k8s.delete(CONFIGMAP, "versioned", "client", version=new["metadata"]["resourceVersion"])
    await k8s.delete(CONFIGMAP, "versioned", "client")
    assert await k8s.find(CONFIGMAP, "versioned", "client") is None


async def test_dry_run_writes_nothing(k8s: Kubernetes) -> None:
    assert await k8s.apply(config("dry"), dry_run=True)
    assert await k8s.find(CONFIGMAP, "dry", "client") is None


async def test_wrong_objects_are_refused_by_name(k8s: Kubernetes) -> None:
    bad = config("bad") | {"dataa": {"x": "1"}}
    with pytest.raises(ApiError, match="dataa"):
        await k8s.apply(bad)
    with pytest.raises(ApiError, match="is not served"):
        await k8s.apply(config("bad") | {"kind": "Flower", "apiVersion": "garden/v1"})
    with pytest.raises(NotFoundError):
        await k8s.get(SERVICE, "none", "client")


async def test_both_ways_of_discovery_agree(k8s: Kubernetes) -> None:
    new = {kind.resource for versions in (await k8s.served()).values() for kind in versions}
    old = {kind.resource for root in ("/api", "/apis") for kind in await k8s._old_discovery(root)}
    assert new == old
    assert {"deployments.apps", "configmaps", "namespaces"} <= old


async def test_scale_goes_through_the_subresource(k8s: Kubernetes) -> None:
    labels = {"app": "a"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": pod}
    meta = {"name": "web", "namespace": "client"}
    await k8s.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec})
    await k8s.scale(DEPLOYMENT, "web", "client", 1)
    assert (await k8s.get(DEPLOYMENT, "web", "client"))["spec"]["replicas"] == 1


async def test_informer_follows_and_reports_what_went_while_it_was_away(k8s: Kubernetes) -> None:
    seen: list[tuple[str, str]] = []
    informer = Informer(k8s, CONFIGMAP, "client", labels="watched=yes", seconds=2)
    informer.subscribe(lambda event, item: seen.append((event, item["metadata"]["name"])))

    def labelled(name: str, x: str) -> Manifest:
        manifest = config(name, x=x)
        manifest["metadata"]["labels"] = {"watched": "yes"}
        return manifest

    async def heard(event: str, name: str) -> None:
        async def condition() -> bool:
            return (event, name) in seen

        await wait_for(condition, what=f"{event} {name}", within=10, clock=CLOCK, every=0.02)

    await k8s.apply(labelled("one", "1"))
    task = asyncio.create_task(informer.run())
    await asyncio.wait_for(informer.synced.wait(), 10)
    assert informer.get("one", "client")
    await k8s.apply(labelled("two", "1"))
    await heard("ADDED", "two")
    await k8s.apply(labelled("two", "2"))
    await heard("MODIFIED", "two")
    await k8s.delete(CONFIGMAP, "two", "client")
    await heard("DELETED", "two")
    task.cancel()
    await k8s.delete(CONFIGMAP, "one", "client")
    await k8s.apply(labelled("three", "1"))
    informer._version = ""  # as after HTTP 410
    task = asyncio.create_task(informer.run())
    await heard("DELETED", "one")
    await heard("ADDED", "three")
    assert set(informer.items) == {("client", "three")}
    assert informer.age() < 5
    task.cancel()


async def test_informer_outlives_an_api_server_that_refuses(k8s: Kubernetes, api: ApiServer) -> None:
    informer = Informer(k8s, CONFIGMAP, "client", labels="a in (")  # a selector that the server refuses
    task = asyncio.create_task(informer.run())

    async def failed_twice() -> bool:
        return informer.errors >= 2

    await wait_for(failed_twice, what="two tries", within=10, clock=CLOCK)
    assert not task.done()
    assert "refused" in informer.last_error
    task.cancel()
