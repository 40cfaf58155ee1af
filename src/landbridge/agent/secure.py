"""A TLS connection that costs little while it is kept: asyncio's own holds a buffer of 256 kB for each."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
CHUNK = 16_384


class Secure:
    """TLS over a plain stream; made by `open`. Raises OSError (ssl.SSLError is one) and EOFError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject
        self._read = b""

    @classmethod
    async def open(cls, address: str, port: int, context: ssl.SSLContext, name: str) -> Secure:
        """Connect and shake hands, asking for the SNI `name`."""
        made = cls(*await asyncio.open_connection(address, port))
        try:
            made._tls = context.wrap_bio(made._incoming, made._outgoing, server_hostname=name)
            await made._do(made._tls.do_handshake)
            await made._flush()
        except BaseException:
            made.close()
            raise
        return made

    @property
    def certificate(self) -> dict[str, Any]:
        """The other side's certificate, as `ssl` reads it."""
        return dict(self._tls.getpeercert() or {})

    async def write(self, data: bytes) -> None:
        """Send all of it."""
        await self._do(lambda: self._tls.write(data))
        await self._flush()

    async def until(self, end: bytes) -> bytes:
        """Everything up to and with `end`."""
        while end not in self._read:
            await self._more()
        head, _, self._read = self._read.partition(end)
        return head + end

    async def exactly(self, count: int) -> bytes:
        """So many bytes."""
        while len(self._read) < count:
            await self._more()
        found, self._read = self._read[:count], self._read[count:]
        return found

    def close(self) -> None:
        """Let go of it at once."""
        self._writer.close()

    async def _more(self) -> None:
        data = await self._do(lambda: self._tls.read(CHUNK))
        if not data:
            raise EOFError("the connection was closed")
        self._read += data

    async def _do(self, step: Callable[[], T]) -> T:
        """Take a step as often as it needs more bytes of the other side."""
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                await self._flush()
                data = await self._reader.read(CHUNK)
                if not data:
                    raise EOFError("the connection was closed") from None
                self._incoming.write(data)
            except ssl.SSLZeroReturnError:
                raise EOFError("the connection was closed") from None
            except ssl.SSLError:
                await self._flush()  # the alert says the other side why
                raise

    async def _flush(self) -> None:
        if data := self._outgoing.read():
            self._writer.write(data)
            await self._writer.drain()
