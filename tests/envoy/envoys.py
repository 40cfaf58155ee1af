"""Real Envoys on loopback addresses, fed by the renderer as the agent will do it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import envoy  # type: ignore[import-untyped]
from landbridge.clock import SystemClock, wait_for
from landbridge.envoy.bootstrap import bootstrap
from landbridge.envoy.counters import acknowledged
from landbridge.envoy.discovery import version_of
from landbridge.envoy.names import Places
from landbridge.envoy.render import File, files, steps
from landbridge.envoy.state import Gateway, Waypoint

BINARY = Path(envoy.__file__).parent / "_bin" / "envoy"
CLOCK = SystemClock()


@dataclass
class Envoy:
    """One running Envoy and the files it reads."""

    folder: Path
    admin: tuple[str, int]
    process: asyncio.subprocess.Process
    written: tuple[File, ...] = ()
    places: Places = field(default_factory=Places)

    async def apply(self, state: Waypoint | Gateway) -> None:
        """Write what has changed, one file after another, each acknowledged before the next."""
        wanted = files(state, self.places)
        for name, content in steps(self.written, wanted):
            write(self.folder, name, content)
            await self.obeys(name, version_of(content))
        self.written = wanted

    async def obeys(self, name: str, version: str) -> None:
        async def check() -> bool:
            stats = await self.stats("version_text|warming")
            warming = sum(stat["value"] for stat in stats["stats"] if "warming" in stat.get("name", ""))
            return acknowledged(stats).get(name, version) == version and not warming

        await wait_for(check, what=f"{name} at {version}", within=60, clock=CLOCK, every=0.02)

    async def stats(self, pattern: str = "") -> dict[str, Any]:
        """The admin interface's statistics as JSON."""
        query = f"/stats?format=json&histogram_buckets=cumulative&filter={pattern}"
        return dict(json.loads(await self.get(query)))

    async def get(self, path: str, method: str = "GET") -> bytes:
        reader, writer = await asyncio.open_connection(*self.admin)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return unchunk(body) if b"chunked" in head.lower() else body

    def inotify_instances(self) -> int:
        infos = Path(f"/proc/{self.process.pid}/fdinfo")
        return sum("inotify wd:" in _read(info) for info in infos.iterdir())


def unchunk(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        whole += rest[: int(size, 16)]
        body = rest[int(size, 16) + 2 :]
    return whole


def write(folder: Path, name: str, content: bytes) -> None:
    """By rename, which is the only change that Envoy sees."""
    fresh = folder / f".{name}.new"
    fresh.write_bytes(content)
    fresh.rename(folder / name)


@asynccontextmanager
async def running(
    state: Waypoint | Gateway, folder: Path, tls: Path, admin: tuple[str, int], *args: str
) -> AsyncIterator[Envoy]:
    """An Envoy that is ready with this state."""
    folder.mkdir(parents=True, exist_ok=True)
    places = Places(folder=str(folder), tls=str(tls))
    first = files(state, places)
    for name, content in first:
        write(folder, name, content)
    role: Literal["waypoint", "gateway"] = "waypoint" if isinstance(state, Waypoint) else "gateway"
    write(folder, "bootstrap.json", bootstrap(role, "pod-1", cluster=state.cluster, places=places, admin=admin))
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            BINARY, "-c", folder / "bootstrap.json", "--disable-hot-restart", "--concurrency", "2", "-l", "warning",
            *args, stderr=log,
        )  # fmt: skip
    made = Envoy(folder=folder, admin=admin, process=process, written=first, places=places)

    async def ready() -> bool:
        try:
            return (await made.get("/ready")).startswith(b"LIVE")
        except OSError:
            assert process.returncode is None, (folder / "log").read_text()
            return False

    try:
        await wait_for(ready, what="Envoy is ready", within=20, clock=CLOCK, every=0.05)
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _read(path: Path) -> str:
    """A file of /proc that may be gone by now."""
    try:
        return path.read_text()
    except OSError:
        return ""
