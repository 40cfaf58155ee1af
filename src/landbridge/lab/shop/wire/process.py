"""The life of one copy of a service: settings from the environment, readiness, faults, and a graceful end.

SIGTERM: readiness fails and answers close their connections, but requests are still served for `DRAIN_SECONDS`, the
time in which endpoints are taken out of every proxy; then open streams are told to reconnect, the port closes, and what
is under way may end.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.asyncio import Redis
from redis.exceptions import RedisError

from landbridge.clock import Clock, SystemClock
from landbridge.lab.shop.wire.client import MAX_AGE, Downstream
from landbridge.lab.shop.wire.fault import FaultWatch, Harm
from landbridge.lab.shop.wire.server import Request, Response, Server
from landbridge.lab.shop.wire.trail import FAILED, CallError, Place, Trail

if TYPE_CHECKING:
    from landbridge.lab.shop.wire.database import Database

FINISH_SECONDS = 20.0
log = logging.getLogger("shop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a copy is told by its environment."""

    service: str
    cluster: str
    pod: str
    host: str
    port: int
    drain: float
    environ: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        """A variable, or its default when it is missing or empty."""
        return self.environ.get(name) or default

    def address(self, name: str, default: str) -> tuple[str, int]:
        """A variable of the form host:port; the port of the default where it has none."""
        host, _, port = self.text(name, default).partition(":")
        return host, int(port or default.partition(":")[2])


def read_settings(service: str, port: int, environ: Mapping[str, str]) -> Settings:
    """Settings of a service that listens on `port` unless `PORT` says otherwise.

    The cluster is the name of the node up to its number (`eks-2` is in `eks`): manifests are the same in both clusters.
    """
    return Settings(
        service=service,
        cluster=re.sub(r"-\d+$", "", environ.get("NODE_NAME") or "unknown"),
        pod=environ.get("POD_NAME") or "",
        host=environ.get("LISTEN") or "0.0.0.0",
        port=int(environ.get("PORT") or port),
        drain=float(environ.get("DRAIN_SECONDS") or "5"),
        environ=environ,
    )


