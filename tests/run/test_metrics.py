"""Whole runs over two real API servers whose traffic is counted, and guarded, by a real Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from landbridge.clock import SystemClock, wait_for
from landbridge.model.journal import Phase
from landbridge.model.look import Count, Cursor, Look, Reading
from landbridge.model.plan import Plan
from landbridge.model.service import Route, ServiceId, Side
from landbridge.observe.guards import Guards
from landbridge.observe.planes import LINKERD
from landbridge.observe.prometheus import PrometheusProvider
from landbridge.observe.provider import MetricsProvider
from landbridge.observe.samples import Rules
from landbridge.run.journal import Journal
from landbridge.run.runner import Summary, run
from landbridge.run.status import read_status
from landbridge.settings.judging import Breach, Guard
from tests.observe.server import Server, prometheus
from tests.run.conftest import Pair
from tests.run.test_runner import plan_of
from tests.run.traffic import Traffic

pytestmark = pytest.mark.api
CLOCK = SystemClock()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    async with prometheus(folder) as found:
        yield found


async def callers(server: Server, pair: Pair, services: Mapping[ServiceId, float]) -> None:
    """What meshed callers in both clusters would count: traffic that divides as the live splits say."""
    made = Traffic(pair.source, pair.target, CLOCK, requests=1000, bad=dict(services))
    while True:
        for service in services:
            with suppress(Exception):  # no split yet
                reading = (await made.read([Route(service=service, switches=())], {})).readings[service]
                for cluster, sides in reading.counts.items() if isinstance(reading, Reading) else ():
                    for side, count in sides.items():
                        own = (cluster == "legacy") is (side is Side.SOURCE)
                        backend = f"{service.name}-leaf" if own else f"{service.name}-{_other(cluster)}"
                        for what, n in (("success", count.n - count.bad), ("failure", count.bad)):
                            server.page.add(_series(cluster, service.namespace, backend, what), n)
        await CLOCK.sleep(0.5)


def _other(cluster: str) -> str:
    return "eks" if cluster == "legacy" else "legacy"


def _series(cluster: str, namespace: str, backend: str, what: str) -> str:
    labels = {"cluster": cluster, "dst_namespace": namespace, "dst_service": backend, "classification": what}
    return 'response_total{direction="outbound",' + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}"


@asynccontextmanager
async def beside(work: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def carry(
    pair: Pair, folder: Path, plan: Plan, provider: MetricsProvider, guards: Guards | None = None
) -> Summary:
    return await run(folder, lambda: plan, pair.source, pair.target, provider=provider, guards=guards, clock=CLOCK)


async def test_services_move_and_come_home_by_what_prometheus_has_counted(
    pair: Pair, server: Server, tmp_path: Path
) -> None:
    pay, web = await pair.service("pay"), await pair.service("web")
    names = {Side.SOURCE: "legacy", Side.TARGET: "eks"}
    provider = PrometheusProvider(
        dict.fromkeys(Side, server.client),
        names,
        CLOCK,
        rules=Rules(plane=LINKERD, silence=30.0),
        matchers={side: {"cluster": name} for side, name in names.items()},
        every=1.0,
    )
    plan = plan_of(pay, web, weights=(5, 95, 100), dwell=6.0)
    async with beside(asyncio.create_task(callers(server, pair, {pay: 0.2, web: 0.0}))):
        summary = await carry(pair, tmp_path, replace(plan, bounds=replace(plan.bounds, max_hold_dwells=30)), provider)
    assert summary.rolled_back == (pay,)
    assert await pair.weights("pay") == (0, 0)
    assert summary.states[web].phase is Phase.DONE
    with Journal(tmp_path / ".landbridge" / "journal.db") as book:
        looks = [look for look in book.looks(pay) if look["weight"] == 5]
    assert any("legacy" in look["counts"] for look in looks)
    assert "requests failed on the target" in looks[-1]["reason"]


class Lagging(Traffic):
    """Counts that lag behind by two looks after each change of weight: what they hold until then is from before."""

    weight = 0
    old = 0

    async def read(self, routes: Sequence[Route], cursor: Cursor) -> Look:
        look = await super().read(routes, cursor)
        (service,) = look.readings
        reading = look.readings[service]
        assert isinstance(reading, Reading)
        weight = reading.weights["waypoint-legacy"]
        self.old = 0 if weight != self.weight else self.old + 1
        self.weight = weight
        if not weight or self.old >= 2:
            return replace(look, readings={service: replace(reading, until=look.at)})
        failed = {side: Count(n=500, bad=500 if side is Side.TARGET else 0) for side in Side}
        return replace(look, readings={service: replace(reading, counts={"legacy": failed}, until=look.at - 60.0)})


async def test_what_is_older_than_a_weight_is_not_judged_at_it(pair: Pair, tmp_path: Path) -> None:
    web = await pair.service("web")
    plan = plan_of(web, weights=(5, 50, 100), dwell=6.0)
    summary = await carry(pair, tmp_path, plan, Lagging(pair.source, pair.target, CLOCK))
    assert not summary.rolled_back
    assert summary.states[web].phase is Phase.DONE


async def test_a_breach_holds_what_the_guard_names_says_so_and_lets_go(
    pair: Pair, server: Server, tmp_path: Path
) -> None:
    web = await pair.service("web")
    server.page.values["orders"] = 1.0
    guard = Guard(query="orders", min=2, services=(f"{pair.namespace}/*",), every=1)
    guards = Guards({"orders": guard}, {Side.TARGET: server.client}, CLOCK)
    plan = plan_of(web, weights=(5, 100), dwell=8.0)
    plan = replace(plan, bounds=replace(plan.bounds, max_hold_dwells=100))
    traffic = Traffic(pair.source, pair.target, CLOCK)
    task = asyncio.create_task(carry(pair, tmp_path, plan, traffic, guards))

    async def stands() -> bool:
        with suppress(Exception), Journal(tmp_path / ".landbridge" / "journal.db") as book:
            found = read_status(book, plan, CLOCK.now())
            text = f"guard orders: 1 is below 2; holds {pair.namespace}/*"
            return found.guards == (text,) and bool(traffic.looks)
        return False

    async def at_five() -> bool:
        return await pair.weights("web") == (5, 5)

    async def held() -> bool:
        with Journal(tmp_path / ".landbridge" / "journal.db") as book:
            row = read_status(book, plan, CLOCK.now()).rows[0]
        return row.reason == "hold, guard orders: 1 is below 2"

    await wait_for(stands, what="status says what stands", within=40, clock=CLOCK)
    assert await pair.weights("web") == (0, 0)  # not even the first weight
    server.page.values["orders"] = 3.0
    await wait_for(at_five, what="the first weight", within=40, clock=CLOCK)
    server.page.values["orders"] = 1.0
    await wait_for(held, what="the hold", within=40, clock=CLOCK)
    assert await pair.weights("web") == (5, 5)
    server.page.values["orders"] = 3.0
    summary = await task
    assert summary.states[web].phase is Phase.DONE
    assert not summary.rolled_back


async def test_a_guard_that_was_asked_to_takes_services_home(pair: Pair, server: Server, tmp_path: Path) -> None:
    web = await pair.service("web")
    server.page.values["orders"] = 3.0
    guard = Guard(query="orders", min=2, every=1, breach=Breach.ROLL_BACK)
    guards = Guards({"orders": guard}, {Side.TARGET: server.client}, CLOCK)
    task = asyncio.create_task(
        carry(pair, tmp_path, plan_of(web, dwell=600.0), Traffic(pair.source, pair.target, CLOCK), guards)
    )

    async def at_five() -> bool:
        with suppress(Exception):
            return await pair.weights("web") == (5, 5)
        return False

    await wait_for(at_five, what="the first weight", within=40, clock=CLOCK)
    server.page.values["orders"] = 1.0
    summary = await task
    assert summary.rolled_back == (web,)
    assert await pair.weights("web") == (0, 0)
    assert "guard orders: 1 is below 2; a policy outside the promise of alpha" in summary.states[web].reason
