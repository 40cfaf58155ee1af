"""Small real servers: HTTP/1 that says what it got, gRPC, and TCP that speaks first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


@dataclass
class Website:
    """Answers as JSON who it is and the request as it arrived; some paths misbehave on purpose."""

    name: str
    status: int = 200
    requests: int = 0
    hang: bool = False
    heard: list[dict[str, str]] = field(default_factory=list)
    """The headers of each request, names in lower case."""
    held: list[Writer] = field(default_factory=list)

    async def serve(self, reader: Reader, writer: Writer) -> None:
        try:
            while head := await read_head(reader):
                await self._answer(head, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: list[str], reader: Reader, writer: Writer) -> None:
        self.requests += 1
        method, path, version = head[0].split(" ")
        names = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head[1:]}
        self.heard.append(names)
        if names.get("expect") == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if length := int(names.get("content-length", 0)):
            await reader.readexactly(length)
        if self.hang:
            await asyncio.Event().wait()
        match path:
            case "/reset":
                writer.transport.abort()
            case "/cut":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                await writer.drain()
                writer.transport.abort()
            case "/sse":
                await self._stream(writer)
            case "/ws":
                await self._upgrade(reader, writer)
            case _:
                body = json.dumps(
                    {"who": self.name, "method": method, "version": version, "headers": head[1:]}
                ).encode()
                writer.write(f"HTTP/1.1 {self.status} Said\r\nX-Who: {self.name}\r\n".encode())
                writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()

    async def _stream(self, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        writer.write(chunk(f"data: {self.name}\n\n".encode()))
        await writer.drain()
        self.held.append(writer)
        await asyncio.Event().wait()

    async def _upgrade(self, reader: Reader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        await writer.drain()
        while data := await reader.read(1000):
            writer.write(self.name.encode() + b":" + data)
            await writer.drain()
        writer.close()


def chunk(data: bytes) -> bytes:
    """A piece of a chunked body."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


async def read_head(reader: Reader) -> list[str]:
    """The lines of a request or response head; [] at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as end:
        if end.partial:
            raise
        return []
    return head.decode("latin-1").rstrip("\r\n").split("\r\n")


@dataclass
class Greeter:
    """A TCP server that speaks first and then says back what it hears."""

    name: str
    connections: int = 0
    open: int = 0

    async def serve(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        self.open += 1
        try:
            writer.write(f"hello from {self.name}\n".encode())
            while line := await reader.readline():
                writer.write(f"{self.name}: ".encode() + line)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def listening(serve: Callable[[Reader, Writer], Awaitable[None]], host: str, port: int) -> AsyncIterator[None]:
    """A server for the time of a with block; its connections end with it."""
    tasks: set[asyncio.Task[None]] = set()

    async def tracked(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(tracked, host, port, limit=16 << 20)
    try:
        yield
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def grpc_server(name: str, address: str) -> AsyncIterator[dict[str, grpc.StatusCode | None]]:
    """`/shop.Orders/Say` answers the name, or fails with the status put into what this yields."""
    fault: dict[str, grpc.StatusCode | None] = {"status": None}

    async def say(request: bytes, context: Any) -> bytes:
        if fault["status"] is not None:
            await context.abort(fault["status"], "told to")
        return name.encode() + b":" + request

    async def watch(request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield name.encode()
        await asyncio.Event().wait()

    handlers = {
        "Say": grpc.unary_unary_rpc_method_handler(say),
        "Watch": grpc.unary_stream_rpc_method_handler(watch),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Orders", handlers),))
    server.add_insecure_port(address)
    await server.start()
    try:
        yield fault
    finally:
        await server.stop(0)
