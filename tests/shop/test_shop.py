"""The shop's programs as real processes, with real PostgreSQL and Redis: who served, what breaks, how copies go."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import grpc.aio
import httpx2
import pytest

from landbridge.clock import SystemClock, wait_for
from landbridge.lab.shop.evidence import find_wrong_runs, read_repeated_orders, read_runs
from landbridge.lab.shop.wire.fault import EVERY, SOUND, Fault, set_fault
from landbridge.lab.shop.wire.lines import LineDownstream, read_marks
from landbridge.lab.shop.wire.trail import Place, Trail
from tests.shop.programs import Copy, Starter, Stores

CLOCK = SystemClock()
Shop = dict[str, Copy]


@asynccontextmanager
async def client(copy: Copy) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{copy.port}", timeout=10) as http:
        yield http


async def break_copy(stores: Stores, copy: Copy, fault: Fault) -> None:
    await set_fault("127.0.0.1", copy.service, copy.cluster, fault, port=stores.redis_port)
    # nothing tells from outside that a copy has read its fault
    await CLOCK.sleep(EVERY + 0.2)


async def test_answers_tell_who_served_and_whom_they_called(shop: Shop, stores: Stores) -> None:
    async with client(shop["web"]) as http:
        page = await http.get("/?person=7")
        order = await http.post("/buy?person=7&item=3&key=k%201")
    assert page.json() == {"hello": "Frances", "items": 10, "cart": {}}
    assert page.headers["x-served-by"] == "eks"
    chain = page.headers["x-served-chain"].split(",")
    assert chain[0] == "web@eks"
    assert set(chain) == {"web@eks", "catalog@legacy", "users@eks", "cart@legacy"}
    assert order.status_code == 201
    chain = order.headers["x-served-chain"].split(",")
    assert chain[:2] == ["web@eks", "orders@legacy"]
    assert set(chain[2:]) == {"users@eks", "stock@eks", "payments@eks", "ledger@legacy"}
    assert stores.rows("SELECT person, item, cluster FROM orders WHERE key = 'k 1'") == [(7, 3, "legacy")]


async def test_an_order_that_was_executed_twice_is_found(shop: Shop, stores: Stores) -> None:
    async with client(shop["orders"]) as http:
        for key in ("once", "twice", "twice"):
            assert (await http.post(f"/orders?person=1&item=2&key={key}")).status_code == 201
    assert await read_repeated_orders(stores.databases) == {"twice": 2}


async def test_cart_keeps_what_was_put_into_it(shop: Shop) -> None:
    async with client(shop["cart"]) as http:
        counts = [(await http.post("/carts/5?item=3")).json()["count"] for _ in range(2)]
        held = (await http.get("/carts/5")).json()
    assert counts == [1, 2]
    assert held["items"] == {"3": 2}


async def test_wrong_requests_are_refused_by_name(shop: Shop) -> None:
    async with client(shop["cart"]) as http:
        assert (await http.get("/carts/x")).status_code == 400
        missing = await http.get("/nothing")
    assert missing.status_code == 404
    assert missing.headers["x-served-by"] == "legacy"


async def test_a_failure_on_purpose_is_marked_up_the_whole_chain(shop: Shop, stores: Stores) -> None:
    await break_copy(stores, shop["ledger"], Fault(fail=1.0))
    async with client(shop["web"]) as http:
        broken = await http.post("/buy?person=7&item=3")
        assert (await http.get("/?person=7")).status_code == 200
        await break_copy(stores, shop["ledger"], SOUND)
        assert (await http.post("/buy?person=7&item=3")).status_code == 201
    assert broken.status_code == 502
    assert broken.headers["x-broken-copy"] == "ledger@legacy"
    assert "ledger@legacy" in broken.headers["x-served-chain"]


async def test_only_the_named_cluster_is_broken(starter: Starter, stores: Stores) -> None:
    legacy, eks = await asyncio.gather(*(starter.start("users", node) for node in ("legacy", "eks")))
    await break_copy(stores, eks, Fault(fail=0.5))
    async with client(legacy) as one, client(eks) as other:
        sound = [await one.get("/users/1") for _ in range(200)]
        broken = [await other.get("/users/1") for _ in range(200)]
    assert {answer.status_code for answer in sound} == {200}
    marked = [answer for answer in broken if answer.status_code == 500]
    assert 50 < len(marked) < 150  # 100 expected, 7 standard deviations
    assert {answer.headers.get("x-broken-copy") for answer in marked} == {"users@eks"}


async def test_slow_hanging_and_cut(starter: Starter, stores: Stores) -> None:
    users = await starter.start("users", "eks")
    async with client(users) as http:
        await break_copy(stores, users, Fault(slow_ms=200))
        began = CLOCK.monotonic()
        assert (await http.get("/users/1")).status_code == 200
        assert CLOCK.monotonic() - began >= 0.2
        await break_copy(stores, users, Fault(hang=1.0, hang_ms=300))
        hung = await http.get("/users/1")
        assert (hung.status_code, hung.headers["x-broken-copy"]) == (504, "users@eks")
        await break_copy(stores, users, Fault(reset=1.0))
        with pytest.raises((httpx2.NetworkError, httpx2.ProtocolError)):
            await http.get("/users/1")


async def test_stock_speaks_grpc_and_health(shop: Shop, stores: Stores) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{shop['stock'].port}") as channel:
        call = channel.unary_unary("/shop.Stock/Reserve")(b'{"item":4}')
        assert json.loads(await call) == {"item": 4, "left": 999_999}
        trailing = dict(await call.trailing_metadata() or ())
        assert (trailing["x-served-by"], trailing["x-served-chain"]) == ("eks", "stock@eks")
        assert await channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x01"
        await break_copy(stores, shop["stock"], Fault(fail=1.0))
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await channel.unary_unary("/shop.Stock/Check")(b"{}")
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert dict(failed.value.trailing_metadata() or ())["x-broken-copy"] == "stock@eks"
    async with client(shop["cart"]) as http:
        answer = await http.post("/carts/1?item=3")
        await break_copy(stores, shop["stock"], SOUND)
    assert (answer.status_code, answer.headers["x-broken-copy"]) == (502, "stock@eks")


async def test_ledger_speaks_first(shop: Shop) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", shop["ledger"].port)
    banner = (await reader.readline()).decode()
    assert banner.startswith("LEDGER ready ")
    assert read_marks(banner) == {"x-served-by": "legacy", "x-served-chain": "ledger@legacy"}
    replies = []
    for command in ("PING", "ADD 900 100", "ADD 900 1", "GET 900", "ADD 900 -1", "QUIT"):
        writer.write(f"{command}\r\n".encode())
        replies.append((await reader.readline()).decode().strip())
    assert replies[:4] == ["OK pong", "OK 100", "OK 101", "OK 101"]
    assert replies[4].startswith("ERR 400")
    assert (replies[5], await reader.read()) == ("OK bye", b"")
    writer.close()
    await writer.wait_closed()


async def test_notices_stream_counts_and_says_when_to_come_back(starter: Starter) -> None:
    notices = await starter.start("notices", "eks")
    events: list[tuple[int, str, str]] = []
    async with client(notices) as http, http.stream("GET", "/stream?every=0.05") as stream:
        assert stream.headers["x-served-by"] == "eks"
        block: dict[str, str] = {}
        async for line in stream.aiter_lines():
            name, _, value = line.partition(": ")
            block[name] = value
            if line:
                continue
            events.append((int(block["id"]), block["event"], json.loads(block["data"])["served_by"]))
            if len(events) == 40:
                notices.ask_to_go()
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert {who for _, _, who in events} == {"eks"}
    assert len(events) > 50  # the drain of one second still served
    assert events[-1][1] == "reconnect"
    assert [kind for _, kind, _ in events].count("reconnect") == 1


async def test_readiness_fails_while_a_copy_drains(starter: Starter) -> None:
    users = await starter.start("users", "eks", DRAIN_SECONDS="3")
    async with client(users) as http:
        assert (await http.get("/ready")).status_code == 200
        users.ask_to_go()

        async def unready() -> bool:
            return (await http.get("/ready")).status_code == 503

        await wait_for(unready, what="readiness to fail", within=2, clock=CLOCK, every=0.05)
        served = await http.get("/users/1")
        assert (served.status_code, served.headers["connection"]) == (200, "close")
    assert await users.end() == 0


async def test_ledger_asks_its_clients_to_leave(starter: Starter) -> None:
    ledger = await starter.start("ledger", "eks")
    reader, writer = await asyncio.open_connection("127.0.0.1", ledger.port)
    await reader.readline()
    ledger.ask_to_go()
    assert await reader.readline() == b"BYE\r\n"
    writer.write(b"PING\r\n")
    assert await reader.readline() == b"OK pong\r\n"
    writer.close()
    await writer.wait_closed()
    assert await ledger.end() == 0


async def test_a_line_client_comes_back_on_another_connection(starter: Starter) -> None:
    ledger = await starter.start("ledger", "eks")
    trail = Trail(place=Place(service="test", cluster="here"))
    book = LineDownstream("ledger", "127.0.0.1", ledger.port)
    assert [await book.ask(trail, "ADD 901 5") for _ in range(3)] == ["5", "10", "15"]
    assert trail.called == ["ledger@eks"] * 3
    await book.close()
    await CLOCK.sleep(0)  # the transport closes in the next turn of the loop


async def test_a_report_leaves_one_row_per_run(starter: Starter, stores: Stores) -> None:
    for node, uid in (("legacy", "a"), ("legacy", "a"), ("eks", "b")):  # a retried pod, then the other side's Job
        process, log = starter.spawn("report", node, REPORT_SECONDS="0.1", JOB_NAME="report-29000000", JOB_UID=uid)
        await wait_for(exited(process), what="the report", within=30, clock=CLOCK)
        assert process.returncode == 0, log.read_text()
    at = 29000000 * 60.0
    runs = await read_runs(stores.databases)
    assert runs == {at: ["legacy", "eks"]}
    assert find_wrong_runs(runs, at, at + 60) == {at: ["legacy", "eks"], at + 60: []}


def exited(process: subprocess.Popen[bytes]) -> Callable[[], Awaitable[bool]]:
    async def ended() -> bool:
        return process.poll() is not None

    return ended
