"""connect, rotate and disconnect on two real API servers with controllers and no nodes; time stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from landbridge.clients.answers import NotFoundError
from landbridge.clients.kinds import (
    CLUSTERROLE,
    CLUSTERROLEBINDING,
    CONFIGMAP,
    CRD,
    DEPLOYMENT,
    NAMESPACE,
    SECRET,
    SERVICE,
    Kind,
)
from landbridge.clients.kubeconfig import Context, load
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.connect import certificates, crds, identity, names, roles
from landbridge.connect.connect import MADE, connect
from landbridge.connect.disconnect import disconnect, leftovers, still_used
from landbridge.connect.link import decode, encode
from landbridge.connect.options import Options
from landbridge.connect.rotate import rotate
from landbridge.errors import AccessError, BlockedError, Exit, LandbridgeError
from landbridge.lab import ApiServer, start_apiserver, stop_apiserver
from landbridge.model.service import Manifest

pytestmark = [pytest.mark.api, pytest.mark.asyncio(loop_scope="module")]
GATEWAYS = {"old": ("192.0.2.1:15443",), "new": ("192.0.2.2:15443",)}
OPTIONS = Options(namespaces=("shop",), gateways=GATEWAYS, patience=1)
Pair = tuple[Kubernetes, Kubernetes]


class QuickClock(SystemClock):
    """Real time, but a long sleep is a short one: nothing here waits for kubelets."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.5))


@pytest.fixture(scope="module")
def servers() -> Iterator[list[ApiServer]]:
    loop = asyncio.new_event_loop()
    started = [loop.run_until_complete(start_apiserver(name=name, controllers=True)) for name in ("old", "new")]
    yield started
    for server in started:
        loop.run_until_complete(stop_apiserver(server))
    loop.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(servers: list[ApiServer]) -> AsyncIterator[Pair]:
    made = [Kubernetes(load(server.kubeconfig).context(), name=server.name, clock=QuickClock()) for server in servers]
    shop = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    await made[0].create(shop)
    await asyncio.gather(*(settled(k8s) for k8s in made))
    yield made[0], made[1]
    for k8s in made:
        await k8s.close()


async def everything(k8s: Kubernetes) -> set[tuple[str, str, str]]:
    """Every object of every kind, but for what controllers come and go with."""
    kinds = [kind for kind in await k8s.resources() if kind.kind not in {"Event", "Lease", "ComponentStatus"}]
    listed = await asyncio.gather(*(listed_of(k8s, kind) for kind in kinds))
    return {
        (item["kind"], item["metadata"].get("namespace", ""), item["metadata"]["name"])
        for items in listed
        for item in items
    }


async def listed_of(k8s: Kubernetes, kind: Kind) -> list[Manifest]:
    try:
        return await k8s.list(kind)
    except NotFoundError:  # its definition went away after it was named
        return []


async def settled(k8s: Kubernetes) -> set[tuple[str, str, str]]:
    """Every object, once controllers have made what they make in a new cluster: nothing came or went for 3 s."""
    clock = SystemClock()
    seen: list[tuple[float, set[tuple[str, str, str]]]] = []

    async def still() -> set[tuple[str, str, str]] | None:
        now, found = clock.monotonic(), await everything(k8s)
        if not seen or seen[0][1] != found:
            seen[:] = [(now, found)]
        return found if now - seen[0][0] >= 3 else None

    return await wait_for(still, what=f"objects of {k8s.name} stand still", within=120, clock=clock, every=0.5)


async def join(pair: Pair, options: Options = OPTIONS) -> list[str]:
    """Connect as far as it goes without nodes: all but the pods' readiness."""
    said: list[str] = []
    with pytest.raises(LandbridgeError, match=r"Deployment .* ready: not so after"):
        await connect(*pair, options, progress=said.append)
    return said


