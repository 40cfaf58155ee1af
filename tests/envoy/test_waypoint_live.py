"""Requests through a real waypoint and gateway: the rules of the waypoint that only a running Envoy can break."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections import Counter
from dataclasses import replace

import grpc
import pytest

from landbridge.clock import wait_for
from landbridge.envoy.counters import HEALTH_PATH, OVERFLOWS_PATH, health, overflows
from landbridge.envoy.state import Endpoint
from landbridge.envoy.waypoint import NO_HOST
from landbridge.model.service import Protocol
from tests.envoy.backends import Greeter, listening
from tests.envoy.conftest import World
from tests.envoy.envoys import CLOCK
from tests.envoy.pair import LOCAL, REMOTE, Caller, ask, header, once


async def remote_health(world: World, wanted: int) -> None:
    async def check() -> bool:
        seen = health(json.loads(await world.pair.waypoint.get(HEALTH_PATH)))
        return seen["shop/web/80"][REMOTE][0] == wanted and seen["shop/web/82"][REMOTE][0] == wanted

    await wait_for(check, what=f"{wanted} healthy gateways", within=30, clock=CLOCK, every=0.05)


async def test_split_per_request_on_one_connection(world: World) -> None:
    await world.pair.split(50)
    outcomes = await Caller(world.web).call(400, connections=1)
    assert outcomes["local"] + outcomes["remote"] == 400
    assert 120 < outcomes["remote"] < 280  # 8 sigma
    seen = await world.pair.counters(Protocol.HTTP)
    assert (seen[LOCAL]["total"], seen[REMOTE]["total"]) == (outcomes["local"], outcomes["remote"])
    assert (seen[LOCAL]["bad"], seen[REMOTE]["bad"]) == (0, 0)


async def test_weight_zero_sends_nothing(world: World) -> None:
    assert await Caller(world.web).call(200) == {"local": 200}
    await world.pair.split(100)
    assert await Caller(world.web).call(200) == {"remote": 200}
    assert world.local.requests == 200


async def test_weights_change_under_load_without_a_failure(world: World) -> None:
    caller = Caller(world.web)
    load = asyncio.create_task(caller.until_stopped())
    for weight in (1, 5, 25, 50, 95, 100, 50, 0, 100, 0) * 3:
        await world.pair.split(weight)
    caller.stopped = True
    await load
    assert set(caller.outcomes) == {"local", "remote"}
    assert overflows(json.loads(await world.pair.waypoint.get(OVERFLOWS_PATH))) == {}


async def test_grpc_is_split_per_call_and_its_server_faults_are_bad(world: World) -> None:
    await world.pair.split(50)
    async with grpc.aio.insecure_channel(world.orders) as channel:
        say = channel.unary_unary("/shop.Orders/Say")
        answers = Counter([await say(b"x") for _ in range(60)])
        assert set(answers) == {b"local:x", b"remote:x"}
        world.remote_grpc["status"] = grpc.StatusCode.INTERNAL
        world.local_grpc["status"] = grpc.StatusCode.NOT_FOUND
        codes: Counter[grpc.StatusCode] = Counter()
        for _ in range(60):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await say(b"x")
            codes[caught.value.code()] += 1
    seen = await world.pair.counters(Protocol.GRPC)
    assert seen[REMOTE]["bad"] == codes[grpc.StatusCode.INTERNAL] > 0
    assert seen[LOCAL]["bad"] == 0
    assert seen[LOCAL]["total"] + seen[REMOTE]["total"] == 120


async def test_grpc_stream_left_by_its_client_is_nobodys_fault(world: World) -> None:
    async with grpc.aio.insecure_channel(world.orders) as channel:
        stream = channel.unary_stream("/shop.Orders/Watch")(b"")
        assert await stream.read() == b"local"
        stream.cancel()

        async def ended() -> bool:
            return (await world.pair.counters(Protocol.GRPC))[LOCAL]["total"] == 1

        await wait_for(ended, what="the stream is counted", within=5, clock=CLOCK)
    assert (await world.pair.counters(Protocol.GRPC))[LOCAL]["bad"] == 0


async def test_rule_13_6_empty_remote_leaf_falls_back_without_a_failure(world: World) -> None:
    await world.pair.split(50)
    await remote_health(world, 1)
    await world.pair.endpoints(0)
    assert await Caller(world.web).call(200) == {"local": 200}  # also before the health check knows
    await remote_health(world, 0)
    assert await Caller(world.web).call(100) == {"local": 100}
    seen = await world.pair.counters(Protocol.HTTP)
    assert seen[REMOTE]["total"] == seen[REMOTE]["bad"] == 0
    assert 80 < seen[REMOTE]["fallbacks"] < 220
    assert seen[LOCAL]["total"] == 300
    assert (await world.pair.route(Protocol.HTTP)).get("empty") == [REMOTE]
    await world.pair.endpoints(1)
    await remote_health(world, 1)
    assert "empty" not in await world.pair.route(Protocol.HTTP)
    assert (await Caller(world.web).call(200))["remote"] > 50


async def test_envoy_keeps_the_statistics_that_it_reads_itself(world: World) -> None:
    """Without this one health is asked for as if there were no traffic: a dead gateway shows in 10 s, not in 2."""
    await world.pair.split(100)
    assert set(await Caller(world.web).call(20)) == {"remote"}
    name = f"cluster.shop/web/80|{REMOTE}.upstream_cx_total"
    seen = {item.get("name"): item.get("value") for item in (await world.pair.waypoint.stats("upstream_cx"))["stats"]}
    assert seen[name] >= 1


async def test_rule_13_6_killed_gateway_falls_back_for_requests_and_connections(world: World) -> None:
    await world.pair.split(50)
    await remote_health(world, 1)
    world.pair.gateway.process.kill()
    await world.pair.gateway.process.wait()
    outcomes = await Caller(world.web).call(200)
    assert outcomes["local"] >= 196  # what was in flight on the killed one may be lost; nothing is in flight here
    for _ in range(10):
        reader, writer = await asyncio.open_connection(*world.tcp)
        assert await reader.readline() == b"hello from local\n"
        writer.close()


async def test_a_failing_target_is_never_hidden(world: World) -> None:
    await world.pair.split(50)
    world.remote.status = 503
    outcomes = await Caller(world.web).call(200)
    assert set(outcomes) == {"local", "503"}
    seen = await world.pair.counters(Protocol.HTTP)
    assert seen[REMOTE]["bad"] == seen[REMOTE]["total"] == outcomes["503"] == world.remote.requests
    assert seen[REMOTE]["fallbacks"] == seen[LOCAL]["bad"] == 0


async def test_no_fallback_to_a_side_at_weight_zero_unless_it_is_home(world: World) -> None:
    await world.pair.split(100)
    await world.pair.endpoints(0)
    await remote_health(world, 0)
    assert await Caller(world.web).call(20) == {"503": 20}
    assert world.local.requests == 0
    assert (await world.pair.counters(Protocol.HTTP))[REMOTE]["bad"] == 20


async def test_a_side_that_looks_dead_is_asked_all_the_same_when_there_is_nobody_else(world: World) -> None:
    """A starved gateway answers health checks too late and requests late: better late than 503 for all of them."""
    await world.pair.split(100)
    await remote_health(world, 1)
    assert await Caller(world.web).call(4) == {"remote": 4}  # a side without traffic is asked only every 5 s
    _, first = await asyncio.open_connection(*world.tcp)
    first.close()
    gateway = world.pair.gateway.process
    gateway.send_signal(signal.SIGSTOP)
    try:
        await remote_health(world, 0)
        asking = asyncio.create_task(Caller(world.web).call(4))
        reader, writer = await asyncio.open_connection(*world.tcp)
        done, _ = await asyncio.wait([asking], timeout=0.3)
        assert not done, asking
    finally:
        gateway.send_signal(signal.SIGCONT)
    assert await asking == {"remote": 4}
    assert await reader.readline() == b"hello from remote\n"
    writer.close()


async def test_a_hanging_target_is_bad_when_its_caller_gives_up(world: World) -> None:
    world.local.hang = True
    reader, writer = await asyncio.open_connection(*world.web)
    writer.write(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 1.1)
    assert (await world.pair.counters(Protocol.HTTP))[LOCAL]["active"] == 1
    writer.close()

    async def counted() -> bool:
        return (await world.pair.counters(Protocol.HTTP))[LOCAL]["bad"] == 1

    await wait_for(counted, what="the caller that gave up is counted", within=5, clock=CLOCK)


@pytest.mark.parametrize("path", ["/reset", "/cut"])
async def test_resets_are_bad_once(world: World, path: str) -> None:
    for weight, side in ((0, LOCAL), (100, REMOTE)):
        await world.pair.split(weight)
        for _ in range(2):
            try:
                await once(world.web, path)
            except (ConnectionError, asyncio.IncompleteReadError):
                continue
        seen = (await world.pair.counters(Protocol.HTTP))[side]
        assert (seen["total"], seen["bad"]) == (2, 2)


async def test_histogram_agrees_with_the_count(world: World) -> None:
    await Caller(world.web).call(40)

    async def exact() -> bool:
        seen = (await world.pair.counters(Protocol.HTTP))[LOCAL]
        return seen["total"] == 40 and seen["slower_ms"].get("10000") == 0 and seen["slower_ms"]["1"] <= 40

    await wait_for(exact, what="the histogram is there", within=5, clock=CLOCK)


async def test_rule_9_150_headers_and_case_and_forwarded_proto(world: World) -> None:
    many = [f"X-Header-{number}: {number}" for number in range(150)]
    for weight, who in ((0, "local"), (100, "remote")):
        await world.pair.split(weight)
        head, body = await once(world.web, "/", [*many, "X-Forwarded-Proto: https"])
        assert " 200 " in head[0]
        said = json.loads(body)
        assert said["who"] == who
        assert "x-forwarded-proto: https" in [line.lower() for line in said["headers"]]
        assert sum(line.lower().startswith("x-header-") for line in said["headers"]) == 150
        assert not any("landbridge" in line.lower() for line in said["headers"])
        assert not any("envoy" in line.lower() for line in [*head, *said["headers"]])
        if who == "local":  # HTTP/2 to the gateway has no upper case (waypoint 13.8)
            assert "X-Header-7: 7" in said["headers"]
            assert "X-Who: local" in head


@pytest.mark.parametrize("host", ["other", "web.shop.svc.cluster.local:80", "WEB", "known", ""])
async def test_nothing_depends_on_the_host_header(world: World, host: str) -> None:
    reader, writer = await asyncio.open_connection(*world.web)
    writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert b" 200 " in await reader.readline()
    writer.close()


async def test_the_host_that_names_all_clusters_cannot_be_asked_for(world: World) -> None:
    reader, writer = await asyncio.open_connection(*world.web)
    writer.write(f"GET / HTTP/1.1\r\nHost: {NO_HOST}\r\n\r\n".encode())
    assert b" 400 " in await reader.readline()
    writer.close()


async def test_affinity_keeps_a_caller_on_one_side_and_pod(world: World) -> None:
    await world.pair.split(50, affinity=True)
    outcomes = await Caller(world.web).call(60)
    assert len(outcomes) == 1
    assert sum(outcomes.values()) == 60


async def test_rule_9_large_header_and_body(world: World) -> None:
    await world.pair.split(100)
    body = b"x" * 3_000_000
    head, _ = await once(world.web, "/", [f"X-Large: {'y' * 70_000}"], method="POST", body=body)
    assert " 200 " in head[0]


@pytest.mark.parametrize(
    "wrong",
    [
        b"BREW / HTTP/1.1\r\nHost: web\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["unknown method", "two lengths"],
)
async def test_rule_9_what_two_readers_could_take_differently_is_refused(world: World, wrong: bytes) -> None:
    reader, writer = await asyncio.open_connection(*world.web)
    writer.write(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")  # the inspector has to see HTTP
    head, _ = await _answer(reader)
    assert b" 200 " in head[0]
    writer.write(wrong)
    assert b" 400 " in await reader.read()
    writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[list[bytes], bytes]:
    """The lines of an answer's head, and its body."""
    head = []
    while (line := await reader.readline()).strip():
        head.append(line)
    length = next(int(line.split(b":")[1]) for line in head if line.lower().startswith(b"content-length"))
    return head, await reader.readexactly(length)


