"""Connections to one API server: a free one is taken, one more is made when all are busy.

Each is a client of its own. One client with a pool of 32 asks the kernel about every idle connection before each
request, which were 12 of the 20 ms of a request in a run of hundreds of services.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2

KEPT = 32
"""Idle connections that are kept."""


class Lines:
    """All connections of one set of credentials; whoever takes one has it alone."""

    def __init__(self, server: str, tls: ssl.SSLContext, proxy: str | None) -> None:
        self._server = server
        self._tls = tls
        self._proxy = proxy
        self._free: list[httpx2.AsyncClient] = []
        self._closed = False

    @asynccontextmanager
    async def one(self) -> AsyncIterator[httpx2.AsyncClient]:
        """A client that nobody else uses meanwhile; the one that was used last, so that the others may end."""
        client = self._free.pop() if self._free else self._new()
        try:
            yield client
        finally:
            if self._closed or len(self._free) >= KEPT:
                await client.aclose()
            else:
                self._free.append(client)

    async def close(self) -> None:
        """Close what is free now and the others as they come back."""
        self._closed = True
        free, self._free = self._free, []
        for client in free:
            await client.aclose()

    def _new(self) -> httpx2.AsyncClient:
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=1)
        return httpx2.AsyncClient(base_url=self._server, verify=self._tls, limits=limits, proxy=self._proxy)
