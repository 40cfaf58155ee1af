"""Answers are read whole however they are cut, and every way to fail has its name."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.clock import SystemClock
from landbridge.lab.load.http import BrokenAnswerError, HttpCaller, build_request, parse
from landbridge.lab.load.resolve import Resolver
from landbridge.lab.load.target import Mode, Target

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nX-Served-By: eks\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def serve(talk: Talk) -> AsyncIterator[int]:
    talking: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talking.add(asyncio.create_task(handle(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    for task in talking:
        task.cancel()
    await asyncio.gather(*talking, return_exceptions=True)


def call(port: int, *, fresh: bool = False, method: str = "GET", timeout: float = 5.0) -> HttpCaller:
    target = Target(name="t", mode=Mode.HTTP, host="127.0.0.1", port=port, fresh=fresh, method=method, timeout=timeout)
    return HttpCaller(target, Resolver(SystemClock()), SystemClock())


bodies = st.binary(max_size=200)


@given(bodies, st.booleans(), st.lists(st.integers(1, 50), max_size=5), bodies)
def test_an_answer_ends_where_it_ends(body: bytes, chunked: bool, cuts: list[int], more: bytes) -> None:
    if chunked:
        parts = [body[n : n + 40] for n in range(0, len(body), 40)]
        framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
        whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + framed
    else:
        whole = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    for cut in cuts:
        assert parse(bytearray(whole[: len(whole) - min(cut, len(whole))]), at_end=False) is None
    found = parse(bytearray(whole + more), at_end=False)
    assert found is not None
    assert found[1] == len(whole)


@pytest.mark.parametrize(
    "text", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"]
)
def test_what_is_not_http_is_said_so(text: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        parse(bytearray(text), at_end=False)


def test_a_request_carries_its_number() -> None:
    target = Target(name="t", mode=Mode.HTTP, host="web", port=80, path="/buy?key={n}", method="POST", body="x")
    assert build_request(target, 7).startswith(b"POST /buy?key=7 HTTP/1.1\r\nhost: web\r\n")
    assert b"content-length: 1" in build_request(target, 7)


async def test_connections_are_kept_and_the_side_is_counted() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(OK)

    async with serve(_until_gone(talk)) as port:
        caller = call(port)
        outcomes = [await caller.send(n) for n in range(5)]
        await caller.close()
    assert [outcome.side for outcome in outcomes] == ["eks"] * 5
    assert connections == 1


async def test_fresh_means_a_connection_each() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        assert b"connection: close" in await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)

    async with serve(talk) as port:
        caller = call(port, fresh=True)
        assert all([(await caller.send(n)).ok for n in range(3)])
    assert connections == 3


async def _hang_up_after_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)
    await reader.readuntil(b"\r\n\r\n")


async def test_a_kept_connection_that_was_closed_is_tried_once_more_and_counted() -> None:
    async with serve(_until_gone(_hang_up_after_one)) as port:
        caller = call(port)
        assert not (await caller.send(0)).retried
        again = await caller.send(1)
        assert again.ok
        assert again.retried
        await caller.close()


async def test_what_may_not_be_repeated_is_not() -> None:
    async with serve(_until_gone(_hang_up_after_one)) as port:
        caller = call(port, method="POST")
        await caller.send(0)
        assert (await caller.send(1)).kind == "cut"


async def test_failures_have_names() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(OK[:-1])

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 500 X\r\nx-broken-copy: payments@eks\r\ncontent-length: 0\r\n\r\n")

    async with serve(cut) as port:
        assert (await call(port).send(0)).kind == "cut"
    async with serve(hang) as port:
        assert (await call(port, timeout=0.05).send(0)).kind == "timeout"
    assert (await call(port).send(0)).kind == "refused"
    async with serve(broken) as port:
        outcome = await call(port).send(0)
    assert (outcome.kind, outcome.ok, outcome.broken) == ("500", False, "payments@eks")


def _until_gone(talk: Talk) -> Talk:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except (EOFError, OSError):
            return

    return handle
