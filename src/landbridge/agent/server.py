"""The agent's read-only port: counters, state and metrics. Envoy's admin interface is never passed on."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import uvicorn
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from landbridge.agent.admin import Admin, EnvoyAwayError
from landbridge.agent.options import Options
from landbridge.clock import Clock
from landbridge.envoy import counters
from landbridge.envoy.state import Waypoint

INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
LISTENER = r"^listener\..*\.downstream_cx_active$"


class Worker(Protocol):
    """What the port tells about: the agent of a waypoint or of a gateway."""

    def state(self) -> dict[str, Any]:
        """What `/state` says."""
        ...

    def watch_age(self) -> float:
        """Seconds since the API server last proved to live."""
        ...

    def obeyed_state(self) -> Waypoint | None:
        """What Envoy has acknowledged last; None for a gateway, which divides nothing."""
        ...


class Pages:
    """The answers; each is read from Envoy at the moment of the question, so nothing is stale."""

    def __init__(self, options: Options, worker: Worker, admin: Admin, clock: Clock) -> None:
        self._options = options
        self._worker = worker
        self._admin = admin
        self._clock = clock

    async def counters(self) -> dict[str, Any]:
        """Cumulative counts per route and backend since Envoy's start, with the weights in force."""
        # not the statistic server.uptime, which is as old as the last flush: somebody else's question, 5 s ago
        info = await self._admin.json("/server_info")
        # before the counters are asked for, which may take seconds where nobody has a core to spare
        start = self._clock.now() - float(str(info["uptime_all_epochs"]).removesuffix("s"))
        stats = await self._admin.json(counters.COUNTERS_PATH)
        now = self._clock.now()
        obeyed = self._worker.obeyed_state()
        routes = counters.counters(stats, obeyed) if obeyed else {}
        return self._head() | {"at": now, "envoy_start": start, "routes": routes}

    async def state(self) -> dict[str, Any]:
        """What is obeyed, how many connections each waypoint port holds, and what Envoy is about to run out of."""
        held: dict[str, int] = {}
        overflows: dict[str, int] = {}
        with suppress(EnvoyAwayError):
            held = by_port(await self._admin.stats(LISTENER))
            overflows = counters.overflows(await self._admin.json(counters.OVERFLOWS_PATH))
        seen = {"at": self._clock.now(), "connections": held, "overflows": overflows, "inotify": inotify_limit()}
        return self._head() | seen | self._worker.state()

    def active(self) -> dict[str, Any]:
        """Which listeners serve, by their ports: asked ten times a second while Services are adopted, and Envoy, which
        goes through all its statistics for each question, is left alone.
        """
        return self._head() | {"active": self._worker.state().get("active") or {}}

    def metrics(self) -> bytes:
        """The agent's own numbers in Prometheus' text format."""
        registry = CollectorRegistry()
        state = self._worker.state()
        Gauge("landbridge_agent_watch_age_seconds", "Since the API server last proved to live.", registry=registry).set(
            self._worker.watch_age()
        )
        Gauge("landbridge_agent_acknowledged", "1: Envoy obeys all that was written.", registry=registry).set(
            bool(state.get("acknowledged"))
        )
        weight = Gauge("landbridge_split_weight", "Weight in force.", ["service", "backend"], registry=registry)
        for service, item in (state.get("splits") or {}).items():
            for found in item["weights"].values():
                for backend, value in found.items():
                    weight.labels(service, backend).set(value)
        return generate_latest(registry)

    def _head(self) -> dict[str, Any]:
        return {
            "pod": self._options.uid or self._options.holder,
            "namespace": self._options.namespace,
            "cluster": self._options.cluster,
            "watch_age": round(self._worker.watch_age(), 3),
        }


def inotify_limit(path: Path = INOTIFY) -> int:
    """How many inotify instances a uid may have on this node; 0 where that is not to be read."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def by_port(stats: Mapping[str, Any]) -> dict[str, int]:
    """Open connections by listening port, from `listener.[__]_20000.downstream_cx_active`."""
    found: dict[str, int] = {}
    for name, value in stats.items():
        port = name.removesuffix(".downstream_cx_active").rpartition("_")[2]
        if port.isdecimal() and ".worker_" not in name:
            found[port] = found.get(port, 0) + int(value)
    return found


def application(pages: Pages) -> Starlette:
    """The four pages; everything else is 404, every method but GET 405."""

    async def counts(_: Request) -> Response:
        try:
            return JSONResponse(await pages.counters())
        except EnvoyAwayError as error:
            return JSONResponse({"problem": error.what}, status_code=503)

    async def state(_: Request) -> Response:
        return JSONResponse(await pages.state())

    async def active(_: Request) -> Response:
        return JSONResponse(pages.active())

    async def metrics(_: Request) -> Response:
        return Response(pages.metrics(), media_type="text/plain; version=0.0.4")

    pairs: Mapping[str, Callable[[Request], Any]] = {
        "/counters": counts,
        "/state": state,
        "/active": active,
        "/metrics": metrics,
    }
    return Starlette(routes=[Route(path, page, methods=["GET"]) for path, page in pairs.items()])


class Quiet(uvicorn.Server):
    """A server that leaves signals to the agent, and does nothing while nobody asks."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the agent's own."""
        yield

    async def main_loop(self) -> None:
        """Until cancelled: uvicorn's own wakes ten times a second, which was a tenth of what an idle agent costs."""
        await self.on_tick(0)
        await asyncio.Event().wait()


async def serve(options: Options, pages: Pages) -> None:
    """Listen until cancelled; OSError when the port is taken."""
    host, _, port = options.serve.rpartition(":")
    config = uvicorn.Config(
        application(pages), log_level="warning", access_log=False, lifespan="off", date_header=False
    )
    with socket.create_server((host.strip("[]"), int(port))) as listening:
        await Quiet(config).serve([listening])
