"""The client of a line protocol in which the server speaks first (ledger's; see there).

Connections live at most `MAX_AGE` seconds, and one whose server said `BYE` carries no more commands; what was asked
before is still answered, so nothing is lost when a copy goes.
"""

from __future__ import annotations

import asyncio
import socket

from landbridge.lab.shop.wire.client import MAX_AGE, TIMEOUT, CutError
from landbridge.lab.shop.wire.trail import CallError, Trail


class LineConnection(asyncio.Protocol):
    """One connection that carries one command at a time; the first line that comes is the banner."""

    def __init__(self, born: float) -> None:
        self.born = born
        self.leaving = False
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._answer.add_done_callback(_seen)

    @property
    def usable(self) -> bool:
        """Whether another command may be sent."""
        return self._transport is not None and not self._transport.is_closing() and not self.leaving

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Called by asyncio."""
        self._transport = None
        if not self._answer.done():
            self._answer.set_exception(CutError(clean=not self._rest))

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            text = line.decode("utf-8", "replace").strip()
            if text == "BYE":
                self.leaving = True
            elif not self._answer.done():
                self._answer.set_result(text)

    async def banner(self) -> str:
        """The line with which the server greets. Raises CutError."""
        return await self._answer

    async def ask(self, command: str) -> str:
        """Send one command and wait for its answer. Raises CutError."""
        if self._transport is None:
            raise CutError(clean=True)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(f"{command}\r\n".encode())
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()


def _seen(answer: asyncio.Future[str]) -> None:
    """A connection given up before its banner came leaves an error that nobody waits for."""
    if not answer.cancelled():
        answer.exception()


class LineDownstream:
    """Another service as this one calls it over such lines."""

    def __init__(self, name: str, host: str, port: int) -> None:
        self.name = name
        self._host, self._port = host, port
        self._kept: list[tuple[LineConnection, dict[str, str]]] = []

    async def ask(self, trail: Trail, command: str) -> str:
        """What follows `OK`; the copy that the banner named is added to our trail. Raises CallError."""
        try:
            async with asyncio.timeout(TIMEOUT):
                said, reply = await self._exchange(command)
        except TimeoutError as error:
            raise CallError(self.name, f"no answer in {TIMEOUT:g} s", status=504) from error
        except CutError as error:
            raise CallError(self.name, str(error)) from error
        except OSError as error:
            raise CallError(self.name, f"cannot connect: {error}", status=503) from error
        word, _, rest = reply.partition(" ")
        trail.follow(said if word == "OK" else {**said, **read_marks(rest)})
        if word != "OK":
            raise CallError(self.name, f"answered {reply}")
        return rest

    async def close(self) -> None:
        """Hang up all kept connections."""
        for connection, _ in self._kept:
            connection.close()
        self._kept.clear()

    async def _exchange(self, command: str) -> tuple[dict[str, str], str]:
        connection, said = await self._connect()
        reply = None
        try:
            reply = await connection.ask(command)
        finally:
            if reply is not None and connection.usable:
                self._kept.append((connection, said))
            else:
                connection.close()
        return said, reply

    async def _connect(self) -> tuple[LineConnection, dict[str, str]]:
        loop = asyncio.get_running_loop()
        while self._kept:
            connection, said = self._kept.pop()
            if connection.usable and loop.time() - connection.born < MAX_AGE:
                return connection, said
            connection.close()
        _, connection = await loop.create_connection(
            lambda: LineConnection(loop.time()), self._host, self._port, family=socket.AF_INET
        )
        return connection, read_marks(await connection.banner())


def read_marks(line: str) -> dict[str, str]:
    """The words of the form `x-name=value` in a line."""
    return dict(word.split("=", 1) for word in line.split() if word.startswith("x-") and "=" in word)