async def versions(k8s: Kubernetes) -> dict[tuple[str, str], str]:
    kinds = [kind for kind in await k8s.resources() if kind.kind not in {"Event", "Lease", "Pod", "ComponentStatus"}]
    listed = await asyncio.gather(*(k8s.list(kind, labels=names.SELECT_OURS) for kind in kinds))
    return {
        (item["kind"], f"{item['metadata'].get('namespace')}/{item['metadata']['name']}"): str(
            item["metadata"].get("generation") or item["metadata"]["resourceVersion"]
        )
        for items in listed
        for item in items
    }


async def test_joining_leaving_and_nothing_left(pair: Pair) -> None:
    """disconnect leaves both clusters as before: compared object by object."""
    before = await asyncio.gather(*(settled(k8s) for k8s in pair))
    said = await join(pair)
    assert any("TrafficSplit defined" in line for line in said)
    assert [await k8s.find(NAMESPACE, "shop") is not None for k8s in pair] == [True, True]
    await disconnect(*pair)
    assert [await leftovers(k8s) for k8s in pair] == [[], []]
    await asyncio.gather(*(gone(k8s, "landbridge") for k8s in pair))
    await gone(pair[1], "shop")
    # the garbage collector takes ReplicaSets and pods after their Deployment, and not at once
    after = await asyncio.gather(*(settled(k8s) for k8s in pair))
    assert [now ^ then for now, then in zip(after, before, strict=True)] == [set(), set()]


async def gone(k8s: Kubernetes, namespace: str) -> None:
    async def absent() -> bool:
        return await k8s.find(NAMESPACE, namespace) is None

    await wait_for(absent, what=f"{namespace} gone", within=120, clock=SystemClock())


async def test_joining_again_writes_nothing(pair: Pair) -> None:
    await join(pair)
    first = [await versions(k8s) for k8s in pair]
    await join(pair)
    second = [await versions(k8s) for k8s in pair]
    changing = ("Deployment", "ReplicaSet", "PodDisruptionBudget")
    stable = [{key: value for key, value in found.items() if key[0] not in changing} for found in (*first, *second)]
    assert stable[:2] == stable[2:]


async def test_the_link_is_read_only_and_inline(pair: Pair) -> None:
    """linkerd.md 0.1: a kubeconfig with a CA in a file cannot be read in a pod."""
    await join(pair)
    secret = await pair[0].get(SECRET, names.link_name("new"), names.HOME)
    import json

    config = json.loads(decode(secret, "kubeconfig"))
    [cluster], [user] = config["clusters"], config["users"]
    assert cluster["cluster"]["certificate-authority-data"]
    context = Context(name="link", cluster=cluster["cluster"], user=user["user"])
    async with Kubernetes.connect(context, name="new") as there:
        assert isinstance(await there.list(SERVICE), list)
        for verb, resource in (("list", "secrets"), ("list", "pods"), ("create", "services"), ("patch", "services")):
            assert not await there.can(verb, resource, "shop"), (verb, resource)


