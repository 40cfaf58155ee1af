"""Whom an agent lets in: what it makes of its objects, and as a process with exactly its rights at an API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from landbridge.agent import names
from landbridge.agent.callers import behind, gateway_address, selecting, target_port
from landbridge.agent.desired import World
from landbridge.agent.ports import Allocation
from landbridge.clients.kubernetes import NAMESPACE, NETWORKPOLICY, POD, SERVICE, SERVICEACCOUNT, Kubernetes
from landbridge.clock import wait_for
from landbridge.connect import roles
from landbridge.lab import ApiServer
from landbridge.model.service import Manifest, Protocol
from landbridge.translate.callers import Called, Pod, entries, written
from tests.agent.bed import CLOCK, Bed, Seat, http_backend
from tests.agent.objects import leaf, mirror, service

LISTEN = 20000
WEB = Called(labels={"app": "web", "track": "a"})


def allocation(name: str = "web", port: int = 80) -> Allocation:
    return Allocation(service=name, port=port, transport="TCP", listen=LISTEN, protocol=Protocol.HTTP)


def world(*services: Manifest) -> World:
    return World.of("shop", services, ())


def test_a_port_stands_for_the_pods_of_the_leaf_and_a_mirrors_for_those_of_the_same_service_here() -> None:
    adopted = world(
        service("web"), leaf("web"), mirror("web"), service("cart", selector={"app": "cart"}), mirror("cart")
    )
    assert selecting(adopted, "web") == selecting(adopted, "web-eks") == leaf("web")
    assert selecting(adopted, "cart-eks") == service("cart", selector={"app": "cart"})
    assert selecting(world(mirror("web")), "web-eks") is None


def test_pods_that_live_count_and_what_the_plan_knew_where_none_does() -> None:
    pods = [Pod(called=WEB, addresses=("10.0.0.1",)), Pod(called=Called(labels={"app": "cart"}), addresses=())]
    told = leaf("web")
    told["metadata"]["annotations"][names.PODS] = written(entries([Called(labels={"app": "web", "tier": "x"})]))
    assert behind(told, pods) == (WEB,)
    assert behind(told, pods[1:]) == (Called(labels={"app": "web", "tier": "x"}),)
    assert behind(leaf("web"), ()) == (Called(labels={"app": "web"}),)
    assert behind(None, pods) == (Called(labels={}),)


@pytest.mark.parametrize(("target", "found"), [(8080, 8080), ("http", "http"), (None, 80)])
def test_policies_know_a_port_as_pods_do(target: Any, found: Any) -> None:
    port = {"name": "web", "port": 80, "protocol": "TCP"} | ({"targetPort": target} if target else {})
    assert target_port(leaf("web", ports=[port]), allocation()) == found
    assert target_port(None, allocation()) == 80


def test_a_pods_node_speaks_to_it_from_the_bridge(tmp_path: Path) -> None:
    table = tmp_path / "route"
    head = "Iface\tDestination\tGateway\tFlags\n"
    table.write_text(f"{head}eth0\t00000000\t0101F40A\t0003\neth0\t0000F40A\t00000000\t0001\n")
    assert gateway_address(table) == ["10.244.1.1"]
    table.write_text(head)
    assert gateway_address(table) == gateway_address(tmp_path / "absent") == []


class Shop:
    """One adopted Service behind a waypoint that keeps policies, with an account that has a waypoint's rights."""

    def __init__(self, bed: Bed, seat: Seat) -> None:
        self.bed, self.seat = bed, seat

    def address(self, number: int) -> str:
        return f"{self.bed.prefix}.{number}"

    async def hears(self, number: int) -> bool:
        """Whether a caller at this address is answered."""
        reader, writer = await asyncio.open_connection(self.seat.address, LISTEN, local_addr=(self.address(number), 0))
        try:
            async with asyncio.timeout(10):
                writer.write(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                return b"200" in await reader.readline()
        except ConnectionError:
            return False
        finally:
            writer.close()

    async def until(self, *heard: int, closed: tuple[int, ...] = ()) -> None:
        """Wait until exactly these callers are answered and those are not."""

        async def check() -> bool:
            open_ = [await self.hears(number) for number in heard]
            shut = [not await self.hears(number) for number in closed]
            return all(open_) and all(shut)

        await wait_for(check, what=f"{heard} are answered, {closed} are not", within=30, clock=CLOCK, every=0.05)

    async def pod(self, name: str, number: int, namespace: str = "", **labels: str) -> None:
        space = namespace or self.bed.namespace
        spec = {"containers": [{"name": "main", "image": "x"}]}
        meta = {"name": name, "namespace": space, "labels": labels}
        await self.bed.k8s.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        status = {"phase": "Running", "podIP": self.address(number), "podIPs": [{"ip": self.address(number)}]}
        status |= {"hostIP": "192.0.2.9"}
        await self.bed.k8s.patch(POD, name, {"status": status}, space, subresource="status")

    async def policy(self, *rules: dict[str, Any], name: str = "web") -> None:
        """A policy for the Service's pods; it replaces the one before."""
        spec = {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": list(rules)}
        meta = {"name": name, "namespace": self.bed.namespace}
        await self.bed.k8s.apply(
            {"apiVersion": NETWORKPOLICY.api_version, "kind": "NetworkPolicy", "metadata": meta, "spec": spec}
        )


async def account(bed: Bed, folder: Path) -> Path:
    """A kubeconfig of the waypoint's own account."""
    meta = {"name": names.WAYPOINT, "namespace": bed.namespace}
    await bed.k8s.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    await grant(bed, enforce=True)
    ask = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    path = SERVICEACCOUNT.path(bed.namespace, names.WAYPOINT, "token")
    token = (await bed.k8s.request("POST", path, content=ask)).json()["status"]["token"]
    config = yaml.safe_load(bed.kubeconfig.read_text())
    config["users"] = [{"name": entry["name"], "user": {"token": token}} for entry in config["users"]]
    kubeconfig = folder / "waypoint.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(config))
    return kubeconfig


async def grant(bed: Bed, *, enforce: bool) -> None:
    """The roles that `connect` makes, or those without policies."""
    for item in roles.for_waypoint(bed.namespace, enforce=True):
        await bed.k8s.delete(
            await bed.k8s.kind_of(item), item["metadata"]["name"], item["metadata"].get("namespace", "")
        )
    for item in roles.for_waypoint(bed.namespace, enforce=enforce):
        await bed.k8s.create(item)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(api: ApiServer, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        k8s = await stack.enter_async_context(Kubernetes.connect(api.kubeconfig, name=api.name))
        bed = await stack.enter_async_context(Bed(k8s, api.kubeconfig, prefix))
        await stack.enter_async_context(http_backend(f"{bed.prefix}.101", 8080, "web"))
        bed.kubeconfig = await account(bed, tmp_path_factory.mktemp("account"))
        await bed.adopted("web")
        await bed.slice("web-leaf", f"{bed.prefix}.101")
        record = {"web.80.tcp": f'{{"listen": {LISTEN}, "protocol": "http"}}'}
        meta = {"name": names.PORT_RECORD, "namespace": bed.namespace}
        await bed.k8s.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": record})
        seat = await bed.seat("waypoint", 12)
        seat.policies = "enforce"
        shop = Shop(bed, seat)
        await shop.pod("web-1", 101, app="web")
        await seat.start_envoy()
        await seat.start_agent()
        await seat.until(lambda state: state["acknowledged"], "the first state is obeyed")
        yield shop


@pytest.mark.asyncio(loop_scope="module")
async def test_policies_and_pods_are_followed_as_they_change(shop: Shop) -> None:
    await shop.until(31, 32)  # no policy, everybody
    await shop.policy()
    await shop.until(closed=(31, 32))
    await shop.policy({"from": [{"podSelector": {"matchLabels": {"app": "job"}}}], "ports": [{"port": 8080}]})
    await shop.pod("job-1", 31, app="job")
    await shop.until(31, closed=(32,))
    await shop.pod("job-2", 32, app="job")
    await shop.until(31, 32)
    await shop.bed.k8s.delete(POD, "job-1", shop.bed.namespace)
    await shop.until(32, closed=(31,))


@pytest.mark.asyncio(loop_scope="module")
async def test_pods_of_other_namespaces_come_in_when_a_rule_selects_their_namespace(shop: Shop) -> None:
    other = f"{shop.bed.namespace}-other"
    await shop.bed.k8s.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": other}})
    await shop.pod("far", 33, other, app="far")
    await shop.policy({"from": [{"namespaceSelector": {"matchLabels": {"team": "far"}}}]})
    await shop.until(closed=(32, 33))
    await shop.bed.k8s.patch(NAMESPACE, other, {"metadata": {"labels": {"team": "far"}}})
    await shop.until(33, closed=(32,))
    await shop.bed.k8s.patch(NAMESPACE, other, {"metadata": {"labels": {"team": None}}})
    await shop.until(closed=(32, 33))


@pytest.mark.asyncio(loop_scope="module")
async def test_blocks_of_addresses_and_their_exceptions(shop: Shop) -> None:
    block = {"cidr": f"{shop.bed.prefix}.0/24", "except": [f"{shop.bed.prefix}.40/32"]}
    await shop.policy({"from": [{"ipBlock": block}]})
    await shop.until(41, 39, closed=(40,))
    await shop.policy({"from": [{"ipBlock": block}], "ports": [{"port": 9999}]})
    await shop.until(closed=(39, 40, 41))


@pytest.mark.asyncio(loop_scope="module")
async def test_what_the_leaf_says_of_its_pods_holds_while_none_runs(shop: Shop) -> None:
    """On the target before the copy, on the source after it has shrunk."""
    selecting = {"podSelector": {"matchLabels": {"tier": "front"}}, "policyTypes": ["Ingress"], "ingress": []}
    meta = {"name": "front", "namespace": shop.bed.namespace}
    await shop.bed.k8s.create(
        {"apiVersion": NETWORKPOLICY.api_version, "kind": "NetworkPolicy", "metadata": meta, "spec": selecting}
    )
    await shop.bed.k8s.delete(NETWORKPOLICY, "web", shop.bed.namespace)
    await shop.until(50)
    told = {names.PODS: written(entries([Called(labels={"app": "web", "tier": "front"})]))}
    await shop.bed.k8s.patch(SERVICE, "web-leaf", {"metadata": {"annotations": told}}, shop.bed.namespace)
    await shop.bed.k8s.delete(POD, "web-1", shop.bed.namespace)
    await shop.until(closed=(50,))
    await shop.pod("web-1", 101, app="web")
    await shop.until(50)
    await shop.bed.k8s.delete(NETWORKPOLICY, "front", shop.bed.namespace)


@pytest.mark.asyncio(loop_scope="module")
async def test_the_last_rules_stay_when_policies_cannot_be_read_any_more(shop: Shop) -> None:
    """Also over the agent's own restart, and weights are obeyed all the same."""
    await shop.policy({"from": [{"ipBlock": {"cidr": f"{shop.address(60)}/32"}}]})
    await shop.until(60, closed=(61,))
    await grant(shop.bed, enforce=False)
    assert shop.seat.agent is not None
    shop.seat.agent.kill()
    await shop.seat.agent.wait()
    await shop.bed.service("web-two")
    await shop.bed.split("web", {"web-leaf": 60, "web-two": 40})
    await shop.seat.start_agent()
    key = f"{shop.bed.namespace}/web"
    state = await shop.seat.until(
        lambda s: (
            s["acknowledged"] and s["splits"].get(key, {}).get("weights") == {"*": {"web-leaf": 60, "web-two": 40}}
        ),
        "the new weights are obeyed",
    )
    assert any("networkpolicies" in problem for problem in state["problems"])
    await shop.until(60, closed=(61,))
    await grant(shop.bed, enforce=True)
    await shop.policy({"from": [{"ipBlock": {"cidr": f"{shop.address(61)}/32"}}]})
    await shop.until(61, closed=(60,))
