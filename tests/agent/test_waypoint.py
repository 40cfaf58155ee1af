"""A waypoint's agent as a process, beside a real Envoy, at a real API server."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from landbridge.agent import names
from landbridge.clients.kubernetes import LEASE, TRAFFICSPLIT, Kubernetes
from landbridge.clock import wait_for
from landbridge.lab import ApiServer
from tests.agent.bed import CLOCK, Bed, Seat, ask, http_backend
from tests.agent.cut import Line, line

pytestmark = pytest.mark.asyncio(loop_scope="module")
LISTEN = 20000


class Shop:
    """One adopted Service with an old and a new side, and one waypoint at the end of a line that can be cut."""

    def __init__(self, bed: Bed, seat: Seat, way: Line) -> None:
        self.bed, self.seat, self.line = bed, seat, way
        self.key = f"{bed.namespace}/web"

    async def obeys(self, weights: dict[str, int], within: float = 60) -> dict[str, Any]:
        def check(state: dict[str, Any]) -> bool:
            return bool(state["acknowledged"]) and state["splits"].get(self.key, {}).get("weights") == {"*": weights}

        return await self.seat.until(check, f"weights {weights}", within)

    async def served_by(self) -> str:
        return await ask(self.seat.address, LISTEN)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(api: ApiServer, prefix: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """One for all tests of this file, which leave it obeying its API server."""
    async with AsyncExitStack() as stack:
        k8s = await stack.enter_async_context(Kubernetes.connect(api.kubeconfig, name=api.name))
        bed = await stack.enter_async_context(Bed(k8s, api.kubeconfig, prefix))
        for number, name in ((101, "old"), (102, "new")):
            await stack.enter_async_context(http_backend(f"{bed.prefix}.{number}", 8080, name))
        way, bed.kubeconfig = await stack.enter_async_context(line(api.kubeconfig, tmp_path_factory.mktemp("line")))
        await bed.adopted("web")
        await bed.service("web-two")
        await bed.slice("web-leaf", f"{bed.prefix}.101")
        await bed.slice("web-two", f"{bed.prefix}.102")
        record = {"web.80.tcp": f'{{"listen": {LISTEN}, "protocol": "http"}}'}
        meta = {"name": names.PORT_RECORD, "namespace": bed.namespace}
        await bed.k8s.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": record})
        seat = await bed.seat("waypoint", 11)
        seat.supervised = True
        await seat.start_envoy()
        assert not await seat.is_ready(), "waypoint.md 7: an Envoy with nothing but its seed is not ready"
        await seat.start_agent()
        shop = Shop(bed, seat, way)
        await shop.obeys({"web-leaf": 100})
        assert await seat.is_ready()
        yield shop


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def afresh(shop: Shop) -> None:
    await shop.bed.k8s.delete(TRAFFICSPLIT, "web", shop.bed.namespace)
    await shop.obeys({"web-leaf": 100})


async def test_a_split_is_obeyed_and_counted(shop: Shop) -> None:
    assert await shop.served_by() == "old"
    before = (await shop.seat.get("/counters"))["routes"][f"{shop.key}/80"]["backends"]["web-leaf"]["total"]
    await shop.bed.split("web", {"web-leaf": 0, "web-two": 100})
    await shop.obeys({"web-leaf": 0, "web-two": 100}, within=3)
    assert await shop.served_by() == "new"
    counters = await shop.seat.get("/counters")
    route = counters["routes"][f"{shop.key}/80"]
    assert {name: found["total"] for name, found in route["backends"].items()} == {"web-leaf": before, "web-two": 1}
    assert route["weights"] == {"web-leaf": 0, "web-two": 100}
    assert counters["pod"] == shop.seat.uid
    assert 0 < counters["at"] - counters["envoy_start"] < 120
    assert counters["watch_age"] < 10


async def test_the_agents_death_changes_nothing_and_it_comes_back(shop: Shop) -> None:
    """waypoint.md 13.4: the agent runs under a supervisor, and readiness is Envoy's."""
    await shop.bed.split("web", {"web-leaf": 0, "web-two": 100})
    await shop.obeys({"web-leaf": 0, "web-two": 100})
    assert shop.seat.agent is not None
    parent = shop.seat.agent.pid
    child = int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[0])
    os.kill(child, signal.SIGKILL)
    assert await shop.seat.is_ready()
    assert await shop.served_by() == "new"
    await shop.bed.split("web", {"web-leaf": 100, "web-two": 0})
    await shop.obeys({"web-leaf": 100, "web-two": 0})
    assert shop.seat.agent.returncode is None
    assert await shop.seat.is_ready()