async def test_rule_12_expect_continue_and_underscores_pass(world: World) -> None:
    for weight in (0, 100):
        await world.pair.split(weight)
        reader, writer = await asyncio.open_connection(*world.web)
        lines = (b"POST / HTTP/1.1", b"Host: web", b"X_Under_Score: 1", b"Content-Length: 3", b"Expect: 100-continue")
        writer.write(b"\r\n".join(lines) + b"\r\n\r\n")
        assert b" 100 " in await reader.readline()
        await reader.readline()
        writer.write(b"abc")
        head, body = await _answer(reader)
        assert b" 200 " in head[0]
        assert "x_under_score: 1" in [line.lower() for line in json.loads(body)["headers"]]
        writer.close()


async def test_rule_9_http_1_0(world: World) -> None:
    reader, writer = await asyncio.open_connection(*world.web)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    assert b" 200 " in answer.split(b"\r\n")[0]
    writer.close()


async def test_rule_9_websocket_both_ways_and_held_while_weights_change(world: World) -> None:
    for weight, name in ((0, b"local"), (100, b"remote")):
        await world.pair.split(weight)
        reader, writer = await asyncio.open_connection(*world.web)
        head, _ = await ask(reader, writer, "/ws", ["Upgrade: websocket", "Connection: Upgrade"])
        assert " 101 " in head[0]
        await world.pair.split(50)
        writer.write(b"ping")
        assert await reader.readexactly(len(name) + 5) == name + b":ping"
        writer.close()


