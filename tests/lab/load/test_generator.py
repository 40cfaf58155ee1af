"""Every mode against a real server of its kind: all is counted, nothing is called a failure that is none."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from landbridge.clock import SystemClock
from landbridge.errors import DocumentError
from landbridge.lab.load import Mode, Target, generate, parse_url
from tests.lab.load.test_http import OK, _until_gone, serve


async def _stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Two events and a request to come back, cut into chunks in the middle of a word."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nx-served-by: eks\r\ntransfer-encoding: chunked\r\n\r\n")
    events = [b"id: 1\nevent: notice\ndata: {}\n\n", b"id: 2\nevent: notice\ndata: {}\n\nid: 3\nev"]
    for event in (*events, b"ent: reconnect\ndata: {}\n\n"):
        writer.write(b"%x\r\n%s\r\n" % (len(event), event))
        await writer.drain()
    await reader.read()


async def _lossy_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n\r\nid: 1\ndata: a\n\nid: 3\ndata: b\n\n")


async def _ledger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speaks first; leaves after two answers, having said so."""
    writer.write(b"LEDGER ready x-served-by=legacy x-served-chain=ledger@legacy\r\n")
    for _ in range(2):
        await reader.readuntil(b"\r\n")
        writer.write(b"OK pong\r\n")
    writer.write(b"BYE\r\n")
    await reader.read()


Line = dict[str, Any]


async def _run(
    *targets: Target, seconds: float = 1.0, until: Callable[[Line], bool] = lambda _: False
) -> tuple[Line, list[Line]]:
    """Load for so many seconds, or until a line says what is waited for."""
    lines: list[Line] = []
    stop = asyncio.Event()

    def write(text: str) -> None:
        lines.append(json.loads(text))
        if until(lines[-1]):
            stop.set()

    summary = await generate(targets, seconds=seconds, write=write, clock=SystemClock(), stop=stop)
    return summary, lines


async def test_http_and_its_lines() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)

    async with serve(_until_gone(talk)) as port:
        summary, lines = await _run(Target(name="web", mode=Mode.HTTP, host="127.0.0.1", port=port, rate=50), seconds=2)
    assert summary["requests"] == summary["ok"]
    assert 90 <= summary["requests"] <= 101
    assert summary["sides"] == {"eks": summary["requests"]}
    assert [line["line"] for line in lines][-1] == "summary"
    assert "second" in {line["line"] for line in lines}


async def test_streams_that_ask_to_come_back_are_no_failures() -> None:
    async with serve(_until_gone(_stream)) as port:
        target = Target(name="news", mode=Mode.SSE, host="127.0.0.1", port=port, rate=2)
        summary, _ = await _run(target, seconds=30, until=lambda line: line.get("reconnects", 0) > 2)
    assert summary["failed"] == 0
    assert summary["reconnects"] > 2
    assert summary["events"] >= 3 * summary["reconnects"]


async def test_lost_events_and_cut_streams_are_failures() -> None:
    async with serve(_until_gone(_lossy_stream)) as port:
        target = Target(name="news", mode=Mode.SSE, host="127.0.0.1", port=port, rate=1)
        summary, lines = await _run(target, seconds=30, until=lambda line: line.get("kind") == "stream cut")
    assert summary["kinds"]["event lost"] == summary["kinds"]["stream cut"] >= 1
    assert {"event lost", "stream cut"} <= {line.get("kind") for line in lines}


async def test_a_server_that_says_bye_fails_nothing() -> None:
    async with serve(_until_gone(_ledger)) as port:
        target = Target(name="ledger", mode=Mode.TCP, host="127.0.0.1", port=port, path="PING", rate=50)
        summary, _ = await _run(target)
    assert summary["ok"] == summary["requests"]
    assert summary["sides"] == {"legacy": summary["requests"]}


@asynccontextmanager
async def _stock() -> AsyncIterator[int]:
    async def check(message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        context.set_trailing_metadata((("x-served-by", "eks"), ("x-broken-copy", "stock@eks")))
        if b"9" in message:
            await context.abort(grpc.StatusCode.INTERNAL, "on purpose")
        context.set_trailing_metadata((("x-served-by", "eks"),))
        return b"{}"

    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler("shop.Stock", {"Check": grpc.unary_unary_rpc_method_handler(check)})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield port
    await server.stop(None)


async def test_grpc_failures_of_the_broken_copy_are_counted_apart() -> None:
    async with _stock() as port:
        common = {"mode": Mode.GRPC, "host": "127.0.0.1", "port": port, "path": "/shop.Stock/Check", "rate": 20}
        summary, _ = await _run(
            Target(name="good", body="1", **common),  # type: ignore[arg-type]
            Target(name="bad", body="9", **common),  # type: ignore[arg-type]
        )
    targets = summary["targets"]
    assert targets["good"]["kinds"] == {"OK": targets["good"]["requests"]}
    assert targets["bad"]["broken"] == {"stock@eks": targets["bad"]["requests"]}
    assert summary["failed"] == 0


async def test_ended_by_a_signal_it_still_sums_up() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)

    async with serve(_until_gone(talk)) as port:
        argv = [sys.executable, "-m", "landbridge.lab", "load", f"http://127.0.0.1:{port}/", "--seconds", "60"]
        child = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE)
        assert child.stdout
        first = json.loads(await child.stdout.readline())
        child.terminate()
        rest = (await child.stdout.read()).splitlines()
        await child.wait()
    assert first["line"] == "second"
    summary = json.loads(rest[-1])
    assert summary["line"] == "summary"
    assert summary["in_flight"] == 0
    assert summary["ok"] == summary["requests"] > 0


@pytest.mark.parametrize("url", ["ftp://a/", "http://", "grpc://stock/shop", "nothing"])
def test_a_wrong_url_is_said_so(url: str) -> None:
    with pytest.raises(DocumentError):
        parse_url(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://web.shop/a?b=c", ("web", Mode.HTTP, "web.shop", 80, "/a?b=c")),
        ("front=http://10.0.0.1:8080", ("front", Mode.HTTP, "10.0.0.1", 8080, "/")),
        ("tcp://ledger:7000", ("ledger", Mode.TCP, "ledger", 7000, "PING")),
        ("grpc://stock:9090/shop.Stock/Check", ("stock", Mode.GRPC, "stock", 9090, "/shop.Stock/Check")),
    ],
)
def test_urls_are_read(url: str, expected: tuple[object, ...]) -> None:
    target = parse_url(url)
    assert (target.name, target.mode, target.host, target.port, target.path) == expected
