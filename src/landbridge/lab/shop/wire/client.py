"""Calls over HTTP/1.1 to other services, on kept connections that are renewed before they grow old.

A connection to a Service's address stays with the pod that it first met (kube-proxy chooses once per connection), so a
caller that never reconnects would not notice that the endpoints behind the Service have changed. `max_age` bounds that.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from landbridge.lab.shop.wire.message import Message, Reader, WireError, render_head
from landbridge.lab.shop.wire.trail import BROKEN, FAILED, CallError, Trail

TIMEOUT = 10.0
MAX_AGE = 5.0
# Well below DRAIN_SECONDS, so that no request is sent on a connection which a draining peer is about to close.
MAX_IDLE = 2.0


class CutError(Exception):
    """The peer hung up before it had answered; `clean` when not a byte of the answer had come."""

    def __init__(self, *, clean: bool) -> None:
        super().__init__("the connection was cut")
        self.clean = clean


class Connection(asyncio.Protocol):
    """One connection that carries one request at a time."""

    def __init__(self, born: float) -> None:
        self.born = born
        self.used = born
        self.requests = 0
        self._reader = Reader()
        self._answer: asyncio.Future[Message] | None = None
        self._transport: asyncio.Transport | None = None

    @property
    def open(self) -> bool:
        """Whether another request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Called by asyncio."""
        self._transport = None
        self._fail(CutError(clean=self._reader.empty))

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._reader.feed(data)
        try:
            message = self._reader.take()
        except WireError as error:
            self._fail(error)
            self.close()
            return
        if message is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(message)

    async def ask(self, data: bytes) -> Message:
        """Send one request and wait for its answer. Raises CutError or WireError."""
        if self._transport is None:
            raise CutError(clean=True)
        self._answer = asyncio.get_running_loop().create_future()
        self.requests += 1
        self._transport.write(data)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)


class Downstream:
    """Another service as this one calls it: its address, and how long a connection to it may live (seconds)."""

    def __init__(self, name: str, url: str, *, max_age: float = MAX_AGE, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError(f"{name}: {url!r} is not a URL with a host")
        self.name = name
        self.max_age = max_age
        self.timeout = timeout
        self._host, self._port = parts.hostname, parts.port or 80
        self._kept: list[Connection] = []

    async def ask(self, trail: Trail, method: str, path: str, *, headers: dict[str, str] | None = None) -> Any:
        """The JSON that the service answers; its trail is added to ours. Raises CallError."""
        try:
            async with asyncio.timeout(self.timeout):
                message = await self._exchange(trail, self._render(method, path, headers or {}), safe=method == "GET")
        except TimeoutError as error:
            raise CallError(self.name, f"no answer in {self.timeout:g} s", status=504) from error
        except (CutError, WireError) as error:
            raise CallError(self.name, str(error)) from error
        except OSError as error:
            raise CallError(self.name, f"cannot connect: {error}", status=503) from error
        return self._read(trail, message)

    def close(self) -> None:
        """Hang up all kept connections."""
        for connection in self._kept:
            connection.close()
        self._kept.clear()

    def _render(self, method: str, path: str, headers: dict[str, str]) -> bytes:
        host = self._host if self._port == 80 else f"{self._host}:{self._port}"
        length = {} if method == "GET" else {"content-length": "0"}
        return render_head(f"{method} {path} HTTP/1.1", {"host": host, **length, **headers})

    def _read(self, trail: Trail, message: Message) -> Any:
        trail.follow(message.headers)
        status = int(message.start.split(" ", 2)[1])
        if status >= 500:
            cause = message.headers.get(BROKEN) or message.headers.get(FAILED, "")
            raise CallError(self.name, f"answered {status} ({cause})" if cause else f"answered {status}")
        if status >= 400:
            raise CallError(self.name, f"refused with {status}", status=status)
        return json.loads(message.body)

    async def _exchange(self, trail: Trail, data: bytes, *, safe: bool) -> Message:
        connection = await self._connect()
        message = None
        try:
            message = await connection.ask(data)
        except CutError as error:
            # The peer closed an idle connection as we wrote: every HTTP client repeats then, but only what is safe.
            if not (safe and error.clean and connection.requests > 1):
                raise
            trail.retried.append(self.name)
            connection = await self._open()
            message = await connection.ask(data)
        finally:
            if message is None:
                connection.close()
        self._keep(connection, message)
        return message

    async def _connect(self) -> Connection:
        now = asyncio.get_running_loop().time()
        while self._kept:
            connection = self._kept.pop()
            if connection.open and now - connection.used < MAX_IDLE and now - connection.born < self.max_age:
                return connection
            connection.close()
        return await self._open()

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(loop.time()), self._host, self._port, family=socket.AF_INET
        )
        return connection

    def _keep(self, connection: Connection, message: Message) -> None:
        connection.used = asyncio.get_running_loop().time()
        if message.closes or connection.used - connection.born >= self.max_age:
            connection.close()
        else:
            self._kept.append(connection)