async def test_server_sent_events_stay_open_while_weights_change(world: World) -> None:
    await world.pair.split(100)
    reader, writer = await asyncio.open_connection(*world.web)
    head, _ = await ask(reader, writer, "/sse")
    assert header(head, "content-type") == "text/event-stream"
    for weight in (0, 50, 0):
        await world.pair.split(weight)
    assert (await world.pair.counters(Protocol.HTTP))[REMOTE]["active"] == 1
    world.remote.held[0].write(b"7\r\nlater\n\n\r\n")
    while (line := await reader.readline()) != b"later\n":
        assert line
    writer.close()


async def test_rule_13_9_held_tcp_survives_and_is_counted_at_weight_zero(world: World) -> None:
    await world.pair.split(100)
    await remote_health(world, 1)
    reader, writer = await asyncio.open_connection(*world.tcp)
    assert await reader.readline() == b"hello from remote\n"
    for weight in (50, 0, 100, 0):
        await world.pair.split(weight)
    writer.write(b"still\n")
    assert await reader.readline() == b"remote: still\n"
    other, closing = await asyncio.open_connection(*world.tcp)
    assert await other.readline() == b"hello from local\n"
    closing.close()
    assert (await world.pair.counters(Protocol.TCP))[REMOTE]["active"] == 1
    writer.close()


