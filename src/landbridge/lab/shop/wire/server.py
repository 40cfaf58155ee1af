"""An HTTP/1.1 server on asyncio's transports: keep-alive, chunked streams, and a way out that fails no request.

Own and small, because 300 requests/s must cost a pod a few percent of a core: two clusters share two.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl

from landbridge.lab.shop.wire.message import Message, Reader, WireError, render_chunk, render_head

BACKLOG = 512
REASONS = {status.value: status.phrase for status in HTTPStatus}
log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Request:
    """What a client asks: the path without the query, the query, lower-case headers, the body."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class Response:
    """What it gets: `stream` is sent chunk by chunk instead of `body`; `drop` cuts the connection instead."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    stream: AsyncGenerator[bytes, None] | None = None
    drop: bool = False


Handler = Callable[[Request], Awaitable[Response]]


class Server:
    """Listens, hands each request to `handler`, and knows what is still under way."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.draining = False
        self.busy = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._connections: set[Connection] = set()
        self._listener: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Open the port (0: any free one) and return it."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), host, port, backlog=BACKLOG)
        chosen: int = self._listener.sockets[0].getsockname()[1]
        return chosen

    def drain(self) -> None:
        """From now on each answer asks its client to come back on another connection."""
        self.draining = True

    async def close(self, within: float) -> None:
        """Take no new connections, let answers under way end for at most `within` seconds, then hang up."""
        assert self._listener is not None
        self._listener.close()
        for connection in list(self._connections):
            connection.close_if_idle()
        try:
            await asyncio.wait_for(self._idle.wait(), within)
        except TimeoutError:
            log.warning("%d requests cut after %g s", self.busy, within)
        for connection in list(self._connections):
            connection.abort()

    def _began(self) -> None:
        self.busy += 1
        self._idle.clear()

    def _ended(self) -> None:
        self.busy -= 1
        if self.busy == 0:
            self._idle.set()


class Connection(asyncio.Protocol):
    """One client's connection; answers its requests one after another."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._reader = Reader()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server._connections.add(self)  # noqa: SLF001 - the server's other half

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Called by asyncio."""
        self._server._connections.discard(self)  # noqa: SLF001
        self._transport = None
        self._writable.set()

    def pause_writing(self) -> None:
        """Called by asyncio when the client reads too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Called by asyncio when it has caught up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._reader.feed(data)
        if self._task is None:
            self._take_next()

    def close_if_idle(self) -> None:
        """Hang up, unless a request is under way or half received."""
        if self._transport is not None and self._task is None and self._reader.empty:
            self._transport.close()

    def abort(self) -> None:
        """Hang up now."""
        if self._transport is not None:
            self._transport.abort()

    def _take_next(self) -> None:
        assert self._transport is not None
        try:
            message = self._reader.take()
        except WireError as error:
            log.info("refused a request: %s", error)
            self._transport.write(render_head("HTTP/1.1 400 Bad Request", {"content-length": "0"}))
            self._transport.close()
            return
        if message is not None:
            self._server._began()  # noqa: SLF001
            self._task = asyncio.get_running_loop().create_task(self._answer(message))

    async def _answer(self, message: Message) -> None:
        answered = False
        try:
            response = await self._server.handler(_request(message))
            await self._send(response, last=message.closes or self._server.draining)
            answered = True
        finally:
            self._task = None
            self._server._ended()  # noqa: SLF001
            if not answered:
                self.abort()
        if self._transport is not None and not self._transport.is_closing():
            self._take_next()

    async def _send(self, response: Response, *, last: bool) -> None:
        if self._transport is None:
            return
        if response.drop:
            self._transport.abort()
            return
        start = f"HTTP/1.1 {response.status} {REASONS.get(response.status, '')}"
        headers = {**response.headers, **({"connection": "close"} if last else {})}
        if response.stream is not None:
            self._transport.write(render_head(start, {**headers, "transfer-encoding": "chunked"}))
            await self._stream(response.stream)
        else:
            headers["content-length"] = str(len(response.body))
            self._transport.write(render_head(start, headers) + response.body)
        if last and self._transport is not None:
            self._transport.close()

    async def _stream(self, stream: AsyncGenerator[bytes, None]) -> None:
        async with aclosing(stream):
            async for data in stream:
                await self._writable.wait()
                if self._transport is None or self._transport.is_closing():
                    return
                self._transport.write(render_chunk(data))
        if self._transport is not None:
            self._transport.write(render_chunk(b""))


def _request(message: Message) -> Request:
    method, _, rest = message.start.partition(" ")
    target = rest.partition(" ")[0]
    path, _, query = target.partition("?")
    return Request(
        method=method,
        path=path,
        query=dict(parse_qsl(query)) if query else {},
        headers=message.headers,
        body=message.body,
    )
