"""The provider and the guards against a real Prometheus that scrapes a page of the test's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from landbridge.clients.prometheus import Prometheus
from landbridge.clock import SystemClock, wait_for
from landbridge.errors import AccessError
from landbridge.model.look import Count, Cursor, NoData, Reading
from landbridge.model.service import Route, ServiceId, Side
from landbridge.observe.guards import Guards
from landbridge.observe.planes import LINKERD
from landbridge.observe.prometheus import PrometheusProvider
from landbridge.observe.samples import Rules
from landbridge.settings.judging import Guard
from tests.observe.server import Server, free_port, prometheus

pytestmark = pytest.mark.api
CLOCK = SystemClock()
WEB, CART = ServiceId("shop", "web"), ServiceId("shop", "cart")
ROUTES = [Route(service=service, switches=()) for service in (WEB, CART)]
NAMES = {Side.SOURCE: "legacy", Side.TARGET: "eks"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with prometheus(tmp_path, alert="queue_age_seconds > 60") as found:
        yield found


def response(backend: str, pod: str = "a", *, bad: bool = False, name: str = "response_total", **more: str) -> str:
    labels = {"direction": "outbound", "cluster": "legacy", "dst_namespace": "shop", "dst_service": backend}
    labels |= {"pod": pod, "classification": "failure" if bad else "success"} | more
    return name + "{" + ",".join(f'{k}="{v}"' for k, v in labels.items()) + "}"


def provider(server: Server, every: float = 0.0, silence: float = 30.0) -> PrometheusProvider:
    """Both clusters in one Prometheus, told apart by a label."""
    return PrometheusProvider(
        dict.fromkeys(Side, server.client),
        NAMES,
        CLOCK,
        rules=Rules(plane=LINKERD, silence=silence),
        matchers={side: {"cluster": name} for side, name in NAMES.items()},
        every=every,
    )


async def counted(reads: PrometheusProvider, cursor: Cursor) -> tuple[dict[ServiceId, Reading | NoData], Cursor]:
    look = await reads.read(ROUTES, cursor)
    return dict(look.readings), look.cursor


def of(answer: Reading | NoData) -> Reading:
    assert isinstance(answer, Reading), answer
    return answer


def plain(answer: Reading | NoData) -> dict[Side, Count]:
    return dict(of(answer).counts.get("legacy", {}))


async def test_one_read_counts_all_services_exactly_through_resets_new_pods_and_gaps(server: Server) -> None:
    page, reads = server.page, provider(server)
    page.add(response("web"), 1000)
    page.add(response("cart"), 500)
    page.add(response("web", direction="inbound"), 1)
    await page.scraped()
    first, cursor = await counted(reads, {})
    assert plain(first[WEB]) == {Side.SOURCE: Count()}

    page.add(response("web"), 90)
    page.add(response("web-eks"), 8)
    page.add(response("web-eks", bad=True), 2)
    page.add(response("cart"), 7)
    page.add(response("web", direction="inbound"), 50)
    for le, n in (("100", 60.0), ("+Inf", 90.0)):
        page.add(response("web", name="response_latency_ms_bucket", le=le), n)
    await page.scraped()
    second, cursor = await counted(reads, cursor)
    assert plain(second[WEB]) == {
        Side.SOURCE: Count(n=90, buckets={"100": 30}),
        Side.TARGET: Count(n=10, bad=2),
    }
    assert plain(second[CART]) == {Side.SOURCE: Count(n=7)}
    again, cursor = await counted(reads, cursor)
    assert sum(c.n for c in plain(again[WEB]).values()) == 0

    page.add(response("web", "b"), 5)  # a new pod
    page.values[response("web")] = 40.0  # the old one's proxy was started again
    await page.scraped()
    third, cursor = await counted(reads, cursor)
    assert plain(third[WEB])[Side.SOURCE].n == 45
    assert of(third[WEB]).restarted

    page.up = False
    page.add(response("web"), 11)
    await page.scraped()
    silent, cursor = await counted(reads, cursor)
    assert sum(c.n for c in plain(silent[WEB]).values()) == 0
    page.up = True
    page.add(response("web"), 1)
    await page.scraped()
    last, cursor = await counted(reads, cursor)
    assert plain(last[WEB])[Side.SOURCE].n == 12
    assert not of(last[WEB]).restarted


async def test_what_is_older_than_a_moment_is_told_by_until(server: Server) -> None:
    page, reads = server.page, provider(server)
    page.add(response("web"), 1)
    await page.scraped()
    _, cursor = await counted(reads, {})
    moment = CLOCK.now()
    found, cursor = await counted(reads, cursor)
    until = of(found[WEB]).until
    assert until is not None
    assert until < moment

    async def past() -> bool:
        nonlocal cursor
        answer, cursor = await counted(reads, cursor)
        reading = answer[WEB]
        return isinstance(reading, Reading) and reading.until is not None and reading.until >= moment

    await wait_for(past, what="samples from after the moment", within=15, clock=CLOCK)


async def test_between_two_questions_nothing_new_and_a_new_service_is_asked_for_at_once(server: Server) -> None:
    page, reads = server.page, provider(server, every=3600.0)
    page.add(response("web"), 1)
    page.add(response("cart"), 1)
    await page.scraped()
    first = await reads.read(ROUTES[:1], {})
    page.add(response("web"), 10)
    await page.scraped()
    second = await reads.read(ROUTES[:1], first.cursor)
    assert second.cursor == first.cursor
    assert plain(second.readings[WEB]) == {}
    third = await reads.read(ROUTES, second.cursor)
    assert plain(third.readings[WEB])[Side.SOURCE].n == 10
    assert isinstance(third.readings[CART], Reading)


async def test_a_prometheus_that_is_away_or_wrong_is_no_data_and_never_an_error(server: Server) -> None:
    away = Prometheus(f"http://127.0.0.1:{free_port()}")
    clients = {Side.SOURCE: server.client, Side.TARGET: away}
    reads = PrometheusProvider(clients, NAMES, CLOCK, rules=Rules(plane=LINKERD), matchers={}, every=0.0)
    look = await reads.read(ROUTES, {})
    answer = look.readings[WEB]
    assert isinstance(answer, NoData)
    assert answer.reason.startswith("eks: Prometheus does not answer")
    with pytest.raises(AccessError, match="parse error"):
        await server.client.values("sum(")
    wrong = Prometheus(f"http://127.0.0.1:{server.page.port}")
    with pytest.raises(AccessError, match="does not answer"):
        await wrong.samples("up", 10)
    await away.close()
    await wrong.close()


async def test_a_token_is_read_from_its_file_and_a_missing_one_is_said(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "token"
    client = Prometheus(server.url, token_file=str(file))
    with pytest.raises(AccessError, match="token"):
        await client.values("up")
    file.write_text("abc\n")
    assert await client.values("vector(3)") == [3.0]
    assert await client.values("2 + 2") == [4.0]
    assert await client.values("nothing_of_this_name") == []
    await client.close()


async def test_guards_of_both_kinds_are_well_then_breached_then_unknown(server: Server) -> None:
    page = server.page
    page.values["orders"] = 5.0
    page.values["queue_age_seconds"] = 3.0
    await page.scraped()
    given = {
        "orders": Guard(query="orders", min=2, services=("shop/web",), every=1),
        "queue": Guard(alert="Broken", labels={"team": "shop"}, every=1),
        "other-team": Guard(alert="Broken", labels={"team": "pay"}, every=1),
        "misspelt": Guard(alert="Brokn", services=("shop/cart",), every=1),
        "empty": Guard(query="no_such_metric", max=1, services=("pay/*",), every=1),
    }
    guards = Guards(given, dict.fromkeys(Side, server.client), CLOCK)
    assert "guard orders: unknown, not asked yet" in [str(b) for b in guards.of(WEB)]
    await wait_for(lambda: said(guards, WEB, []), what="all well", within=20, clock=CLOCK)
    assert [str(b) for b in guards.of(CART)] == ["guard misspelt: unknown, Prometheus has no alert Brokn"]
    cards = ServiceId("pay", "cards")
    assert [str(b) for b in guards.of(cards)] == ["guard empty: unknown, the query gives no value"]
    page.values["orders"] = 1.0
    page.values["queue_age_seconds"] = 99.0
    both = ["guard orders: 1 is below 2", "guard queue: alert Broken is firing"]
    await wait_for(lambda: said(guards, WEB, both), what="both breached", within=20, clock=CLOCK)


async def test_a_prometheus_that_stops_answering_makes_guards_unknown_and_counts_no_data(server: Server) -> None:
    page, reads = server.page, provider(server)
    page.values["orders"] = 5.0
    page.add(response("web"), 1)
    await page.scraped()
    guards = Guards({"orders": Guard(query="orders", min=2, every=1)}, {Side.TARGET: server.client}, CLOCK)
    await wait_for(lambda: said(guards, WEB, []), what="all well", within=20, clock=CLOCK)
    _, cursor = await counted(reads, {})
    await server.pause()

    async def unknown() -> bool:
        await guards.look()
        return any("unknown, Prometheus does not answer" in str(breach) for breach in guards.of(WEB))

    await wait_for(unknown, what="the guard is unknown", within=40, clock=CLOCK)
    assert not any(breach.roll_back for breach in guards.of(WEB))
    answer, _ = await counted(reads, cursor)
    assert isinstance(answer[WEB], NoData)
    await server.go_on()
    page.add(response("web"), 4)
    await page.scraped()
    await wait_for(lambda: said(guards, WEB, []), what="all well again", within=20, clock=CLOCK)
    answer, _ = await counted(reads, cursor)
    assert plain(answer[WEB])[Side.SOURCE].n == 4


async def said(guards: Guards, service: ServiceId, wanted: list[str]) -> bool:
    await guards.look()
    return [str(breach) for breach in guards.of(service)] == wanted
