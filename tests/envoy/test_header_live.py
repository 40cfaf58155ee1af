"""A side chosen by header, and copies thrown away, through a real waypoint and gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import grpc
import pytest

from landbridge.clock import wait_for
from landbridge.envoy import shadow
from landbridge.envoy.counters import COUNTERS_PATH, OVERFLOWS_PATH, RouteCounters, counters, overflows
from landbridge.envoy.state import HeaderRoute, Listener, Shadow, Waypoint
from landbridge.model.service import Protocol
from tests.envoy.conftest import World
from tests.envoy.envoys import CLOCK
from tests.envoy.pair import KEY, LOCAL, REMOTE, Caller, ask, header, once

TARGET, SOURCE = "X-Landbridge-Side: target", "x-landbridge-side: source"


def choosing(world: World) -> Waypoint:
    """The header is on, and one address is trusted."""
    route = HeaderRoute(source=LOCAL, target=REMOTE, trusted=(trusted(world),))
    here = world.pair.wanted
    return replace(here, listeners=tuple(replace(item, header=route) for item in here.listeners))


def copying(world: World, percent: int, to: str = REMOTE) -> Waypoint:
    """A share of the HTTP port's safe requests is copied; all traffic stays with the other side."""

    def with_copies(item: Listener) -> Listener:
        backends = tuple(replace(b, weight=0 if b.service == to else 100) for b in item.backends)
        copied = Shadow(service=to, percent=percent) if item.protocol is Protocol.HTTP and percent else None
        return replace(item, backends=backends, shadow=copied)

    here = world.pair.wanted
    return replace(here, listeners=tuple(with_copies(item) for item in here.listeners))


async def apply(world: World, state: Waypoint) -> None:
    world.pair.wanted = state
    await world.pair.waypoint.apply(state)


def trusted(world: World) -> str:
    return f"{world.pair.at.net}.30"


async def said(
    world: World, headers: Sequence[str] = (), *, by: str = "", path: str = "/"
) -> tuple[list[str], dict[str, Any]]:
    """One request from an address; the head of the answer and what the pod says of the request."""
    local = (by or f"{world.pair.at.net}.31", 0)
    reader, writer = await asyncio.open_connection(*world.web, local_addr=local)
    try:
        head, body = await ask(reader, writer, path, headers)
        return head, json.loads(body)
    finally:
        writer.close()


async def seen(world: World, protocol: Protocol = Protocol.HTTP) -> RouteCounters:
    stats = json.loads(await world.pair.waypoint.get(COUNTERS_PATH))
    return counters(stats, world.pair.wanted)[KEY[protocol]]


async def test_a_trusted_caller_chooses_the_side_at_any_weight_and_nobody_sees_the_header(world: World) -> None:
    for weight, name, choice in ((0, "remote", TARGET), (100, "local", SOURCE)):
        await world.pair.split(weight)
        await apply(world, choosing(world))
        other = "local" if name == "remote" else "remote"
        for _ in range(5):
            head, answer = await said(world, [choice], by=trusted(world))
            assert answer["who"] == name
            assert header(head, "x-landbridge-side") == choice.split(": ")[1]
            assert not any("landbridge" in line.lower() for line in answer["headers"])
            head, answer = await said(world, by=trusted(world))
            assert answer["who"] == other
            assert header(head, "x-landbridge-side") == ""
            assert (await said(world, ["x-landbridge-side: both"], by=trusted(world)))[1]["who"] == other
    asked = await seen(world)
    assert [asked["backends"][side]["total"] for side in (LOCAL, REMOTE)] == [10, 10], "asked by header: not counted"


async def test_the_header_of_anybody_else_is_taken_off_and_ignored(world: World) -> None:
    spoofed = f"X-Forwarded-For: {trusted(world)}"
    for state in (world.pair.wanted, choosing(world)):
        await apply(world, state)
        for headers in ([TARGET], [TARGET, spoofed], [TARGET, f"X-Real-Ip: {trusted(world)}", f"Forwarded: {spoofed}"]):
            _, answer = await said(world, headers)
            assert answer["who"] == "local"
            assert not any("landbridge" in line.lower() for line in answer["headers"])
    await world.pair.split(100)  # nor does the other cluster get to see it
    _, answer = await said(world, [SOURCE], by=trusted(world))
    assert answer["who"] == "remote"
    assert not any("landbridge" in line.lower() for line in answer["headers"])


async def test_grpc_calls_are_sent_by_header_too(world: World) -> None:
    everybody = HeaderRoute(source=LOCAL, target=REMOTE, trusted=("127.0.0.1", world.pair.at.waypoint))
    state = choosing(world)
    await apply(world, replace(state, listeners=tuple(replace(i, header=everybody) for i in state.listeners)))
    async with grpc.aio.insecure_channel(world.orders) as channel:
        say = channel.unary_unary("/shop.Orders/Say")
        assert await say(b"x") == b"local:x"
        assert await say(b"x", metadata=(("x-landbridge-side", "target"),)) == b"remote:x"
    assert (await seen(world, Protocol.GRPC))["backends"][REMOTE]["total"] == 0


async def test_who_chooses_a_side_without_endpoints_gets_no_answer_from_the_other(world: World) -> None:
    await apply(world, choosing(world))
    await world.pair.endpoints(0)
    local = (trusted(world), 0)
    reader, writer = await asyncio.open_connection(*world.web, local_addr=local)
    head, _ = await ask(reader, writer, "/", [TARGET])
    writer.close()
    assert " 503 " in head[0]
    assert world.local.requests == 0


