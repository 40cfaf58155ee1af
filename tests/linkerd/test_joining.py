"""connect, check, gateways and disconnect where both clusters have Linkerd, on two real API servers.

Linkerd itself is not there: what its controllers would do (fill tokens, report readiness, mirror) is written by hand.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from landbridge.clients.kinds import CONFIGMAP, DEPLOYMENT, NAMESPACE, SECRET, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clients.linkerd import detect, link_kind
from landbridge.clock import SystemClock, wait_for
from landbridge.connect import check, linkerd, names
from landbridge.connect.connect import connect, recorded_plane
from landbridge.connect.disconnect import disconnect, leftovers, still_used
from landbridge.connect.gateways import gateways
from landbridge.connect.link import decode, encode
from landbridge.connect.options import Options
from landbridge.errors import BlockedError
from landbridge.lab import ApiServer
from landbridge.linkerd import access
from landbridge.model.inventory import Severity
from landbridge.model.service import Manifest
from landbridge.translate.adoption import LEAF_OF
from tests.linkerd.conftest import become
from tests.linkerd.definitions import definitions
from tests.linkerd.world import EXTENSION, IDENTITY, config, controller, door, named, namespace

pytestmark = [pytest.mark.api, pytest.mark.asyncio(loop_scope="module")]
CLOCK = SystemClock()
OPTIONS = Options(namespaces=("moving",), plane="linkerd")
MINORS = {"legacy": 14, "eks": 20}
DOORS = {"legacy": "192.0.2.1", "eks": "192.0.2.2"}
Pair = tuple[Kubernetes, Kubernetes]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bare(api_pair: tuple[ApiServer, ApiServer]) -> AsyncIterator[Pair]:
    """Two clusters with Linkerd of different age, linked to nobody."""
    made = [Kubernetes.connect(Path(server.kubeconfig), name=server.name) for server in api_pair]
    async with made[0] as legacy, made[1] as eks:
        for k8s, other in ((legacy, "eks"), (eks, "legacy")):
            await become(k8s, [])  # with all switches that other tests have left there
            for item in await k8s.list(SERVICE, labels=LEAF_OF):
                await k8s.delete(SERVICE, item["metadata"]["name"], item["metadata"]["namespace"])
            await become(k8s, definitions(MINORS[k8s.name]))
            await lay(k8s, other)
        await legacy.apply(namespace("moving", inject="enabled"))
        yield legacy, eks
        for k8s in (legacy, eks):
            await become(k8s, [])
            await k8s.delete(CONFIGMAP, "linkerd-config", "linkerd")
            await k8s.delete(SERVICE, "linkerd-gateway", EXTENSION)
            for item in await k8s.list(DEPLOYMENT, EXTENSION):
                await k8s.delete(DEPLOYMENT, item["metadata"]["name"], EXTENSION)


async def lay(k8s: Kubernetes, other: str) -> None:
    minor = MINORS[k8s.name]
    for item in (namespace("linkerd"), namespace(EXTENSION, extension="multicluster"), config(minor), door()):
        await k8s.apply(item, manager="linkerd", force=True)
    ingress = {"status": {"loadBalancer": {"ingress": [{"ip": DOORS[k8s.name]}]}}}
    await k8s.patch(SERVICE, "linkerd-gateway", ingress, EXTENSION, subresource="status")
    made = controller(minor, other)
    await k8s.apply(made, manager="linkerd", force=True)
    await ready(k8s, made["metadata"]["name"], 1)


async def ready(k8s: Kubernetes, name: str, replicas: int) -> None:
    status = {"replicas": 1, "readyReplicas": replicas, "availableReplicas": replicas, "updatedReplicas": 1}
    await k8s.patch(DEPLOYMENT, name, {"status": status}, EXTENSION, subresource="status")


async def fill(k8s: Kubernetes, token: str) -> None:
    """As the controller manager does with a token Secret."""
    name = f"{access.ACCOUNT}-token"

    async def made() -> Manifest | None:
        return await k8s.find(SECRET, name, EXTENSION)

    await wait_for(made, what="token Secret", within=30, clock=CLOCK)
    data = {"token": encode(token.encode()), "ca.crt": encode(b"CA")}
    await k8s.patch(SECRET, name, {"data": data}, EXTENSION)


async def join(pair: Pair, options: Options = OPTIONS) -> list[str]:
    said: list[str] = []
    await asyncio.gather(
        connect(*pair, options, progress=said.append), *(fill(k8s, f"token-of-{k8s.name}") for k8s in pair)
    )
    return said


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(bare: Pair) -> Pair:
    """Joined, until the first test that wants them apart."""
    await join(bare)
    return bare


@pytest_asyncio.fixture(loop_scope="module")
async def apart(bare: Pair) -> AsyncIterator[Pair]:
    """The same clusters, not joined."""

    async def part() -> None:
        if any([await k8s.find(CONFIGMAP, names.CONNECTION, names.HOME) for k8s in bare]):
            await leave(bare)

    await part()
    yield bare
    await part()


async def leave(pair: Pair) -> None:
    """Disconnected, while somebody does what the namespace controller would."""
    work = asyncio.ensure_future(disconnect(*pair))
    while not work.done():
        for k8s in pair:
            for name in (names.HOME, "moving"):
                found = await k8s.find(NAMESPACE, name)
                if found and found["metadata"].get("deletionTimestamp"):
                    found["spec"]["finalizers"] = []
                    await k8s.request("PUT", f"{NAMESPACE.path(name=name)}/finalize", content=found)
        await CLOCK.sleep(0.1)
    await work


async def links(k8s: Kubernetes) -> list[Manifest]:
    api = {"legacy": "v1alpha1", "eks": "v1alpha3"}[k8s.name]
    return await k8s.list(link_kind(api), EXTENSION)


async def ours(k8s: Kubernetes) -> set[str]:
    return {str(ref) for ref in await leftovers(k8s)}


async def test_links_both_ways_for_the_version_of_each_side_and_nothing_of_ours_runs(pair: Pair) -> None:
    for k8s, other in (pair, pair[::-1]):
        (link,) = await links(k8s)
        spec = link["spec"]
        assert spec["targetClusterName"] == other.name
        assert (spec["gatewayAddress"], spec["gatewayPort"]) == (DOORS[other.name], "4143")
        assert spec["gatewayIdentity"] == IDENTITY
        for place in (EXTENSION, "linkerd"):
            secret = await k8s.get(SECRET, f"cluster-credentials-{other.name}", place)
            assert secret["type"] == "mirror.linkerd.io/remote-kubeconfig"
            config = json.loads(decode(secret, "kubeconfig"))
            assert config["users"][0]["user"] == {"token": f"token-of-{other.name}"}
            assert set(config["clusters"][0]["cluster"]) == {"server", "certificate-authority-data"}
            assert base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"])
        assert not await k8s.list(DEPLOYMENT, names.HOME)
        assert await recorded_plane(k8s) == "linkerd"
    made = await pair[1].get(NAMESPACE, "moving")
    assert made["metadata"]["annotations"]["linkerd.io/inject"] == "enabled"


async def test_connecting_again_changes_nothing(pair: Pair) -> None:
    before = [await links(k8s) for k8s in pair]
    said = await join(pair)
    after = [await links(k8s) for k8s in pair]
    versions = [[item["metadata"]["resourceVersion"] for items in seen for item in items] for seen in (before, after)]
    assert versions[0] == versions[1]
    assert "eks: linked to legacy" in said


async def test_check_says_what_is_known_and_unknown_what_only_a_running_linkerd_could_say(pair: Pair) -> None:
    results = await check.check(*pair)
    failed = {result.title: result for result in results if not result.passed}
    assert set(failed) == {"the other gateway answers"}
    assert failed["the other gateway answers"].severity is Severity.WARNING
    assert failed["the other gateway answers"].problem.startswith("unknown: ")
    for door_seen in await gateways(*pair):
        assert door_seen.alive is None
        assert door_seen.problem.startswith("unknown: ")
        assert door_seen.addresses == (DOORS[door_seen.cluster],)


async def problems(pair: Pair) -> dict[tuple[str, str], str]:
    return {(result.cluster, result.title): result.problem for result in await check.check(*pair) if not result.passed}


async def test_a_new_token_a_moved_gateway_and_dead_mirrors_are_told(pair: Pair) -> None:
    legacy, eks = pair
    await fill(eks, "another")
    moved = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}}}
    await eks.patch(SERVICE, "linkerd-gateway", moved, EXTENSION, subresource="status")
    marks = {"mirror.linkerd.io/mirrored-service": "true", "mirror.linkerd.io/cluster-name": "eks"}
    mirror = named("v1", "Service", "web-eks", "moving", labels=marks, spec={"ports": [{"port": 80}]})
    await legacy.create(mirror, manager="linkerd")
    await ready(legacy, "linkerd-service-mirror-eks", 0)
    try:
        told = await problems(pair)
    finally:
        await eks.patch(
            SERVICE, "linkerd-gateway", {"status": {"loadBalancer": {"ingress": [{"ip": DOORS["eks"]}]}}}, EXTENSION,
            subresource="status",
        )  # fmt: skip
        await ready(legacy, "linkerd-service-mirror-eks", 1)
    assert "are not the ones that eks gives" in told["legacy", "credentials are those that the other cluster gives"]
    assert "it dials 192.0.2.2, the Service has 192.0.2.9" in told["legacy", "the Link knows the other gateway"]
    assert "moving/web-eks" in told["legacy", "mirrored Services answer"]
    assert "none for eks is ready" in told["legacy", "the mirror controller is ready"]
    assert {cluster for cluster, title in told if title != "the other gateway answers"} == {"legacy"}


async def test_disconnect_is_refused_while_a_switch_stands(pair: Pair) -> None:
    legacy, _ = pair
    spec: dict[str, Any] = {"dstOverrides": [{"authority": "web-eks.moving.svc.cluster.local", "weight": 1}]}
    driven = {"landbridge.dev/drives": "dstOverrides"}
    name = "web.moving.svc.cluster.local"
    made = named("linkerd.io/v1alpha2", "ServiceProfile", name, "moving", annotations=driven, spec=spec)
    await legacy.create(made)
    try:
        assert await still_used(legacy) == [f"legacy: ServiceProfile moving/{name} is in force"]
        with pytest.raises(BlockedError, match="traffic still depends"):
            await disconnect(*pair)
    finally:
        await legacy.delete(await legacy.kind_of(made), name, "moving")


async def test_clusters_that_are_joined_one_way_are_not_joined_another_way(pair: Pair) -> None:
    with pytest.raises(BlockedError, match="joined by the data plane linkerd, and builtin was chosen") as refused:
        await connect(*pair, Options(namespaces=("moving",), plane="builtin"))
    assert "dataPlane.plane: linkerd" in refused.value.advice


async def test_disconnect_leaves_what_was_there_and_takes_mirrors_that_nobody_would(
    apart: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("landbridge.connect.disconnect.MIRRORS", 0.2)
    before = [await detect(k8s) for k8s in apart]
    await join(apart)
    legacy, eks = apart
    marks = {"mirror.linkerd.io/mirrored-service": "true", "mirror.linkerd.io/cluster-name": "legacy"}
    left = named("v1", "Service", "web-legacy", "moving", labels=marks, spec={"ports": [{"port": 80}]})
    await eks.create(left, manager="linkerd")
    await leave(apart)
    assert [await ours(k8s) for k8s in apart] == [set(), set()]
    assert await eks.find(SERVICE, "web-legacy", "moving") is None
    assert [await links(k8s) for k8s in apart] == [[], []]
    assert [await detect(k8s) for k8s in apart] == before
    assert await legacy.find(SECRET, f"{access.ACCOUNT}-token", EXTENSION) is None


async def test_what_linkerd_lacks_is_asked_for_before_anything_is_written(apart: Pair) -> None:
    legacy, eks = apart
    await ready(eks, "controller-legacy", 0)
    await legacy.patch(
        CONFIGMAP, "linkerd-config", {"data": config(14, anchor=ANOTHER)["data"]}, "linkerd", manager="linkerd"
    )
    try:
        with pytest.raises(BlockedError) as refused:
            await connect(legacy, eks, OPTIONS)
        said = refused.value.what
        assert "eks: no mirror controller for a cluster called legacy is ready" in said
        assert "controllers: [{link: {ref: {name: legacy}}}]" in said
        assert "nothing was written" in refused.value.advice
        await ready(eks, "controller-legacy", 1)
        with pytest.raises(BlockedError, match="no trust anchor in common"):
            await connect(legacy, eks, OPTIONS)
    finally:
        await ready(eks, "controller-legacy", 1)
        await legacy.patch(CONFIGMAP, "linkerd-config", {"data": config(14)["data"]}, "linkerd", manager="linkerd")
    assert [await ours(k8s) for k8s in apart] == [set(), set()]


ANOTHER = "-----BEGIN CERTIFICATE-----\nMIIBother\n-----END CERTIFICATE-----\n"


async def test_a_link_that_people_have_made_is_used_and_stays(apart: Pair) -> None:
    legacy = apart[0]
    spec = {"targetClusterName": "eks", "gatewayAddress": "192.0.2.2", "gatewayIdentity": IDENTITY}
    theirs = named("multicluster.linkerd.io/v1alpha1", "Link", "eks", EXTENSION, spec=spec)
    await legacy.create(theirs, manager="linkerd-cli")
    try:
        said = await join(apart)
        assert "legacy: uses the Link that stands to eks" in said
        assert await legacy.find(SECRET, "cluster-credentials-eks", EXTENSION) is None
        await leave(apart)
        assert [item["metadata"]["name"] for item in await links(legacy)] == ["eks"]
    finally:
        await legacy.delete(link_kind("v1alpha1"), "eks", EXTENSION)


async def test_auto_takes_linkerd_only_where_it_is_in_the_path_of_what_moves(apart: Pair) -> None:
    ways, why = await linkerd.choose(*apart, Options(namespaces=("moving",)))
    assert ways is not None
    assert "both clusters have Linkerd" in why
    ways, why = await linkerd.choose(*apart, Options(namespaces=("default",)))
    assert (ways, why) == (None, "pods in default of legacy get no proxy of Linkerd")
    assert (await linkerd.choose(*apart, Options(namespaces=("moving",), plane="builtin")))[0] is None
