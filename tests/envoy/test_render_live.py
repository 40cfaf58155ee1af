"""What Envoy makes of the files: order, acknowledgement, refusal, and what a subscription costs."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

from landbridge.clock import wait_for
from landbridge.envoy.counters import VERSIONS_PATH, acknowledged, refused
from landbridge.envoy.discovery import version_of
from landbridge.envoy.names import INOTIFY, LISTENERS_FILE, ROUTES_FILE, Places
from landbridge.envoy.render import files
from landbridge.envoy.state import Waypoint
from landbridge.model.service import Protocol
from tests.envoy.conftest import World
from tests.envoy.envoys import CLOCK, running, write
from tests.envoy.pair import Addresses, Caller, listener, waypoint_state


def many(at: Addresses, count: int, remote: int = 0) -> Waypoint:
    """So many services with an HTTP and a TCP port each, in one namespace."""
    ports = [
        replace(listener(at, protocol, remote), service=f"s{number}", listen=21000 + 2 * number + offset)
        for number in range(count)
        for offset, protocol in enumerate((Protocol.HTTP, Protocol.TCP))
    ]
    return replace(waypoint_state(at, remote), listeners=tuple(ports))


async def test_rule_13_1_409_services_cost_as_many_inotify_instances_as_one(world: World) -> None:
    assert world.pair.waypoint.inotify_instances() == INOTIFY["waypoint"]
    await world.pair.waypoint.apply(many(world.pair.at, 409))
    assert world.pair.waypoint.inotify_instances() == INOTIFY["waypoint"]
    assert world.pair.gateway.inotify_instances() == INOTIFY["gateway"]
    for number in (0, 200, 408):
        assert await Caller((world.pair.at.waypoint, 21000 + 2 * number)).call(4) == {"local": 4}


async def test_rule_13_2_written_in_order_nothing_is_refused(world: World) -> None:
    for number in range(1, 21):
        await world.pair.waypoint.apply(many(world.pair.at, number, 50))
    seen = json.loads(await world.pair.waypoint.get(VERSIONS_PATH))
    assert refused(seen) == {}
    assert acknowledged(seen) == {name: version_of(content) for name, content in world.pair.waypoint.written}


async def test_rule_13_3_a_refused_file_is_seen_and_the_old_one_serves_on(world: World) -> None:
    envoy = world.pair.waypoint
    right = dict(envoy.written)[ROUTES_FILE]
    lying = right.replace(b"shop/web/80|web-leaf", b"shop/web/80|web-gone")
    assert lying != right
    write(envoy.folder, ROUTES_FILE, lying.replace(version_of(right).encode(), b"0" * 16))

    async def seen() -> bool:
        return refused(json.loads(await envoy.get(VERSIONS_PATH))) == {ROUTES_FILE: 1}

    await wait_for(seen, what="routes to an unknown cluster are refused", within=5, clock=CLOCK)
    assert acknowledged(json.loads(await envoy.get(VERSIONS_PATH)))[ROUTES_FILE] == version_of(right)
    assert await Caller(world.web).call(20) == {"local": 20}


async def test_services_come_and_go_under_load(world: World) -> None:
    caller = Caller(world.web)
    load = asyncio.create_task(caller.until_stopped())
    base = world.pair.wanted
    for number in (1, 3, 2, 0, 4, 0):
        more = many(world.pair.at, number)
        await world.pair.waypoint.apply(replace(base, listeners=(*base.listeners, *more.listeners)))
    caller.stopped = True
    await load
    assert set(caller.outcomes) == {"local"}


async def test_an_idle_connection_survives_every_change_of_weight_endpoint_and_retry(world: World) -> None:
    reader, writer = await asyncio.open_connection(*world.web)
    before = dict(world.pair.waypoint.written)[LISTENERS_FILE]
    await world.pair.split(30)
    await world.pair.split(30, full_retry=True)
    await world.pair.split(70)
    assert dict(world.pair.waypoint.written)[LISTENERS_FILE] == before
    writer.write(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    assert b" 200 " in await reader.readline()
    writer.close()


async def test_a_restarted_waypoint_serves_the_last_files_without_an_agent(world: World, tmp_path: Path) -> None:
    await world.pair.split(100)
    world.pair.waypoint.process.kill()
    await world.pair.waypoint.process.wait()
    state, tls = world.pair.wanted, Path(world.pair.waypoint.places.tls)
    again = tmp_path / "again"
    assert dict(files(state, Places(folder=str(again), tls=str(tls))))
    async with running(state, again, tls, world.pair.waypoint.admin):
        assert await Caller(world.web).call(20) == {"remote": 20}