async def test_tcp_is_split_per_connection(world: World) -> None:
    await world.pair.split(50)
    await remote_health(world, 1)
    seen: Counter[bytes] = Counter()
    for _ in range(100):
        reader, writer = await asyncio.open_connection(*world.tcp)
        seen[(await reader.readline()).split()[-1]] += 1
        writer.close()
    assert seen[b"local"] + seen[b"remote"] == 100
    assert 20 < seen[b"remote"] < 80
    count = await world.pair.counters(Protocol.TCP)
    assert count[REMOTE]["total"] == seen[b"remote"]
    assert count[REMOTE]["bad"] == count[LOCAL]["bad"] == 0


async def test_tcp_that_nobody_takes_is_bad(world: World) -> None:
    await world.pair.split(100)
    await world.pair.endpoints(0)
    await remote_health(world, 0)
    reader, writer = await asyncio.open_connection(*world.tcp)
    assert await reader.read() == b""
    writer.close()

    async def ended() -> bool:  # the caller hears of the end a moment before it is counted
        return (await world.pair.counters(Protocol.TCP))[REMOTE]["total"] > 0

    await wait_for(ended, what="the connection's end is counted", within=5, clock=CLOCK)
    seen = (await world.pair.counters(Protocol.TCP))[REMOTE]
    assert (seen["total"], seen["bad"], seen["active"]) == (1, 1, 0)


async def test_tcp_target_that_refuses_behind_its_gateway_is_bad(world: World) -> None:
    exports = world.pair.exports
    nobody = tuple(
        replace(item, endpoints=(Endpoint(address=world.pair.at.remote, port=1),)) for item in exports.exports
    )
    await world.pair.gateway.apply(replace(exports, exports=nobody))
    await world.pair.split(100)
    await remote_health(world, 1)
    for _ in range(4):
        reader, writer = await asyncio.open_connection(*world.tcp)
        writer.write(b"anybody?\n")
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        writer.close()

    async def counted() -> bool:
        seen = (await world.pair.counters(Protocol.TCP))[REMOTE]
        return (seen["total"], seen["bad"], seen["active"]) == (4, 4, 0)

    await wait_for(counted, what="four failed connections", within=5, clock=CLOCK)


async def test_rule_9_server_first_behind_an_http_port_speaks_after_300_ms(world: World) -> None:
    at = world.pair.at
    async with listening(Greeter("first").serve, at.local, 9000):
        web, *others = world.pair.wanted.listeners
        here = replace(web.backends[0], local=(Endpoint(address=at.local, port=9000),))
        changed = replace(web, backends=(here, web.backends[1]))
        await world.pair.waypoint.apply(replace(world.pair.wanted, listeners=(changed, *others)))
        for address, low, high in ((world.web, 0.25, 1.0), (world.tcp, 0.0, 0.2)):
            start = CLOCK.monotonic()
            reader, writer = await asyncio.open_connection(*address)
            assert (await reader.readline()).startswith(b"hello from")
            assert low <= CLOCK.monotonic() - start < high
            writer.close()
