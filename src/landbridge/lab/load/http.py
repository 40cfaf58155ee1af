"""A small HTTP/1.1 client that costs little: a connection at a time per request, kept or fresh."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from landbridge.clock import Clock
from landbridge.lab.load.resolve import Resolver
from landbridge.lab.load.tally import Outcome
from landbridge.lab.load.target import Target

MAX_IDLE = 2.0
"""Seconds a kept connection may lie unused: servers hang up on idle ones, and a request must not meet that."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `last`: the connection ends with it."""

    status: int
    headers: Mapping[str, str]
    last: bool


class BrokenAnswerError(Exception):
    """What came is not HTTP."""


class Connection(asyncio.Protocol):
    """One connection that carries one request at a time."""

    def __init__(self, clock: Clock) -> None:
        self.born = self.used = clock.monotonic()
        self.requests = 0
        self.got_bytes = False
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._buffer = bytearray()
        self._lost = False

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent on it."""
        return not self._lost and self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The peer accepted."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer hung up; an answer whose end is the end of the connection is whole now."""
        self._lost = True
        if not self._answer or self._answer.done():
            return
        answer = parse(self._buffer, at_end=True) if not exc else None
        if answer:
            self._answer.set_result(answer[0])
        else:
            self._answer.set_exception(exc or ConnectionResetError("closed before the answer was whole"))

    def data_received(self, data: bytes) -> None:
        """Part of an answer, or all of it."""
        self.got_bytes = True
        self._buffer += data
        if not self._answer or self._answer.done():
            self.close()
            return
        try:
            found = parse(self._buffer, at_end=False)
        except BrokenAnswerError as error:
            self._answer.set_exception(error)
            self.close()
            return
        if found:
            answer, size = found
            del self._buffer[:size]
            self._answer.set_result(answer)

    async def ask(self, request: bytes) -> Answer:
        """Send a request and wait for its whole answer."""
        assert self._transport
        self._answer = asyncio.get_running_loop().create_future()
        self.got_bytes = False
        self.requests += 1
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            self.used = self._clock.monotonic()

    def close(self) -> None:
        """Hang up."""
        if self._transport:
            self._transport.abort() if self._answer and not self._answer.done() else self._transport.close()


def parse(buffer: bytearray, *, at_end: bool) -> tuple[Answer, int] | None:
    """The answer at the head of the buffer and its size, or None while it is not whole. Raises BrokenAnswerError."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    answer = parse_head(buffer[:end])
    try:
        size = _get_size(buffer, end + 4, answer.headers, answer.status, at_end=at_end)
    except ValueError as error:
        raise BrokenAnswerError("a chunk without a size") from error
    if size is None:
        return None
    return Answer(answer.status, answer.headers, answer.last or at_end), size


def parse_head(head: bytes | bytearray) -> Answer:
    """Status and headers of an answer. Raises BrokenAnswerError."""
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
        raise BrokenAnswerError(first[:100])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    last = headers.get("connection", "").lower() == "close" or version == "HTTP/1.0"
    return Answer(int(rest[:3]), headers, last)


def _get_size(buffer: bytearray, start: int, headers: Mapping[str, str], status: int, *, at_end: bool) -> int | None:
    """Where the body that starts at `start` ends, or None while that has not come."""
    if status in {204, 304}:
        return start
    if "content-length" in headers:
        size = start + int(headers["content-length"])
        return size if len(buffer) >= size else None
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return _get_chunked_size(buffer, start)
    return len(buffer) if at_end else None


def _get_chunked_size(buffer: bytearray, start: int) -> int | None:
    while True:
        line = buffer.find(b"\r\n", start)
        if line < 0:
            return None
        size = int(buffer[start:line].split(b";")[0], 16)
        if size == 0:
            end = buffer.find(b"\r\n\r\n", line)
            return end + 4 if end >= 0 else None
        start = line + 2 + size + 2
        if start > len(buffer):
            return None


class HttpCaller:
    """Sends the requests of one target."""

    def __init__(self, target: Target, resolver: Resolver, clock: Clock) -> None:
        self._target = target
        self._resolver = resolver
        self._clock = clock
        self._idle: deque[Connection] = deque()

    async def send(self, number: int) -> Outcome:
        """Send request number `number`, and once more where a kept connection turns out to have been closed.

        That is what every client library does (RFC 9112, 9.3.1), only for methods that may be repeated; it is counted.
        """
        request = build_request(self._target, number)
        try:
            async with asyncio.timeout(self._target.timeout):
                return await self._send(request)
        except TimeoutError:
            return Outcome(kind="timeout", ok=False)

    async def _send(self, request: bytes) -> Outcome:
        connection: Connection | None = None
        try:
            connection = self._take()
            if connection:
                try:
                    return self._finish(connection, await connection.ask(request))
                except OSError:
                    if connection.got_bytes or self._target.method not in {"GET", "HEAD", "PUT", "DELETE"}:
                        raise
                connection = await self._connect()
                outcome = self._finish(connection, await connection.ask(request))
                return Outcome(
                    kind=outcome.kind, ok=outcome.ok, side=outcome.side, broken=outcome.broken, chain=outcome.chain,
                    retried=True,
                )  # fmt: skip
            connection = await self._connect()
            return self._finish(connection, await connection.ask(request))
        except (OSError, BrokenAnswerError) as error:
            return Outcome(kind=name_error(error), ok=False)
        finally:
            if connection and connection not in self._idle:
                connection.close()

    def _take(self) -> Connection | None:
        now = self._clock.monotonic()
        while self._idle and not self._target.fresh:
            connection = self._idle.pop()
            young = not self._target.max_age or now - connection.born < self._target.max_age
            if connection.is_open and young and now - connection.used < MAX_IDLE:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        address = await self._resolver.resolve(self._target.host, self._target.port)
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: Connection(self._clock), *address)
        return connection

    def _finish(self, connection: Connection, answer: Answer) -> Outcome:
        if not answer.last and not self._target.fresh:
            self._idle.append(connection)
        return read_outcome(answer.status, answer.headers)

    async def close(self) -> None:
        """Hang up all that is kept."""
        while self._idle:
            self._idle.pop().close()


def build_request(target: Target, number: int) -> bytes:
    """The bytes of a request."""
    body = target.body.encode()
    lines = [
        f"{target.method} {target.path.replace('{n}', str(number))} HTTP/1.1",
        f"host: {target.host}" if target.port == 80 else f"host: {target.host}:{target.port}",
        "user-agent: landbridge-load",
    ]
    if body or target.method in {"POST", "PUT", "PATCH"}:
        lines.append(f"content-length: {len(body)}")
    if target.fresh:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


def read_outcome(status: int, headers: Mapping[str, str]) -> Outcome:
    """What an answer's status and headers say."""
    return Outcome(
        kind=str(status),
        ok=status < 400,
        side=headers.get("x-served-by", ""),
        broken=headers.get("x-broken-copy", ""),
        chain=headers.get("x-served-chain", ""),
    )


def name_error(error: BaseException) -> str:
    """The kind of an error, in a word."""
    match error:
        case ConnectionRefusedError():
            return "refused"
        case socket.gaierror():
            return "dns"
        case ConnectionError() | EOFError():
            return "cut"
        case TimeoutError():
            return "timeout"
        case OSError():
            return "unreachable"
        case _:
            return "garbled"