async def test_a_kind_that_goes_away_meanwhile_is_no_obstacle(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Discovery names a CRD's kind for seconds after it was removed, and to list that is 404."""
    k8s = pair[0]
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    spec = {"group": "example.com", "names": {"plural": "things", "kind": "Thing"}, "scope": "Namespaced"}
    await k8s.create(crd | {"metadata": {"name": "things.example.com"}, "spec": spec | {"versions": [version]}})
    made = {"name": "empty", "annotations": {MADE: "true"}}
    await k8s.create({"apiVersion": "v1", "kind": "Namespace", "metadata": made})

    async def named() -> list[Kind] | None:
        kinds = list(await k8s.resources())
        return kinds if any(kind.kind == "Thing" for kind in kinds) else None

    known = await wait_for(named, what="Thing is named", within=60, clock=SystemClock())
    await k8s.delete(CRD, "things.example.com")

    async def unknown() -> bool:
        try:
            await k8s.list(next(kind for kind in known if kind.kind == "Thing"))
        except NotFoundError:
            return True
        return False

    async def resources() -> list[Kind]:
        return known

    await wait_for(unknown, what="Thing unknown", within=60, clock=SystemClock())
    monkeypatch.setattr(k8s, "resources", resources)
    await disconnect(*pair)
    await gone(k8s, "empty")


async def test_somebody_elses_object_stops_it_before_anything_is_written(pair: Pair) -> None:
    await disconnect(*pair)
    await settled(pair[1])  # a namespace that is on its way out takes nothing in
    await pair[1].apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    foreign = {"apiVersion": "v1", "kind": "ServiceAccount"}
    foreign["metadata"] = {"name": names.WAYPOINT, "namespace": "shop"}  # type: ignore[assignment]
    await pair[1].create(foreign)
    before = await asyncio.gather(*(settled(k8s) for k8s in pair))
    with pytest.raises(BlockedError, match="ServiceAccount shop/landbridge-waypoint"):
        await connect(*pair, OPTIONS)
    assert [await everything(k8s) for k8s in pair] == before
    await pair[1].delete(await pair[1].kind_of(foreign), names.WAYPOINT, "shop")


async def test_missing_rights_are_named_before_anything_is_written(pair: Pair) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "weak", "namespace": "default"}}
    await pair[1].create(account)
    path = "/api/v1/namespaces/default/serviceaccounts/weak/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = (await pair[1].request("POST", path, content=request)).json()["status"]["token"]
    context = Context(name="weak", cluster=pair[1].context.cluster, user={"token": token})
    before = await settled(pair[0])
    async with Kubernetes.connect(context, name="new") as weak:
        with pytest.raises(AccessError) as refused:
            await connect(pair[0], weak, OPTIONS)
    assert "create deployments.apps" in refused.value.what
    assert "create namespaces" in refused.value.what
    assert refused.value.exit_code == Exit.ACCESS
    assert await everything(pair[0]) == before


async def test_waypoints_keep_policies_for_as_long_as_a_service_is_adopted(pair: Pair) -> None:
    """waypoint.md 4: otherwise all callers of the namespace could call it from now on."""
    await join(pair, replace(OPTIONS, enforce=True))
    assert all([await k8s.find(CLUSTERROLE, roles.wide_name("shop")) for k8s in pair])
    meta: dict[str, Any] = {"name": "web-leaf", "namespace": "shop", "labels": {"landbridge.dev/leaf-of": "web"}}
    await pair[1].create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": 80}]}})
    with pytest.raises(BlockedError, match="keep the NetworkPolicies of 1 adopted"):
        await connect(*pair, OPTIONS)
    await pair[1].delete(SERVICE, "web-leaf", "shop")
    await join(pair)
    for kind in (CLUSTERROLE, CLUSTERROLEBINDING):
        assert [await k8s.find(kind, roles.wide_name("shop")) for k8s in pair] == [None, None]


async def test_leaving_is_refused_while_a_service_is_adopted(pair: Pair) -> None:
    await join(pair)
    meta: dict[str, Any] = {"name": "web-leaf", "namespace": "shop"}
    meta["labels"] = {"landbridge.dev/leaf-of": "web", **names.labels()}
    leaf = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"ports": [{"port": 80}]}}
    await pair[0].create(leaf)
    with pytest.raises(BlockedError, match="old: Service shop/web is adopted"):
        await disconnect(*pair)
    assert await pair[0].find(DEPLOYMENT, names.WAYPOINT, "shop")
    await pair[0].delete(SERVICE, "web-leaf", "shop")
    assert await still_used(pair[0]) == []


