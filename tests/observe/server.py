"""A real Prometheus on loopback that scrapes one page each second; the page is what the test says it is.

The Debian package `prometheus` is installed where it is missing: without it these tests fail.
"""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import yaml

from landbridge.clients.prometheus import Prometheus
from landbridge.clock import SystemClock, wait_for
from landbridge.lab.host.packages import provide
from landbridge.lab.place import get_cache

CLOCK = SystemClock()


@dataclass
class Page:
    """What is scraped; counters by their labels, or nothing at all while `up` is false."""

    port: int = 0
    up: bool = True
    values: dict[str, float] = field(default_factory=dict)
    scrapes: int = 0

    def add(self, series: str, more: float) -> None:
        self.values[series] = self.values.get(series, 0.0) + more

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            text = "".join(f"{series} {value}\n" for series, value in self.values.items())
            status = "200 OK" if self.up else "503 Away"
            head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(text)}\r\n"
            writer.write(f"{head}Connection: close\r\n\r\n{text}".encode())
            await writer.drain()
            self.scrapes += 1
        writer.close()

    async def scraped(self, times: int = 1) -> None:
        """Until the page as it is now has been scraped so often, and the samples can be asked for."""
        wanted = self.scrapes + 1 + times  # one may be under way

        async def done() -> bool:
            return self.scrapes >= wanted

        await wait_for(done, what="scrapes", within=20, clock=CLOCK)


@dataclass
class Server:
    """A Prometheus that runs: its page, its address, a client."""

    page: Page
    url: str
    client: Prometheus
    process: asyncio.subprocess.Process
    config: Path

    async def pause(self) -> None:
        """It answers nobody."""
        self.process.send_signal(signal.SIGSTOP)

    async def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def prometheus(folder: Path, *, alert: str = "") -> AsyncIterator[Server]:
    """Start one; `alert` is the expression of the alert Broken."""
    await installed()
    page = Page()
    http = await asyncio.start_server(page.answer, "127.0.0.1", 0)
    page.port = http.sockets[0].getsockname()[1]
    config, url = folder / "prometheus.yml", f"http://127.0.0.1:{free_port()}"
    rules = {"alert": "Broken", "expr": alert or "vector(0) > 1", "labels": {"team": "shop"}}
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": [rules]}]}))
    config.write_text(
        yaml.safe_dump(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [str(folder / "rules.yml")],
                "scrape_configs": [
                    {"job_name": "callers", "static_configs": [{"targets": [f"127.0.0.1:{page.port}"]}]}
                ],
            }
        )
    )
    process = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={url.removeprefix('http://')}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    client = Prometheus(url)
    try:
        await wait_for(lambda: ready(url), what="Prometheus", within=60, clock=CLOCK)
        yield Server(page, url, client, process, config)
    finally:
        await client.close()
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        await process.wait()
        http.close()


async def installed() -> None:
    """One of several test processes installs it, the others wait."""
    if shutil.which("prometheus"):
        return
    lock = get_cache() / "apt.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        await asyncio.to_thread(fcntl.flock, file, fcntl.LOCK_EX)
        await provide({"prometheus": "prometheus"}, say=print)


async def ready(url: str) -> bool:
    async with httpx2.AsyncClient(timeout=2) as http:
        with suppress(httpx2.HTTPError):
            return (await http.get(f"{url}/-/ready")).status_code == 200
    return False


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
