"""Whom a real waypoint lets in: by address, over HTTP, HTTP/2 and TCP, and what a changed rule does to connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import pytest

from landbridge.clock import wait_for
from landbridge.envoy.state import Backend, Listener, Waypoint
from landbridge.model.service import Protocol
from tests.envoy.backends import Greeter, Reader, Website, Writer, grpc_server, listening
from tests.envoy.envoys import CLOCK, Envoy, running
from tests.envoy.pair import KEY, LOCAL, Addresses, Caller, ask, listener, waypoint_state

HELLO_H2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The preface of HTTP/2 and empty settings."""
PING_H2 = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + b"12345678"
PORTS = {Protocol.HTTP: 20080, Protocol.GRPC: 20081, Protocol.TCP: 20082}
CONTROL = 20090


@dataclass
class Door:
    """A waypoint with everything local behind it, and who may call."""

    at: Addresses
    envoy: Envoy
    site: Website
    greeter: Greeter
    state: Waypoint

    async def let_in(self, callers: Sequence[str] | None, *, control: bool = False) -> None:
        """Another rule for the service's three ports; `control` also edits a chain of a fourth one."""
        self.state = replace(
            self.state,
            listeners=tuple(
                replace(item, affinity=item.affinity or control)
                if item.listen == CONTROL
                else replace(item, callers=None if callers is None else tuple(callers))
                for item in self.state.listeners
            ),
        )
        await self.envoy.apply(self.state)

    def caller(self, number: int) -> str:
        return f"{self.at.net}.{number}"

    async def dial(self, protocol: Protocol | int, who: str) -> tuple[Reader, Writer]:
        port = protocol if isinstance(protocol, int) else PORTS[protocol]
        return await asyncio.open_connection(self.at.waypoint, port, local_addr=(who, 0))


def only_local(item: Listener) -> Listener:
    return replace(
        item, backends=(replace(item.backends[0], weight=100), Backend(service="web-eks", weight=0, local=()))
    )


@pytest.fixture
async def door(at: Addresses, tmp_path: Path) -> AsyncIterator[Door]:
    site, greeter = Website("local"), Greeter("local")
    base = waypoint_state(at, 0)
    control = replace(listener(at, Protocol.TCP, 0), service="control", listen=CONTROL)
    state = replace(base, listeners=tuple(only_local(item) for item in (*base.listeners, control)))
    async with (
        listening(site.serve, at.local, 8080),
        listening(greeter.serve, at.local, 8082),
        grpc_server("local", f"{at.local}:8081"),
        running(state, tmp_path / "waypoint", tmp_path, (at.waypoint, 15000), "--drain-time-s", "1") as envoy,
    ):
        yield Door(at=at, envoy=envoy, site=site, greeter=greeter, state=state)


async def answer(reader: Reader) -> bytes:
    """The first bytes, or none: the end of the connection in either form."""
    try:
        async with asyncio.timeout(10):
            return await reader.read(100)
    except ConnectionError:
        return b""


