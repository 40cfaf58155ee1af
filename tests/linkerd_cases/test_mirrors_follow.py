"""Mirrors follow what the other cluster exports: made, changed, taken away, and put back after somebody's hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from landbridge.agent import names
from landbridge.clients.kubernetes import ENDPOINTSLICE, SECRET, SERVICE
from landbridge.connect.gateways import read
from landbridge.lab import ApiServer
from landbridge.model.mirror import mirror_name
from landbridge.model.service import Manifest
from tests.agent.bed import ask
from tests.linkerd_cases.joined import EXPORT, Joined, join

pytestmark = pytest.mark.asyncio(loop_scope="module")
Servers = tuple[ApiServer, ApiServer]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def joined(api_pair: Servers, prefix: str) -> AsyncIterator[Joined]:
    async with join(api_pair, prefix) as found:
        yield found


async def listening(joined: Joined, mirror: str) -> int:
    """The waypoint port of a mirror's only port."""
    (item,) = [found for found in await joined.legacy.slices(mirror) if names.ours(found)]
    return int(item["ports"][0]["port"])


async def answered_by(joined: Joined, port: int, who: str) -> None:
    async def answers() -> bool:
        return await ask(f"{joined.legacy.prefix}.11", port) == who

    await joined.eventually(answers, f"{who} answers on {port}")


async def test_u01_i04_a_mirror_and_its_slice_are_made_once_the_gateways_name_resolves(joined: Joined) -> None:
    mirror = await joined.mirror("web-eks")
    assert names.annotation(mirror, names.REMOTE_NAME) == f"web.{joined.eks.namespace}.svc.cluster.local"
    await joined.leader.until(lambda s: s["duties"]["links"]["eks"]["alive"], "the gateway answers")
    state = await joined.leader.get("/state")
    row = read([state], cluster="eks", seen_from="legacy", services=1, addresses=())
    assert row.alive
    assert row.ready >= 1
    assert row.problem == ""


async def test_i06_requests_arrive_through_the_gateway(joined: Joined) -> None:
    await joined.ready(is_ready=True)
    await answered_by(joined, await listening(joined, "web-eks"), "eks-103")


async def test_i07_a16_good_metadata_is_copied_evil_and_trackers_are_not(joined: Joined) -> None:
    labels = {"good": "1", "evil": "1", "evil.linkerd/a": "1", "argocd.argoproj.io/instance": "shop"}
    notes = {"good.linkerd/c": "1", "evil.linkerd/b": "1", "meta.helm.sh/release-name": "shop"}
    await joined.export("marked", labels=labels, annotations=notes)
    meta = (await joined.mirror("marked-eks"))["metadata"]
    assert meta["labels"]["good"] == "1"
    assert meta["annotations"]["good.linkerd/c"] == "1"
    kept = {**meta["labels"], **meta["annotations"]}
    assert not {"evil", "evil.linkerd/a", "evil.linkerd/b", "argocd.argoproj.io/instance"} & kept.keys()
    assert "meta.helm.sh/release-name" not in kept
    await joined.eks.k8s.patch(SERVICE, "marked", {"metadata": {"labels": {"good": None}}}, joined.eks.namespace)

    async def gone() -> bool:
        return "good" not in (await joined.legacy.get_service("marked-eks"))["metadata"]["labels"]

    await joined.eventually(gone, "a label that is gone there is gone here")


