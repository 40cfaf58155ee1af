"""The gateway and the other API server fail, move and come back: what mirrors say meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import pytest_asyncio
import yaml

from landbridge.agent import names
from landbridge.clients.kinds import Kind
from landbridge.clients.kubernetes import SERVICE
from landbridge.connect import identity
from landbridge.envoy.names import CLUSTERS_FILE
from landbridge.lab import ApiServer
from tests.agent.bed import CLOCK, ask
from tests.agent.cut import Line
from tests.envoy.decoded import resources
from tests.linkerd_cases.joined import LENGTHS, Joined, join

pytestmark = pytest.mark.asyncio(loop_scope="module")
Servers = tuple[ApiServer, ApiServer]
NOTICED = 10.0  # seconds until a dead gateway shows, also when packets are swallowed
ACCOUNT = Kind("v1", "ServiceAccount", "serviceaccounts")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def joined(api_pair: Servers, prefix: str) -> AsyncIterator[Joined]:
    async with join(api_pair, prefix) as found:
        yield found


def dialled(joined: Joined) -> set[str]:
    """The gateway addresses that the waypoint's Envoy has for `web-eks`."""
    content = (joined.seats[-1].envoy_dir / CLUSTERS_FILE).read_bytes()
    return {
        host["endpoint"]["address"]["socket_address"]["address"]
        for cluster in resources(content)
        if cluster["name"].endswith("/web-eks/80|web-eks")
        for locality in cluster["load_assignment"]["endpoints"]
        for host in locality["lb_endpoints"]
    }


async def dials(joined: Joined, *addresses: str) -> None:
    async def check() -> bool:
        return dialled(joined) == set(addresses)

    await joined.eventually(check, f"the waypoint dials {addresses}", 30)


async def test_a01_a02_a07_the_gateways_name_changes_grows_and_fails_without_a_restart(joined: Joined) -> None:
    prefix = joined.eks.prefix
    await joined.ready(is_ready=True)
    before = joined.leader.agent, joined.seats[-1].agent
    await dials(joined, f"{prefix}.30")
    joined.name_gateway(f"{prefix}.30", f"{prefix}.201", f"{prefix}.202")
    await dials(joined, f"{prefix}.30", f"{prefix}.201", f"{prefix}.202")
    joined.name_gateway()
    await joined.leader.until(lambda s: "cannot be resolved" in str(s["duties"]["names"]), "the failure is told")
    assert f"{prefix}.30" in dialled(joined), "a failure keeps the last addresses"
    await joined.export("during")
    await joined.mirror("during-eks")
    await joined.ready("during-eks", is_ready=True)
    joined.name_gateway(f"{prefix}.30")
    await dials(joined, f"{prefix}.30")
    await joined.leader.until(lambda s: s["duties"]["names"] == {}, "and it recovers by itself")
    assert (joined.leader.agent, joined.seats[-1].agent) == before


async def test_u12_u13_a20_a_dead_gateway_shows_in_time_and_a_restart_revives_nothing(joined: Joined) -> None:
    await joined.ready(is_ready=True)
    assert joined.gateway.envoy is not None
    joined.gateway.envoy.kill()
    await joined.ready(is_ready=False, within=NOTICED)
    await joined.eks.k8s.patch(SERVICE, "web", {"metadata": {"labels": {"new": "1"}}}, joined.eks.namespace)
    await joined.export("born")

    async def labelled() -> bool:
        return names.label(await joined.legacy.get_service("web-eks"), "new") == "1"

    await joined.eventually(labelled, "the label arrives while the gateway is down")
    await joined.mirror("born-eks")
    await joined.ready("born-eks", is_ready=False)
    before = await joined.settled()
    await joined.restart_leader()
    assert await joined.versions() == before, "a new leader makes nothing ready by arriving"
    await joined.gateway.start_envoy()
    await joined.ready(is_ready=True)
    await joined.ready("born-eks", is_ready=True)


async def test_a18_a_gateway_behind_another_port_works_and_one_that_swallows_packets_is_noticed(joined: Joined) -> None:
    """A node port differs from the Service's port; linkerd2 took up to 100 s to notice a black hole."""
    door = Line(f"{joined.eks.prefix}.30", 15443)
    await door.open()
    try:
        await joined.relink(f"127.0.0.1:{door.port}")
        await joined.ready(is_ready=True)
        (item,) = [found for found in await joined.legacy.slices("web-eks") if names.ours(found)]

        async def answers() -> bool:
            return await ask(f"{joined.legacy.prefix}.11", int(item["ports"][0]["port"])) == "eks-103"

        await joined.eventually(answers, "requests pass by the other port")
        door.swallow()
        await joined.ready(is_ready=False, within=NOTICED)
        door.flow()
        await joined.ready(is_ready=True)
    finally:
        await joined.relink()
        await door.cut()
    await joined.ready(is_ready=True)