async def test_cut_off_it_holds_and_says_so_and_obeys_again_at_once(shop: Shop) -> None:
    """waypoint.md 13.10 and 11: last weights, the watch's age, no expiry; back, it obeys."""
    terms = {names.RUN_LEASE: "cut-off", names.ON_EXPIRY: "home", names.HOME: "web-leaf"}
    await lease(shop.bed, "cut-off", seconds=3)
    await shop.bed.split("web", {"web-leaf": 20, "web-two": 80}, terms)
    await shop.seat.until(lambda s: "cut-off" in s["leases"], "the lease is watched")
    await shop.line.cut()
    state = await shop.seat.until(lambda s: s["watch_age"] > 5, "the watch is old")
    assert state["splits"][shop.key]["weights"] == {"*": {"web-leaf": 20, "web-two": 80}}, "3 s have gone by unseen"
    assert state["leases"]["cut-off"]["expired"] is False
    assert await shop.seat.is_ready()
    await shop.bed.split("web", {"web-leaf": 0, "web-two": 100})
    await shop.line.open()
    await shop.obeys({"web-leaf": 0, "web-two": 100}, within=3)


async def test_a_connection_that_swallows_everything_is_noticed(shop: Shop) -> None:
    """waypoint.md 13.10: a watch without a deadline was stale for ever."""
    await shop.bed.split("web", {"web-leaf": 50, "web-two": 50})
    await shop.obeys({"web-leaf": 50, "web-two": 50})
    shop.line.swallow()
    await shop.bed.split("web", {"web-leaf": 100, "web-two": 0})
    await shop.seat.until(lambda s: s["watch_age"] > 6, "the watch is old")
    shop.line.flow()
    await shop.obeys({"web-leaf": 100, "web-two": 0}, within=12)


async def test_a_dead_runner_takes_traffic_home_and_a_live_one_has_it_back(shop: Shop) -> None:
    """Law 11, end to end: the Lease stands still for its duration on a live API server."""
    terms = {names.RUN_LEASE: "dies", names.ON_EXPIRY: "home", names.HOME: "web-leaf"}
    await lease(shop.bed, "dies", seconds=3)
    await shop.bed.split("web", {"web-leaf": 20, "web-two": 80}, terms)
    await shop.obeys({"web-leaf": 20, "web-two": 80})
    state = await shop.obeys({"web-leaf": 100}, within=12)
    assert state["splits"][shop.key]["reason"] == "home"
    assert await shop.served_by() == "old"
    await shop.bed.k8s.patch(LEASE, "dies", {"spec": {"holderIdentity": "run-2"}}, names.NAMESPACE)
    await shop.obeys({"web-leaf": 20, "web-two": 80})


async def test_nonsense_in_a_split_is_held_and_reported(shop: Shop) -> None:
    await shop.bed.split("web", {"web-leaf": 40, "web-two": 60})
    await shop.obeys({"web-leaf": 40, "web-two": 60})
    await shop.bed.split("web", {"web-leaf": 50, "web-tow": 50})
    state = await shop.seat.until(lambda s: s["splits"][shop.key]["reason"] == "held", "held")
    assert "web-tow" in state["splits"][shop.key]["problem"]
    assert state["splits"][shop.key]["weights"] == {"*": {"web-leaf": 40, "web-two": 60}}


async def test_an_envoy_that_restarts_goes_on_with_the_last_files(shop: Shop) -> None:
    await shop.bed.split("web", {"web-leaf": 0, "web-two": 100})
    await shop.obeys({"web-leaf": 0, "web-two": 100})
    await shop.line.cut()
    assert shop.seat.envoy is not None
    shop.seat.envoy.kill()
    await shop.seat.envoy.wait()
    await shop.seat.start_envoy()

    async def serves() -> bool:
        return await shop.seat.is_ready() and await shop.served_by() == "new"

    await wait_for(serves, what="the restarted Envoy serves", within=10, clock=CLOCK)
    await shop.line.open()


async def lease(bed: Bed, name: str, *, seconds: int) -> None:
    """A run lease that nobody renews."""
    spec = {"holderIdentity": "run-1", "leaseDurationSeconds": seconds, "leaseTransitions": 0}
    meta = {"name": name, "namespace": names.NAMESPACE}
    if await bed.k8s.find(LEASE, name, names.NAMESPACE) is None:
        await bed.k8s.create({"apiVersion": LEASE.api_version, "kind": "Lease", "metadata": meta, "spec": spec})