def pods(joined: Joined, *numbers: int) -> Manifest:
    """The slice of the StatefulSet `db`."""
    meta = {"name": "db-abcde", "namespace": joined.eks.namespace}
    labels = {names.SERVICE_NAME: "db", names.SLICE_MANAGED_BY: "endpointslice-controller.k8s.io"}
    entries = [
        {"addresses": [f"{joined.eks.prefix}.{103 + n}"], "hostname": f"db-{n}", "conditions": {"ready": True}}
        for n in numbers
    ]
    return {
        "apiVersion": ENDPOINTSLICE.api_version,
        "kind": ENDPOINTSLICE.kind,
        "metadata": meta | {"labels": labels | {"service.kubernetes.io/headless": ""}},
        "addressType": "IPv4",
        "endpoints": entries,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


async def test_u02_u19_i08_each_pod_of_a_stateful_set_has_a_mirror_of_its_own(joined: Joined) -> None:
    space, k8s = joined.eks.namespace, joined.eks.k8s
    spec = {"clusterIP": "None", "ports": [{"name": "http", "port": 8080}]}
    meta = {"name": "db", "namespace": space, "labels": EXPORT}
    await k8s.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    await k8s.create(pods(joined, 0, 1))
    whole = await joined.mirror("db-eks")
    members = [await joined.mirror(f"db-{n}-eks") for n in (0, 1)]
    assert whole["spec"]["clusterIP"] == "None"
    assert [names.label(item, names.HEADLESS_MIRROR) for item in members] == ["db-eks", "db-eks"]
    assert names.annotation(members[0], names.REMOTE_NAME) == f"db-0.db.{space}.svc.cluster.local"
    for n in (0, 1):
        await joined.ready(f"db-{n}-eks", is_ready=True)
        await answered_by(joined, await listening(joined, f"db-{n}-eks"), f"eks-{103 + n}")

    async def by_name() -> bool:
        found = await joined.legacy.slices("db-eks")
        told = {entry["hostname"]: entry["addresses"][0] for item in found for entry in item["endpoints"]}
        return told == {f"db-{n}": members[n]["spec"]["clusterIP"] for n in (0, 1)}

    await joined.eventually(by_name, "the headless mirror names its pods")
    await k8s.delete(ENDPOINTSLICE, "db-abcde", space)
    await k8s.create(pods(joined, 0))
    await joined.mirror("db-1-eks", there=False)
    assert await joined.mirror("db-0-eks")


async def test_i09_u03_a_flat_mirror_has_the_pods_themselves_and_no_gateway(joined: Joined) -> None:
    await joined.export("flat", labels={names.EXPORTED: "remote-discovery"})
    labels = {names.SERVICE_NAME: "flat", names.SLICE_MANAGED_BY: "x", names.EXPORTED: "remote-discovery"}
    await joined.eks.k8s.patch(ENDPOINTSLICE, "flat-abcde", {"metadata": {"labels": labels}}, joined.eks.namespace)
    mirror = await joined.mirror("flat-eks")
    assert names.label(mirror, names.REMOTE_DISCOVERY) == "eks"
    assert names.label(mirror, names.REMOTE_SERVICE) == "flat"
    assert names.annotation(mirror, names.GATEWAYS) == ""

    async def pod() -> list[tuple[str, int]]:
        found = [item for item in await joined.legacy.slices("flat-eks") if names.ours(item)]
        return [(e["addresses"][0], item["ports"][0]["port"]) for item in found for e in item["endpoints"]]

    assert await joined.eventually(pod, "the pod is in the slice") == [(f"{joined.eks.prefix}.103", 8080)]
    assert await ask(f"{joined.eks.prefix}.103", 8080) == "eks-103"


async def test_u15_ports_that_change_there_change_here(joined: Joined) -> None:
    await joined.export("grows")
    await joined.mirror("grows-eks")
    ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "http-b", "port": 81, "targetPort": 8080}]
    await joined.eks.k8s.patch(SERVICE, "grows", {"spec": {"ports": ports}}, joined.eks.namespace)

    async def followed() -> bool:
        have = {port["port"] for port in (await joined.legacy.get_service("grows-eks"))["spec"]["ports"]}
        slices = [item for item in await joined.legacy.slices("grows-eks") if names.ours(item)]
        return have == {80, 81} and bool(slices) and {p["name"] for p in slices[0]["ports"]} == {"http", "http-b"}

    await joined.eventually(followed, "Service and slice have both ports")


async def test_u14_u28_m01_a_service_deleted_there_is_deleted_here(joined: Joined) -> None:
    await joined.export("brief")
    await joined.mirror("brief-eks")
    await joined.eks.k8s.delete(SERVICE, "brief", joined.eks.namespace)
    await joined.mirror("brief-eks", there=False)


async def test_m02_a_label_taken_away_and_put_back(joined: Joined) -> None:
    await joined.export("shy")
    await joined.ready("shy-eks", is_ready=True)
    await joined.unexport("shy")
    await joined.mirror("shy-eks", there=False)
    patch = {"metadata": {"labels": EXPORT}}
    await joined.eks.k8s.patch(SERVICE, "shy", patch, joined.eks.namespace)
    await joined.mirror("shy-eks")


async def test_a06_what_was_edited_or_deleted_by_hand_comes_back(joined: Joined) -> None:
    await joined.ready(is_ready=True)
    legacy = joined.legacy
    space, k8s = legacy.namespace, legacy.k8s
    good = (await legacy.get_service("web-eks"))["spec"]["ports"]
    (item,) = [found for found in await legacy.slices("web-eks") if names.ours(found)]
    await k8s.delete(ENDPOINTSLICE, item["metadata"]["name"], space)
    await joined.ready(is_ready=True)
    edited = {"endpoints": [{"addresses": ["192.0.2.9"], "conditions": {"ready": True}}]}
    await k8s.patch(ENDPOINTSLICE, item["metadata"]["name"], edited, space)

    async def mended() -> bool:
        found = [each for each in await legacy.slices("web-eks") if names.ours(each)]
        return [e["addresses"] for each in found for e in each["endpoints"]] == [[f"{legacy.prefix}.11"]]

    await joined.eventually(mended, "the slice is as it was")
    bad: dict[str, Any] = {"spec": {"selector": {"app": "x"}, "ports": [{"name": "x", "port": 99}]}}
    bad["metadata"] = {"annotations": {names.REMOTE_NAME: "other.shop.svc.cluster.local"}}
    await k8s.patch(SERVICE, "web-eks", bad, space)

    async def restored() -> bool:
        found = await legacy.get_service("web-eks")
        right = names.remote_service(found) == (joined.eks.namespace, "web")
        return right and "selector" not in found["spec"] and found["spec"]["ports"] == good

    await joined.eventually(restored, "the mirror is as it was")
    await k8s.delete(SERVICE, "web-eks", space)
    await joined.mirror("web-eks")
    await joined.ready(is_ready=True)


