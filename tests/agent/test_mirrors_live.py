"""Mirrors between two API servers, through a real gateway with mTLS; probes, certificates, un-export."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from landbridge.agent import names
from landbridge.clients.kubernetes import SECRET, SERVICE, Kubernetes
from landbridge.connect import identity
from landbridge.lab import ApiServer
from landbridge.model.service import Manifest
from tests.agent.bed import CLOCK, Bed, ask, http_backend
from tests.agent.pair import Pair

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(api_pair: tuple[ApiServer, ApiServer], prefix: str) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        beds: list[Bed] = []
        for server in api_pair:
            k8s = await stack.enter_async_context(Kubernetes.connect(server.kubeconfig, name=server.name))
            bed = Bed(k8s, server.kubeconfig, prefix, cluster=server.name)
            bed.namespace = beds[0].namespace if beds else bed.namespace
            beds.append(await stack.enter_async_context(bed))
        await stack.enter_async_context(http_backend(f"{prefix}.103", 8080, "eks"))
        legacy, eks = beds
        pair = Pair(legacy, eks)
        await pair.secrets(legacy, eks, f"{prefix}.30:15443")
        await pair.secrets(eks, legacy, f"{prefix}.40:15443")
        await eks.adopted("web", labels={names.EXPORTED: "true", names.SKIP_MIRROR: "true"})
        await eks.slice("web-leaf", f"{prefix}.103")
        pair.gateway = await pair.seat(eks, "gateway", 30, "legacy")
        pair.leader = await pair.seat(legacy, "gateway", 20, "eks")
        await legacy.probe(await pair.seat(legacy, "waypoint", 11, "eks"))
        yield pair


async def test_an_exported_service_has_a_mirror_that_answers_through_the_gateway(pair: Pair) -> None:
    await pair.ready(is_ready=True)
    mirror = await pair.legacy.get_service("web-eks")
    assert "selector" not in mirror["spec"]
    assert names.label(mirror, names.CLUSTER_NAME) == "eks"
    (port,) = json.loads(names.annotation(mirror, names.PORTS)).values()
    (item,) = [found for found in await pair.legacy.slices("web-eks") if names.ours(found)]
    assert item["endpoints"][0]["addresses"] == [f"{pair.legacy.prefix}.11"]
    assert item["ports"][0]["port"] == port

    async def answers() -> bool:
        return await ask(f"{pair.legacy.prefix}.11", port) == "eks"

    await pair.eventually(answers, "the mirror answers")

    def told(state: dict[str, Any]) -> bool:
        link = state["duties"]["links"]["eks"]
        return bool(link["alive"] and link["ready"] == 1 and 0 < link["latency_ms"]["p50"] < 2000)

    await pair.leader.until(told, "the leader says how fast the gateway answers")


async def test_a_leaf_without_endpoints_makes_its_mirror_unready(pair: Pair) -> None:
    """waypoint.md 13.6: a green gateway hid an empty leaf."""
    await pair.ready(is_ready=True)
    await pair.eks.slice("web-leaf")
    await pair.ready(is_ready=False, within=20)
    await pair.leader.until(lambda s: s["duties"]["links"]["eks"]["alive"], "the gateway itself still answers")
    await pair.eks.slice("web-leaf", f"{pair.eks.prefix}.103")
    await pair.ready(is_ready=True)


async def test_a_dead_remote_shows_within_ten_seconds_and_a_new_leader_does_not_revive_it(pair: Pair) -> None:
    """waypoint.md 10 and linkerd.md 1.16 point 8: a restart made dead mirrors ready again."""
    await pair.ready(is_ready=True)
    gateway, leader = pair.gateway, pair.leader
    assert gateway.envoy is not None
    assert leader.agent is not None
    gateway.envoy.kill()
    await pair.ready(is_ready=False, within=10)
    before = [item["metadata"]["resourceVersion"] for item in await pair.legacy.slices("web-eks")]
    leader.agent.kill()
    await leader.agent.wait()
    await leader.start_agent()
    await leader.until(lambda s: s["leading"] and s["duties"]["remotes"].get("eks") == "followed", "it leads again")
    assert [item["metadata"]["resourceVersion"] for item in await pair.legacy.slices("web-eks")] == before
    await gateway.start_envoy()
    await pair.ready(is_ready=True)


async def test_certificates_are_renewed_by_the_leader(pair: Pair) -> None:
    """Half of its life over: issued anew; the other cluster's authorities come from the link."""
    mine, theirs = pair.authorities["legacy"], pair.authorities["eks"]
    space = pair.legacy.namespace
    who = identity.spiffe("legacy", space, names.WAYPOINT)
    old = identity.issue(mine, who, now=CLOCK.now() - 50_000)
    await pair.secret(pair.legacy, names.TLS, dict(identity.tls_files(old, [b""])), space)

    async def renewed() -> Manifest | None:
        secret = await pair.legacy.k8s.get(SECRET, names.TLS, space)
        return secret if base64.b64decode(secret["data"]["tls.crt"]) != old.certificate else None

    secret = await pair.eventually(renewed, "the certificate is renewed")
    data = {key: base64.b64decode(value) for key, value in secret["data"].items()}
    assert identity.issued_by(data["tls.crt"], mine.certificate)
    assert identity.identities(data["tls.crt"]) == (who,)
    assert data["ca.crt"] == identity.bundle(theirs.trusted)
    assert not identity.renewal_due(data["tls.crt"], now=CLOCK.now())


async def test_what_is_no_longer_exported_loses_its_mirror_unless_traffic_goes_there(pair: Pair) -> None:
    await pair.ready(is_ready=True)
    await pair.legacy.adopted("web")
    await pair.legacy.split("web", {"web-leaf": 50, "web-eks": 50})
    unexport = {"metadata": {"labels": {names.EXPORTED: None}}}
    await pair.eks.k8s.patch(SERVICE, "web", unexport, pair.eks.namespace)
    leader = pair.leader
    key = f"{pair.legacy.namespace}/web-eks"
    await leader.until(lambda s: "split" in s["duties"]["skipped"].get(key, ""), "it is kept for the split's sake")
    await pair.legacy.split("web", {"web-leaf": 100, "web-eks": 0})

    async def gone() -> bool:
        return await pair.legacy.k8s.find(SERVICE, "web-eks", pair.legacy.namespace) is None

    await pair.eventually(gone, "the mirror is gone")
