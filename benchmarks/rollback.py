"""From a verdict to the last request that the target gets, against what the API server and Envoy need by themselves.

One Service is split at 50 % by a real API server, a waypoint's agent as a process and its Envoy, under open-loop
traffic. Each round writes weight 0 as the runner's observer does and notes when the target's backend saw its last
request. In the same rounds, in the same load: how long an API write takes to reach a watcher, and how long an Envoy
of its own takes to obey a renamed file. Needs root: EndpointSlices refuse loopback addresses.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.agent.bed import CLOCK, Bed, Seat
from tests.envoy.envoys import Envoy, running, write
from tests.envoy.pair import Addresses, waypoint_state

from benchmarks.clusters import addresses
from benchmarks.figures import Figure, quantile
from benchmarks.traffic import Backends, ask, backends, bed, loading, say
from landbridge.agent import names
from landbridge.clients.informer import Informer
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import wait_for
from landbridge.envoy.counters import VERSIONS_PATH, acknowledged
from landbridge.envoy.discovery import version_of
from landbridge.envoy.names import ROUTES_FILE
from landbridge.envoy.render import files
from landbridge.errors import LandbridgeError
from landbridge.lab import apiserver
from landbridge.model.service import Manifest, ServiceId, Side
from landbridge.shift.router import Place
from landbridge.shift.trafficsplit import TrafficSplitRouter

NAME = "rollback"
BOUND = 3.0
RATE = 1000.0
"""Requests a second; half of them go to the target, so its last one is known to about 2 ms."""
LISTEN = 20000
QUIET = 0.2
"""The target's last request was its last when none has come for so long: a hundred times their distance."""


@dataclass
class Times:
    """Seconds of each round."""

    rollback: list[float] = field(default_factory=list)
    api: list[float] = field(default_factory=list)
    envoy: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Shop:
    """What a round works on."""

    bed: Bed
    seat: Seat
    backends: Backends
    router: TrafficSplitRouter
    other: TrafficSplitRouter
    """The split of a Service in a namespace that no agent follows."""
    events: Mapping[str, float]
    """When a watcher of that split has seen each of its versions."""
    envoy: Envoy
    at: Addresses


async def measure(*, quick: bool) -> list[Figure]:
    """200 rollbacks (20)."""
    rounds, times = 20 if quick else 200, Times()
    async with AsyncExitStack() as stack:
        prefix = stack.enter_context(local_addresses())
        named = {"home": f"{prefix}.101:8080", "target": f"{prefix}.102:8080"}
        serving = await stack.enter_async_context(backends(named))
        alone = await ask(named["target"], int(5 * RATE), rate=RATE)
        shop = await stack.enter_async_context(_shop(prefix, serving))
        load = await stack.enter_async_context(AsyncExitStack())
        through = await load.enter_async_context(loading(f"{shop.seat.address}:{LISTEN}", rate=RATE))
        for done in range(rounds):
            times.rollback.append(await _roll_back(shop))
            times.api.append(await _api(shop))
            times.envoy.append(await _envoy(shop, done))
            if done % 50 == 49:
                say(f"  {done + 1} rollbacks")
        await load.aclose()
        lost = Figure(
            benchmark=NAME,
            what="requests that failed meanwhile",
            value=through.tally.failed,
            limit=0,
            why=f"of {through.tally.requests:,} {through.tally.failures()}".strip(),
        )
    return [*bed(NAME, alone), lost, *figures(times)]


def figures(times: Times) -> list[Figure]:
    """Medians, and the 99th percentile against that of both peers."""
    own, api, envoy = ([1000 * value for value in values] for values in (times.rollback, times.api, times.envoy))
    parts = {"API write to watch event": api, "Envoy from file": envoy, "verdict to zero target traffic": own}
    limit = BOUND * (quantile(api, 0.99) + quantile(envoy, 0.99))
    why = f"{BOUND:g} x ({quantile(api, 0.99):.1f} + {quantile(envoy, 0.99):.1f}) of the same run, {len(own)} rollbacks"
    said = [
        Figure(benchmark=NAME, what=f"p50 of {what}", value=quantile(values, 0.5), unit="ms")
        for what, values in parts.items()
    ]
    worst = Figure(benchmark=NAME, what="slowest of verdict to zero target traffic", value=max(own), unit="ms")
    last = "p99 of verdict to zero target traffic"
    return [
        *said,
        worst,
        Figure(benchmark=NAME, what=last, value=quantile(own, 0.99), unit="ms", limit=limit, why=why),
    ]