async def copies(world: World, wanted: int) -> RouteCounters:
    """The counters, when so many copies have been answered and are in the histograms, which come a read later."""
    found: RouteCounters = await seen(world)

    async def check() -> bool:
        nonlocal found
        found = await seen(world)
        sides = found.get("shadow", {}).values()
        return sum(side["total"] for side in sides) == wanted and all(side["slower_ms"] for side in sides)

    await wait_for(check, what=f"{wanted} counted beside the copies", within=10, clock=CLOCK, every=0.05)
    return found


async def test_copies_of_safe_requests_only_are_answered_by_the_target_and_seen_by_nobody(world: World) -> None:
    await apply(world, copying(world, 100))
    world.remote.status = 500
    for _ in range(20):
        assert (await said(world))[1]["who"] == "local"
    for method, headers, body in (
        ("POST", [], b"x"),
        ("PUT", [], b"x"),
        ("DELETE", [], b""),
        ("GET", [], b"a body"),
        ("GET", ["X-Landbridge-Shadow: true"], b""),
    ):
        answer = json.loads((await once(world.web, "/", headers, method, body))[1])
        assert answer["who"] == "local"
    reader, writer = await asyncio.open_connection(*world.web)
    head, _ = await ask(reader, writer, "/ws", ["Upgrade: websocket", "Connection: Upgrade"])
    assert " 101 " in head[0]
    writer.close()
    found = await copies(world, 40)
    assert {side: (n["total"], n["bad"]) for side, n in found["shadow"].items()} == {LOCAL: (20, 0), REMOTE: (20, 20)}
    assert found["backends"][REMOTE]["total"] == 0, "a copy is nobody's request"
    assert found["backends"][LOCAL]["total"] >= 25
    assert world.remote.requests == 20
    assert found["shadow"][REMOTE]["slower_ms"]["10000"] == found["shadow"][LOCAL]["slower_ms"]["10000"] == 0


async def test_a_share_is_copied_and_none_when_it_is_off(world: World) -> None:
    await apply(world, copying(world, 30))
    assert await Caller(world.web).call(400) == {"local": 400}

    async def settled() -> bool:
        beside = (await seen(world)).get("shadow")
        return beside is not None and beside[REMOTE]["total"] == world.remote.requests

    await wait_for(settled, what="all copies are counted", within=10, clock=CLOCK, every=0.05)
    assert 60 < world.remote.requests < 180  # 6 sigma
    assert (await seen(world))["shadow"][LOCAL]["total"] == 400
    await apply(world, copying(world, 0))
    before = world.remote.requests
    assert await Caller(world.web).call(40) == {"local": 40}
    assert world.remote.requests == before
    found = await seen(world)
    assert found["shadow"][LOCAL]["total"] == 400, "what was counted stays counted, and nothing is added"
    assert found["backends"][LOCAL]["total"] == 440
    assert found["backends"][LOCAL]["slower_ms"]["10000"] == 0


@pytest.mark.parametrize("to", [REMOTE, LOCAL])
async def test_a_copy_is_the_same_request_but_says_what_it_is(world: World, to: str) -> None:
    """Both ways: to the other cluster's pods, and from a target's own callers to the pods here."""
    copied, real = (world.remote, world.local) if to == REMOTE else (world.local, world.remote)
    await apply(world, copying(world, 100, to))
    await said(world, ["X-Request-Id: 7", "X-Forwarded-For: 10.1.1.1", "Cookie: session=7"])

    async def came() -> bool:
        return bool(copied.heard and real.heard)

    await wait_for(came, what="the copy came", within=10, clock=CLOCK, every=0.02)
    (copy,), (original,) = copied.heard, real.heard
    assert original["host"] == "web"
    assert original["x-forwarded-for"].startswith("10.1.1.1,")
    assert copy == original | {"x-landbridge-shadow": "true"}


async def test_a_target_that_hangs_holds_nobody_up_and_gets_no_more_than_the_limit(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "LONGEST", "2s")
    await apply(world, copying(world, 100))
    world.remote.hang = True
    before = CLOCK.monotonic()
    assert await Caller(world.web).call(600) == {"local": 600}
    assert CLOCK.monotonic() - before < 20
    assert world.remote.requests > 0
    assert overflows(json.loads(await world.pair.waypoint.get(OVERFLOWS_PATH))) == {}
    found = await copies(world, 600 + world.remote.requests)
    assert found["shadow"][REMOTE]["bad"] == 0, "cut by us, and so slow, not bad"

    async def slow() -> bool:
        copied = (await seen(world))["shadow"][REMOTE]
        return copied["slower_ms"].get("1500") == copied["total"]

    await wait_for(slow, what="all copies are slow", within=10, clock=CLOCK)
    assert found["shadow"][LOCAL] == found["shadow"][LOCAL] | {"total": 600, "bad": 0}


async def test_a_target_without_endpoints_fails_its_copies_only(world: World) -> None:
    await apply(world, copying(world, 100))
    await world.pair.endpoints(0)
    assert await Caller(world.web).call(40) == {"local": 40}
    found = await copies(world, 80)
    assert (found["shadow"][REMOTE]["total"], found["shadow"][REMOTE]["bad"]) == (40, 40)
    assert found["shadow"][LOCAL]["bad"] == found["backends"][LOCAL]["bad"] == 0