class Process:
    """One copy of a service and what its handlers need."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.place = Place(service=settings.service, cluster=settings.cluster)
        self.stopping = asyncio.Event()
        """SIGTERM has come: not ready any more, still serving."""
        self.closing = asyncio.Event()
        """The drain is over: streams end."""
        host, port = settings.address("REDIS_ADDRESS", "redis:6379")
        # Slow or absent Redis must not hold a request longer than its caller waits.
        self.redis = Redis(host=host, port=port, socket_timeout=3, socket_connect_timeout=3)
        self.faults = FaultWatch(self.redis, settings.service, settings.cluster, clock)
        self._stack = AsyncExitStack()
        self._stack.push_async_callback(self.redis.aclose)

    def trail(self) -> Trail:
        """A new trail that begins here."""
        return Trail(place=self.place)

    def downstream(self, name: str, *, max_age: float = MAX_AGE) -> Downstream:
        """Another service over HTTP, at `<NAME>_URL` or its Service's name."""
        other = Downstream(name, self.settings.text(f"{name.upper()}_URL", f"http://{name}"), max_age=max_age)
        self._stack.callback(other.close)
        return other

    async def database(self) -> Database:
        """The shop's PostgreSQL, once it is there and has its tables.

        Imported here, for the driver costs 13 MB and 60 ms that few need.
        """
        from landbridge.lab.shop.wire.database import Database

        host, port = self.settings.address("POSTGRES_ADDRESS", "postgres:5432")
        database = Database(
            host=host,
            port=port,
            user=self.settings.text("POSTGRES_USER", "shop"),
            password=self.settings.text("POSTGRES_PASSWORD", ""),
            name=self.settings.text("POSTGRES_DATABASE", "shop"),
        )
        self._stack.push_async_callback(database.close)
        while not await database.prepare():
            if self.stopping.is_set():
                raise SystemExit(0)
            await self.clock.sleep(1)
        return database

    def close_later(self, close: Callable[[], Awaitable[None]]) -> None:
        """Have something taken away at the end."""
        self._stack.push_async_callback(close)

    async def end(self) -> None:
        """Take away what was opened; a server's process does it by itself."""
        await self._stack.aclose()

    async def harm(self) -> Harm:
        """What the fault in force does to one request, its delay already suffered."""
        fault = self.faults.current
        if fault.slow_ms:
            await self.clock.sleep(fault.slow_ms / 1000)
        harm = fault.harm(random.random())
        if harm is Harm.HANG:
            await self.clock.sleep(fault.hang_ms / 1000)
        return harm

    async def live(self, start: Callable[[], Awaitable[Callable[[], Awaitable[None]]]]) -> None:
        """Start, serve until SIGTERM or SIGINT, drain, end; `start` returns what closes the server."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        watch = asyncio.create_task(self.faults.run())
        async with self._stack:
            close = await start()
            await self.stopping.wait()
            log.info("draining for %g s", self.settings.drain)
            await self.clock.sleep(self.settings.drain)
            self.closing.set()
            await close()
            watch.cancel()
        log.info("ended")


Handle = Callable[[Request, Trail], Awaitable[Response]]
Routes = Mapping[str, Handle]


class HttpService:
    """Answers HTTP with a table of handlers, by method and first part of the path ("GET /items")."""

    def __init__(self, process: Process, routes: Routes) -> None:
        self._process = process
        self._routes = routes
        self._server = Server(self.answer)

    async def start(self) -> Callable[[], Awaitable[None]]:
        """Listen; the result closes again."""
        settings = self._process.settings
        port = await self._server.listen(settings.host, settings.port)
        log.info("%s listens on port %d", self._process.place, port)
        drain = asyncio.create_task(self._drain())

        async def close() -> None:
            await drain
            await self._server.close(FINISH_SECONDS)

        return close

    async def _drain(self) -> None:
        await self._process.stopping.wait()
        self._server.drain()

    async def answer(self, request: Request) -> Response:
        """One response, whatever happens below; every one carries the trail."""
        first = "/" + request.path.split("/", 2)[1] if "/" in request.path else "/"
        if first in {"/ready", "/live"}:
            return Response(status=503 if first == "/ready" and self._process.stopping.is_set() else 200)
        trail = self._process.trail()
        response = await self._respond(self._routes.get(f"{request.method} {first}"), request, trail)
        response.headers = {"content-type": "application/json", **response.headers, **trail.headers()}
        return response

    async def _respond(self, handle: Handle | None, request: Request, trail: Trail) -> Response:
        harm = await self._process.harm()
        if harm is Harm.RESET:
            return Response(drop=True)
        if harm is not Harm.NONE:
            trail.broken = str(self._process.place)
            return Response(status=500 if harm is Harm.FAIL else 504)
        if handle is None:
            return Response(status=404)
        try:
            return await handle(request, trail)
        except CallError as error:
            return Response(status=error.status, headers={FAILED: str(error)})
        except ValueError as error:
            return Response(status=400, headers={FAILED: _one_line(error)})
        except (RedisError, OSError) as error:
            log.warning("%s %s: %r", request.method, request.path, error)
            return Response(status=503, headers={FAILED: _one_line(error)})


def _one_line(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text.encode("latin-1", "replace").decode("latin-1")[:200]


def run(service: str, port: int, main: Callable[[Process], Awaitable[None]]) -> None:
    """Run a service's `main` in a fresh event loop; the whole of each program's `__main__`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")

    async def body() -> None:
        await main(Process(read_settings(service, port, os.environ), SystemClock()))

    asyncio.run(body())


def run_http(service: str, make_routes: Callable[[Process], Awaitable[Routes]]) -> None:
    """Run an HTTP service; `make_routes` may open what the handlers need."""

    async def main(process: Process) -> None:
        async def start() -> Callable[[], Awaitable[None]]:
            return await HttpService(process, await make_routes(process)).start()

        await process.live(start)

    run(service, 8080, main)