@pytest.mark.parametrize("away", LENGTHS)
async def test_a03_mirrors_go_on_while_the_other_api_server_is_away_and_catch_up(joined: Joined, away: float) -> None:
    await joined.ready(is_ready=True)
    before = await joined.settled()
    await joined.line.cut()
    until = CLOCK.monotonic() + away
    missed = f"missed-{away:.0f}"
    await joined.export(missed)
    await joined.leader.until(lambda s: s["duties"]["remotes"]["eks"] != "followed", "the outage is told", 30)

    async def as_they_were() -> bool:
        assert await joined.versions() == before, "no flapping"
        return CLOCK.monotonic() > until

    await joined.eventually(as_they_were, "the outage is over", away + 30)
    await joined.ready(is_ready=True, within=1)
    await joined.line.open()
    await joined.mirror(f"{missed}-eks")
    after = await joined.versions()
    assert {key: after[key] for key in before} == before


async def test_a13_m03_a_revoked_token_is_shown_and_a_new_one_goes_on(joined: Joined) -> None:
    space, k8s = joined.eks.namespace, joined.eks.k8s
    await k8s.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "link", "namespace": space}})
    subject = {"kind": "ServiceAccount", "name": "link", "namespace": space}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"link-{space}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [subject],
    }
    await k8s.create(binding)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    path = f"/api/v1/namespaces/{space}/serviceaccounts/link/token"
    token = (await k8s.request("POST", path, content=request)).json()["status"]["token"]
    document = yaml.safe_load(joined.through.read_text())
    document["users"][0]["user"] = {"token": token}
    await joined.link(kubeconfig=yaml.safe_dump(document).encode())
    await joined.export("by-token")
    await joined.served("by-token")
    await joined.ready("by-token-eks", is_ready=True)
    before = await joined.settled()
    await k8s.delete(ACCOUNT, "link", space)
    said = "does not know our credentials"
    await joined.leader.until(lambda s: said in s["duties"]["remotes"].get("eks", ""), "it is shown", 60)
    assert await joined.versions() == before, "mirrors stay"
    await joined.link()
    await joined.leader.until(lambda s: s["duties"]["remotes"].get("eks") == "followed", "a new token goes on")


async def test_a17_a_gateway_with_another_authority_is_told_by_who_dialled_it(joined: Joined) -> None:
    """linkerd2#11668: the check read Helm values, not the live authority."""
    await joined.ready(is_ready=True)
    trusted: Path = joined.leader.tls_dir / "ca.crt"
    right = trusted.read_bytes()
    other = identity.make_authority("eks", now=CLOCK.now())
    trusted.write_bytes(other.trusted)
    try:
        await joined.ready(is_ready=False, within=20)
        told = (await joined.leader.get("/state"))["duties"]["links"]["eks"]["problem"]
        assert "certificate verify failed" in told.lower()
    finally:
        trusted.write_bytes(right)
    await joined.ready(is_ready=True)


async def test_a09_flips_forward_and_back_under_load_lose_nothing(joined: Joined) -> None:
    """Both sides' splits may point at each other: a gateway forwards to the leaf, so there is no loop and no 508."""
    legacy = joined.legacy
    await legacy.adopted("web")
    await legacy.slice("web-leaf", f"{legacy.prefix}.104")
    await legacy.split("web", {"web-leaf": 100, "web-eks": 0})

    async def pointed() -> int | None:
        found = [item for item in await legacy.slices("web") if names.ours(item)]
        return int(found[0]["ports"][0]["port"]) if found else None

    port = await joined.eventually(pointed, "web is adopted")
    seen: dict[str, int] = {}
    done = asyncio.Event()

    async def load(http: httpx2.AsyncClient) -> None:
        while not done.is_set():
            answer = await http.get(f"http://{legacy.prefix}.11:{port}/")
            who = answer.headers.get("x-served-by") or str(answer.status_code)
            seen[who] = seen.get(who, 0) + 1

    async with httpx2.AsyncClient(trust_env=False, timeout=10) as http, asyncio.TaskGroup() as group:
        group.create_task(load(http))
        for weight in (5, 50, 100, 50, 0, 100, 0):
            at = dict(seen)
            await legacy.split("web", {"web-leaf": 100 - weight, "web-eks": weight})

            async def more(at: dict[str, int] = at) -> bool:
                return sum(seen.values()) > sum(at.values()) + 20

            await joined.eventually(more, "twenty requests more")
        done.set()
    assert set(seen) == {"eks-103", "eks-104"}, f"nothing but answers of the two sides: {seen}"