async def test_a_trafficsplit_of_somebody_else_stays(pair: Pair) -> None:
    await disconnect(*pair)
    theirs = crds.trafficsplit()
    theirs["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    await pair[0].create(theirs)
    await join(pair)
    await disconnect(*pair)
    found = await pair[0].get(CRD, crds.NAME)
    assert found["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "Helm"}
    await pair[0].delete(CRD, crds.NAME)


async def test_an_authority_is_replaced_and_every_leaf_is_trusted_at_every_step(pair: Pair) -> None:
    await join(pair)
    old = certificates.read_authority(await pair[0].get(SECRET, names.CA, names.HOME))
    steps: list[str] = []
    watching = asyncio.create_task(_watch_trust(pair))
    await rotate(*pair, progress=steps.append)
    watching.cancel()
    assert len(steps) == 3
    new = certificates.read_authority(await pair[0].get(SECRET, names.CA, names.HOME))
    assert new.certificate != old.certificate
    assert not new.previous
    for namespace, _ in certificates.places(("shop",)):
        leaf = decode(await pair[0].get(SECRET, names.TLS, namespace), "tls.crt")
        trusted = decode(await pair[1].get(SECRET, names.TLS, namespace), "ca.crt")
        assert identity.issued_by(leaf, new.certificate)
        assert trusted == new.certificate
    assert watching.cancelled() or not watching.done() or watching.exception() is None


async def test_connecting_in_the_middle_of_a_rotation_takes_no_trust_away(pair: Pair) -> None:
    """The next authority signs within minutes: who no longer trusted it then would refuse every caller."""
    await join(pair)

    def stop(step: str) -> None:
        raise InterruptedError(step)

    with pytest.raises(InterruptedError, match="old and new authority"):
        await rotate(*pair, progress=stop)
    coming = decode(await pair[0].get(SECRET, names.CA, names.HOME), "next.crt")
    assert coming
    await join(pair)
    for place in ((names.link_name("old"), names.HOME), (names.TLS, names.HOME), (names.TLS, "shop")):
        assert coming in decode(await pair[1].get(SECRET, *place), "ca.crt"), place
    await rotate(*pair)
    assert decode(await pair[0].get(SECRET, names.CA, names.HOME), "tls.crt") == coming


async def _watch_trust(pair: Pair) -> None:
    """Whenever it is looked at, the other side trusts who signed the leaf."""
    while True:
        leaf = decode(await pair[0].get(SECRET, names.TLS, "shop"), "tls.crt")
        trusted = decode(await pair[1].get(SECRET, names.TLS, "shop"), "ca.crt")
        again = decode(await pair[0].get(SECRET, names.TLS, "shop"), "tls.crt")
        if leaf == again:
            from cryptography import x509
            from cryptography.hazmat.primitives.serialization import Encoding

            known = [item.public_bytes(Encoding.PEM) for item in x509.load_pem_x509_certificates(trusted)]
            assert any(identity.issued_by(leaf, one) for one in known)
        await SystemClock().sleep(0.02)


async def test_a_leaf_that_the_agent_renews_at_the_same_moment_is_looked_at_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await join(pair)
    old, find = pair[0], pair[0].find
    hurried: list[Manifest] = []
    signer = identity.make_authority("old", now=old.clock.now())
    theirs = decode(await old.get(SECRET, names.TLS, "shop"), "ca.crt")
    by_agent = identity.issue(signer, identity.spiffe("old", "shop", names.WAYPOINT), now=old.clock.now())

    async def find_and_be_overtaken(*asked: Any) -> Manifest | None:
        found = await find(*asked)
        if asked == (SECRET, names.TLS, "shop") and not hurried:
            data = {key: encode(value) for key, value in identity.tls_files(by_agent, [theirs]).items()}
            hurried.append(await old.patch(SECRET, names.TLS, {"data": data}, "shop"))
        return found

    monkeypatch.setattr(old, "find", find_and_be_overtaken)
    assert not await certificates.provide_leaf(old, signer, theirs, "shop", names.WAYPOINT), "the agent's will do"
    assert hurried
    assert decode(await old.get(SECRET, names.TLS, "shop"), "tls.crt") == by_agent.certificate


async def test_what_was_joined_is_recorded(pair: Pair) -> None:
    await join(pair)
    found = await pair[0].get(CONFIGMAP, names.CONNECTION, names.HOME)
    assert found["data"]["other"] == "new"