async def say_hello(door: Door, number: int) -> dict[Protocol, bytes]:
    """What a caller hears on each port when it says what its protocol asks for; on TCP it says nothing."""
    heard = {}
    for protocol, first in ((Protocol.HTTP, b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"), (Protocol.GRPC, HELLO_H2)):
        reader, writer = await door.dial(protocol, door.caller(number))
        writer.write(first)
        heard[protocol] = await answer(reader)
        writer.close()
    reader, writer = await door.dial(Protocol.TCP, door.caller(number))
    heard[Protocol.TCP] = await answer(reader)
    writer.close()
    return heard


async def test_who_may_call_is_answered_and_nobody_else_hears_a_byte(door: Door) -> None:
    await door.let_in([f"{door.caller(32)}/28", f"{door.caller(77)}/32", "fd00::/64"])
    for number in (32, 47, 77):
        heard = await say_hello(door, number)
        assert heard[Protocol.HTTP].startswith(b"HTTP/1.1 200")
        assert heard[Protocol.GRPC][3] == 4, "the settings of HTTP/2"
        assert heard[Protocol.TCP] == b"hello from local\n"
    before = door.site.requests, door.greeter.connections
    for number in (31, 48, 78):
        assert set((await say_hello(door, number)).values()) == {b""}
    assert (door.site.requests, door.greeter.connections) == before, "nothing reached a pod"


async def test_nobody_means_nobody_and_no_rule_means_everybody(door: Door) -> None:
    await door.let_in([])
    assert set((await say_hello(door, 40)).values()) == {b""}
    await door.let_in(None)
    assert all((await say_hello(door, 40)).values())


async def test_grpc_calls_pass_or_fail_by_the_rule(door: Door) -> None:
    async def call() -> bytes:
        async with grpc.aio.insecure_channel(f"{door.at.waypoint}:{PORTS[Protocol.GRPC]}") as channel:
            return bytes(await channel.unary_unary("/shop.Orders/Say")(b"x", timeout=10))

    await door.let_in(["127.0.0.1/32"])
    assert await call() == b"local:x"
    await door.let_in(["127.0.0.2/32"])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_callers_that_are_not_let_in_are_nothing_bad_of_the_service(door: Door) -> None:
    await door.let_in([f"{door.caller(32)}/32"])
    for number in (32, 33, 33, 33):
        await say_hello(door, number)
    stats = await door.envoy.stats("^landbridge")
    counted = [one for one in stats["stats"] if str(one.get("name", "")).startswith("landbridge.")]
    assert sum(one["value"] for one in counted if "rq." in one["name"] and KEY[Protocol.HTTP] in one["name"]) == 1
    opened = [one["value"] for one in counted if ".TcpUpstreamConnected" in one["name"]]
    assert sum(opened) == 1
    assert all(LOCAL in one["name"] for one in counted)


async def test_a_changed_rule_closes_no_connection(door: Door) -> None:
    """Connections that are open and idle stay, those of callers that are no longer let in as well. The control is a
    listener of which a chain was edited: when its connection has ended, the time for which Envoy drains is over.
    """
    web, web_writer = await door.dial(Protocol.HTTP, door.caller(32))
    assert (await ask(web, web_writer))[0][0].startswith("HTTP/1.1 200")
    orders, orders_writer = await door.dial(Protocol.GRPC, door.caller(32))
    orders_writer.write(HELLO_H2)
    assert await answer(orders)
    plain, plain_writer = await door.dial(Protocol.TCP, door.caller(32))
    assert await plain.readline() == b"hello from local\n"
    control, control_writer = await door.dial(CONTROL, door.caller(32))
    assert await control.readline() == b"hello from local\n"

    for last in range(20):
        await door.let_in([f"{door.caller(32)}/32", f"{door.caller(200 + last)}/32"])
    await door.let_in([f"{door.caller(33)}/32"], control=True)
    assert await control.read() == b"", "an edited chain was drained"

    assert (await ask(web, web_writer))[0][0].startswith("HTTP/1.1 200")
    orders_writer.write(PING_H2)
    assert PING_H2[9:] in await orders.readuntil(PING_H2[9:])
    plain_writer.write(b"still there\n")
    assert await plain.readline() == b"local: still there\n"
    assert set((await say_hello(door, 32)).values()) == {b""}, "new ones are judged by the new rule"
    for writer in (web_writer, orders_writer, plain_writer, control_writer):
        writer.close()


async def test_callers_under_load_notice_nothing_while_rules_change(door: Door) -> None:
    caller = Caller((door.at.waypoint, PORTS[Protocol.HTTP]))
    load = asyncio.create_task(caller.until_stopped())
    for last in range(60):
        await door.let_in(["127.0.0.0/8", f"10.0.0.{last}/32"] if last % 2 else None)
    caller.stopped = True
    await load
    assert set(caller.outcomes) == {"local"}

    async def updated() -> bool:
        stats = await door.envoy.stats("listener_manager.(listener_in_place_updated|total_filter_chains_draining)$")
        seen = {one["name"].rpartition(".")[2]: int(one["value"]) for one in stats["stats"] if "value" in one}
        return seen["listener_in_place_updated"] >= 60 and seen["total_filter_chains_draining"] == 0

    await wait_for(updated, what="every change was made in place", within=10, clock=CLOCK)
