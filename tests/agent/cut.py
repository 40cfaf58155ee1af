"""A way to an API server that can be cut, and one that swallows everything, without touching the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import yaml


class Line:
    """Passes bytes on while `up`; `cut()` closes what is open and refuses, `swallow()` lets nothing through."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0

    async def open(self) -> None:
        self._flows.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    def swallow(self) -> None:
        self._flows.clear()

    def flow(self) -> None:
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            onward_reader, onward = await asyncio.open_connection(*self._target)
            self._writers |= {writer, onward}
            await asyncio.gather(self._copy(reader, onward), self._copy(onward_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def line(kubeconfig: Path, folder: Path) -> AsyncIterator[tuple[Line, Path]]:
    """A line to the API server of a kubeconfig, and a kubeconfig that uses it."""
    document = yaml.safe_load(kubeconfig.read_text())
    cluster = document["clusters"][0]["cluster"]
    url = urlsplit(cluster["server"])
    made = Line(str(url.hostname), int(url.port or 443))
    await made.open()
    cluster["server"] = f"https://127.0.0.1:{made.port}"
    file = folder / "cut.kubeconfig"
    file.write_text(yaml.safe_dump(document))
    try:
        yield made, file
    finally:
        await made.cut()