async def _roll_back(shop: Shop) -> float:
    """Split the traffic, wait until the target has its share, cut; seconds until its last request."""
    before = (await shop.backends.seen())["target"].requests
    await shop.router.set_weight(await shop.router.get_weight(), 50)

    async def shared() -> bool:
        return (await shop.backends.seen())["target"].requests > before + 50

    await wait_for(shared, what="the target gets traffic", within=20, clock=CLOCK, every=0.02)
    live = await shop.router.get_weight()
    verdict = time.monotonic()
    await shop.router.set_weight(live, 0)

    async def over() -> bool:
        return time.monotonic() - max(verdict, (await shop.backends.seen())["target"].last) > QUIET

    await wait_for(over, what="the target gets no traffic", within=20, clock=CLOCK, every=0.02)
    return max(0.0, (await shop.backends.seen())["target"].last - verdict)


async def _api(shop: Shop) -> float:
    """The same kind of write until a watcher has it."""
    live = await shop.other.get_weight()
    written = time.monotonic()
    receipt = await shop.other.set_weight(live, 50 - live.percent)

    async def known() -> float | None:
        return shop.events.get(receipt.version)

    return await wait_for(known, what="the event", within=20, clock=CLOCK, every=0.01) - written


async def _envoy(shop: Shop, number: int) -> float:
    """Rename a file of routes with another weight; seconds until Envoy says that it obeys it."""
    wanted = dict(files(waypoint_state(shop.at, 1 + number % 99), shop.envoy.places))[ROUTES_FILE]
    version = version_of(wanted)
    reader, writer = await asyncio.open_connection(*shop.envoy.admin)
    try:
        began = time.monotonic()
        write(shop.envoy.folder, ROUTES_FILE, wanted)
        while True:
            writer.write(f"GET {VERSIONS_PATH} HTTP/1.1\r\nhost: admin\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            body = await _body(reader, head)
            if acknowledged(json.loads(body)).get(ROUTES_FILE) == version:
                return time.monotonic() - began
    finally:
        writer.close()


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    """A chunked answer of Envoy's admin interface."""
    if b"chunked" not in head.lower():
        raise LandbridgeError(f"Envoy's admin interface answered {head[:60]!r}")
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body


@asynccontextmanager
async def _shop(prefix: str, serving: Backends) -> AsyncIterator[Shop]:
    """An adopted Service with its waypoint, a split that nobody follows, and an Envoy that nobody asks."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(apiserver(say=say))
        k8s = await stack.enter_async_context(Kubernetes.connect(server.kubeconfig, name=server.name))
        made = await stack.enter_async_context(Bed(k8s, server.kubeconfig, prefix))
        seat = await _seat(made)
        own, other = _router(k8s, made.namespace), _router(k8s, "elsewhere")
        await k8s.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "elsewhere"}})
        await own.prepare()
        await other.prepare()
        at = addresses()
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="landbridge-bench-")))
        peer = running(waypoint_state(at, 50), folder, folder, (at.waypoint, 15000))
        envoy = await stack.enter_async_context(peer)
        events = stack.enter_context(_watched(other))
        yield Shop(bed=made, seat=seat, backends=serving, router=own, other=other, events=events, envoy=envoy, at=at)


async def _seat(made: Bed) -> Seat:
    """The waypoint of the Service `web`, ready."""
    await made.adopted("web")
    await made.service("web-eks")
    await made.slice("web-leaf", f"{made.prefix}.101")
    await made.slice("web-eks", f"{made.prefix}.102")
    record = {"web.80.tcp": json.dumps({"listen": LISTEN, "protocol": "http"})}
    meta = {"name": names.PORT_RECORD, "namespace": made.namespace}
    await made.k8s.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": record})
    seat = await made.running("waypoint", 11)
    await seat.until(lambda state: state["acknowledged"], "Envoy obeys")
    return seat


@contextmanager
def _watched(router: TrafficSplitRouter) -> Iterator[Mapping[str, float]]:
    """Version to the moment in which a watcher of its own saw it."""
    events: dict[str, float] = {}

    def note(_: str, item: Manifest) -> None:
        events[item["metadata"]["resourceVersion"]] = time.monotonic()

    informer = Informer(router.place.k8s, router.kind, router.service.namespace, on_change=note)
    following = asyncio.create_task(informer.run())
    try:
        yield events
    finally:
        following.cancel()


def _router(k8s: Kubernetes, namespace: str) -> TrafficSplitRouter:
    place = Place(k8s=k8s, side=Side.SOURCE, other="eks", lease=False)
    return TrafficSplitRouter(place, ServiceId(namespace=namespace, name="web"))


@contextmanager
def local_addresses() -> Iterator[str]:
    """A prefix of which every address is this machine's own while the block lasts."""
    if os.geteuid() != 0:
        raise LandbridgeError("addresses that an EndpointSlice takes need root")
    prefix = f"10.252.{os.getpid() % 250}"
    route = ["local", f"{prefix}.0/24", "dev", "lo"]
    subprocess.run(["ip", "route", "replace", *route], check=True)
    try:
        yield prefix
    finally:
        subprocess.run(["ip", "route", "del", *route], check=False)