async def test_a19_a_users_service_with_a_mirrors_name_is_never_touched(joined: Joined) -> None:
    users = await joined.legacy.service("taken-eks", selector={"app": "twin"})
    await joined.export("taken")
    await joined.skipped("taken-eks", "not ours")
    await joined.eks.k8s.delete(SERVICE, "taken", joined.eks.namespace)
    await joined.export("after")
    await joined.mirror("after-eks")
    assert (await joined.legacy.get_service("taken-eks"))["metadata"] == users["metadata"]


async def test_u11_a12_a_missing_namespace_is_told_and_mirrored_when_it_comes(joined: Joined) -> None:
    space = f"late{joined.legacy.namespace}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}
    await joined.eks.k8s.create(namespace)
    meta = {"name": "early", "namespace": space, "labels": EXPORT}
    spec = {"ports": [{"name": "http", "port": 80}]}
    await joined.eks.k8s.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    await joined.skipped(f"{space}/early-eks", "does not exist here")
    await joined.legacy.k8s.create(namespace)

    async def there() -> Manifest | None:
        return await joined.legacy.k8s.find(SERVICE, "early-eks", space)

    await joined.eventually(there, "the mirror in the new namespace", 10)
    await joined.eks.k8s.delete(SERVICE, "early", space)


async def test_a11_a_name_of_60_characters_gets_a_short_one_that_says_the_whole(joined: Joined) -> None:
    long = "a" * 60
    await joined.export(long)
    mirror = await joined.mirror(mirror_name(long, "eks"))
    assert len(mirror["metadata"]["name"]) == 63
    assert mirror["metadata"]["name"].endswith("-eks")
    assert names.annotation(mirror, names.FULL_NAME) == f"{long}-eks"
    await joined.ready(mirror["metadata"]["name"], is_ready=True)


async def test_u31_a_links_label_is_no_change_of_the_link(joined: Joined) -> None:
    """Linkerd restarted its watcher for each patch of the link's status; what counts is the content."""
    log = joined.leader.folder / "agent.log"
    before, told = await joined.settled(), log.read_text().count('"event": "links"')
    marked = {"metadata": {"labels": {"somebody": "was-here"}}}
    await joined.legacy.k8s.patch(SECRET, f"{names.LINK}eks", marked, names.NAMESPACE)
    await joined.export("marker")
    await joined.mirror("marker-eks")
    after = await joined.versions()
    assert {key: after[key] for key in before} == before
    assert log.read_text().count('"event": "links"') == told >= 1


async def test_a05_u23_what_was_deleted_while_the_leader_was_down_goes_and_nothing_else(joined: Joined) -> None:
    await joined.export("doomed")
    await joined.mirror("doomed-eks")
    before = await joined.versions()
    assert "Service db-0-eks" in before, "mirrors of pods are among them"
    delete = joined.eks.k8s.delete(SERVICE, "doomed", joined.eks.namespace)
    await joined.restart_leader(meanwhile=[delete])
    await joined.mirror("doomed-eks", there=False)
    after = await joined.versions()
    assert {key for key in before if key not in after} <= {
        "Service doomed-eks",
        "EndpointSlice doomed-eks-landbridge-ipv4",
    }
    assert "Service db-0-eks" in after


async def test_u22_a14_an_unlinked_cluster_leaves_nothing_behind(joined: Joined) -> None:
    """Last: it takes the link away. linkerd2: a deleted Link left every mirror with its last addresses."""
    await joined.legacy.k8s.delete(SECRET, f"{names.LINK}eks", names.NAMESPACE)

    async def nothing() -> bool:
        return not any(key.startswith("Service ") for key in await joined.versions())

    await joined.eventually(nothing, "no mirror is left")
    users = await joined.legacy.k8s.find(SERVICE, "taken-eks", joined.legacy.namespace)
    assert users is not None
    assert (await joined.leader.get("/state"))["duties"]["links"] == {}
