"""The leading agent mirrors 409 and 5,000 Services between two real API servers: how long, how visible, how quiet.

Beside it stand Linkerd's own figures for 409 (reference run on two real clusters; its rate derived from its constants).
Waypoints and the far gateway are stand-ins that answer at once, for what is measured is the agent; needs root.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.far import Door, Waypoints, encoded
from benchmarks.figures import Figure, quantile
from benchmarks.traffic import say
from landbridge.agent import names
from landbridge.clients.answers import ConflictError
from landbridge.clients.informer import Informer
from landbridge.clients.kinds import ENDPOINTSLICE, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.connect import identity
from landbridge.errors import LandbridgeError
from landbridge.lab import ApiServer, apiserver
from landbridge.model.service import Manifest

NAME = "mirrors"
CLOCK = SystemClock()
NET = "10.250.7"
EXPORT = {names.EXPORTED: "true"}
LINKERD = "Linkerd 2.20, once, 2 cores, other work on the machine; in between from 401 back to 149"
DERIVED = "Linkerd: 5 API calls a second, 3 a Service"
Places = list[tuple[str, str]]


async def measure(*, quick: bool) -> list[Figure]:
    """409 in one namespace and 5,000 in 50 (60 and 300)."""
    if os.geteuid() != 0:
        raise LandbridgeError("addresses for waypoints need root", where=NAME)
    few, many, spaces = (60, 300, 5) if quick else (409, 5_000, 50)
    found = [
        Figure(benchmark=NAME, what="Linkerd: first sync of 409", value=684.0, unit="s", why=LINKERD),
        Figure(benchmark=NAME, what="Linkerd: first sync of 409, derived", value=245.0, unit="s", why=DERIVED),
    ]
    found += await _run(few, 1, limit=10.0, twice=True, quick=quick)
    found += await _run(many, spaces, limit=90.0, twice=False, quick=quick)
    return found


async def _run(count: int, spaces: int, *, limit: float, twice: bool, quick: bool) -> list[Figure]:
    async with _clusters() as (legacy, eks, api), _joined(legacy, eks, spaces) as bed:
        places = [(f"team-{n % spaces:02d}", f"svc-{n:04d}") for n in range(count)]
        await _export(eks, places)
        say(f"  {count:,} Services are exported")
        seen = Seen(legacy)
        await seen.start()
        began = time.perf_counter()
        agent = await bed.start()
        again = asyncio.create_task(_write_again(eks, places)) if twice else None
        first = await seen.until(lambda: seen.mirrors == count and seen.ready == count, 600) - began
        if again:
            await again
        say(f"  {count:,} mirrors after {first:.1f} s")
        figures = [
            Figure(benchmark=NAME, what=f"{count:,} mirrors: first sync", value=first, unit="s", limit=limit),
            Figure(
                benchmark=NAME,
                what=f"{count:,} mirrors: most that were taken back meanwhile",
                value=seen.lost,
                limit=0,
                why="every Service was written again meanwhile" if twice else "",
            ),
        ]
        figures.append(await _changes(eks, seen, places, 40 if quick else 200))
        await _quiet(api, 5)
        minute = 10.0 if quick else 60.0
        before = _writes(api)
        await CLOCK.sleep(minute)
        what = f"{count:,} mirrors: writes in {minute:g} s without a change"
        why = "but for the leader's Lease"
        figures.append(Figure(benchmark=NAME, what=what, value=_writes(api) - before, limit=0, why=why))
        rss = _rss(agent.pid)
        figures.append(
            Figure(benchmark=NAME, what=f"{count:,} mirrors: memory of the agent", value=rss, unit="MB", limit=150)
        )
        if twice:
            bed.door.swallow()
            began = time.perf_counter()
            dead = await seen.until(lambda: seen.ready == 0, 60) - began
            what = f"{count:,} mirrors: gateway swallows packets to none ready"
            figures.append(Figure(benchmark=NAME, what=what, value=dead, unit="s", limit=10.0))
        return figures


class Seen:
    """Mirrors and their slices as a bystander sees them; `lost` is the most that were there and went."""

    def __init__(self, k8s: Kubernetes) -> None:
        labels = f"{names.MIRRORED}=true"
        ours = f"{names.SLICE_MANAGED_BY}={names.SLICE_MANAGER}"
        self.services = Informer(k8s, SERVICE, labels=labels, on_change=self._note, keep=_small)
        self.slices = Informer(k8s, ENDPOINTSLICE, labels=ours, on_change=self._slice, keep=_small)
        self._ready: set[tuple[str, str]] = set()
        self._changed = asyncio.Event()
        self._most = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.lost = 0

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self.services.run()), asyncio.create_task(self.slices.run())]
        await asyncio.gather(self.services.synced.wait(), self.slices.synced.wait())

    @property
    def mirrors(self) -> int:
        return len(self.services.items)

    @property
    def ready(self) -> int:
        return len(self._ready)

    async def until(self, condition: Callable[[], bool], within: float) -> float:
        """When it became true, by the performance counter."""
        async with asyncio.timeout(within):
            while not condition():
                self._changed.clear()
                await self._changed.wait()
        return time.perf_counter()

    def _note(self, _: str, __: Manifest) -> None:
        self._most = max(self._most, self.mirrors)
        self.lost = max(self.lost, self._most - self.mirrors)
        self._changed.set()

    def _slice(self, event: str, item: Manifest) -> None:
        key = (item["metadata"]["namespace"], item["metadata"]["name"])
        up = event != "DELETED" and all(entry["conditions"]["ready"] for entry in item["endpoints"])
        (self._ready.add if up else self._ready.discard)(key)
        self._changed.set()


class Bed:
    """What the leading agent works with: certificates, stand-ins, and how it is started."""

    def __init__(self, folder: Path, kubeconfig: Path, door: Door) -> None:
        self._folder = folder
        self._kubeconfig = kubeconfig
        self._agent: asyncio.subprocess.Process | None = None
        self.door = door

    async def start(self) -> asyncio.subprocess.Process:
        words = ["--role", "gateway", "--namespace", names.NAMESPACE, "--cluster", "legacy", "--link", "eks"]
        words += ["--envoy-dir", str(self._folder / "envoy"), "--tls-dir", str(self._folder / "tls")]
        words += ["--admin", f"{NET}.20:15000", "--serve", f"{NET}.20:{names.AGENT_PORT}"]
        words += ["--kubeconfig", str(self._kubeconfig)]
        with (self._folder / "agent.log").open("ab") as log:
            self._agent = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "landbridge.agent", *words),
                stdout=log,
                stderr=log,
                env=dict(os.environ) | {"LANDBRIDGE_AGENT_CHILD": "1", "POD_NAME": "leader"},
            )
        return self._agent

    async def stop(self) -> None:
        if self._agent and self._agent.returncode is None:
            self._agent.terminate()
            await self._agent.wait()


@asynccontextmanager
async def _clusters() -> AsyncIterator[tuple[Kubernetes, Kubernetes, ApiServer]]:
    async with (
        apiserver(name="legacy", say=say) as source,
        apiserver(name="eks", say=say) as target,
        Kubernetes.connect(source.kubeconfig, name="legacy") as legacy,
        Kubernetes.connect(target.kubeconfig, name="eks") as eks,
    ):
        yield legacy, eks, source


@asynccontextmanager
async def _joined(legacy: Kubernetes, eks: Kubernetes, spaces: int) -> AsyncIterator[Bed]:
    """Namespaces, certificates and the link by hand; a waypoint a namespace, and the far gateway."""
    async with AsyncExitStack() as stack:
        stack.enter_context(_addresses())
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="landbridge-bench-")))
        mine, theirs = (identity.make_authority(name, now=CLOCK.now()) for name in ("legacy", "eks"))
        who = identity.spiffe("eks", names.NAMESPACE, names.GATEWAY)
        _tls(folder / "tls", mine, identity.spiffe("legacy", names.NAMESPACE, names.GATEWAY), theirs.trusted)
        _tls(folder / "far", theirs, who, mine.trusted)
        door = await stack.enter_async_context(Door.open(f"{NET}.30", 15443, _server(folder / "far")))
        link = {"cluster": "eks", "gateway": [f"{NET}.30:15443"], "identity": who}
        data = {"kubeconfig": _kubeconfig(eks), "link.json": json.dumps(link), "ca.crt": theirs.trusted}
        for k8s in (legacy, eks):
            for space in (names.NAMESPACE, *(f"team-{n:02d}" for n in range(spaces))):
                with suppress(ConflictError):
                    await k8s.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
        await _secret(legacy, names.CA, {"tls.crt": mine.certificate, "tls.key": mine.key})
        await _secret(legacy, f"{names.LINK}eks", data)
        addresses = {f"team-{n:02d}": f"{NET}.{100 + n}" for n in range(spaces)}
        await stack.enter_async_context(Waypoints.open(legacy, addresses))
        bed = Bed(folder, Path(_file(folder, legacy)), door)
        stack.push_async_callback(bed.stop)
        yield bed


@contextmanager
def _addresses() -> Iterator[None]:
    route = ["local", f"{NET}.0/24", "dev", "lo"]
    subprocess.run(["ip", "route", "replace", *route], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "route", "del", *route], check=False)


def _tls(folder: Path, authority: identity.Authority, who: str, trusted: bytes) -> None:
    folder.mkdir(parents=True)
    leaf = identity.issue(authority, who, now=CLOCK.now())
    for name, content in identity.tls_files(leaf, [trusted]).items():
        (folder / name).write_bytes(content)


def _server(folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    context.load_verify_locations(folder / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def _kubeconfig(k8s: Kubernetes) -> str:
    """A kubeconfig with what the client itself uses."""
    context = k8s.context
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": context.name,
            "clusters": [{"name": context.name, "cluster": dict(context.cluster)}],
            "users": [{"name": context.name, "user": dict(context.user)}],
            "contexts": [{"name": context.name, "context": {"cluster": context.name, "user": context.name}}],
        }
    )


def _file(folder: Path, k8s: Kubernetes) -> str:
    file = folder / f"{k8s.name}.kubeconfig"
    file.write_text(_kubeconfig(k8s))
    file.chmod(0o600)
    return str(file)


async def _secret(k8s: Kubernetes, name: str, data: dict[str, Any]) -> None:
    meta = {"name": name, "namespace": names.NAMESPACE}
    await k8s.create({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": encoded(data)})


async def _export(k8s: Kubernetes, places: Places) -> None:
    """The Services of the other cluster, each with a pod behind it."""
    await _many(k8s.create(item) for place in places for item in _service(*place))


def _service(space: str, name: str) -> Iterable[Manifest]:
    meta = {"name": name, "namespace": space, "labels": EXPORT | {"team": space}, "annotations": {"owner": "us"}}
    spec = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
    labels = {names.SERVICE_NAME: name, names.SLICE_MANAGED_BY: "endpointslice-controller.k8s.io"} | EXPORT
    yield {
        "apiVersion": ENDPOINTSLICE.api_version,
        "kind": ENDPOINTSLICE.kind,
        "metadata": {"name": f"{name}-abcde", "namespace": space, "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.92.0.9"], "conditions": {"ready": True}}],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


async def _write_again(k8s: Kubernetes, places: Places) -> None:
    """So that the agent hears of every Service twice."""
    note = {"metadata": {"annotations": {"seen": "twice"}}}
    await _many(k8s.patch(SERVICE, name, note, space) for space, name in places)


async def _changes(k8s: Kubernetes, seen: Seen, places: Places, count: int) -> Figure:
    """From the answer to a write there to what a bystander sees here: a label, an un-export, an empty leaf."""
    times: list[float] = []
    for turn in range(count):
        space, name = places[turn * 37 % len(places)]
        key = (space, f"{name}-eks")
        match turn % 3:
            case 0:
                await k8s.patch(SERVICE, name, {"metadata": {"labels": {"turn": str(turn)}}}, space)
                done = _label_is(seen, key, str(turn))
            case 1:
                await k8s.patch(SERVICE, name, {"metadata": {"labels": {names.EXPORTED: None}}}, space)
                done = _is_gone(seen, key)
            case _:
                entry = {"addresses": ["10.92.0.9"], "conditions": {"ready": False}}
                await k8s.patch(ENDPOINTSLICE, f"{name}-abcde", {"endpoints": [entry]}, space)
                done = _is_unready(seen, key)
        began = time.perf_counter()
        times.append(await seen.until(done, 60) - began)
        await k8s.patch(SERVICE, name, {"metadata": {"labels": EXPORT}}, space)
        entry = {"addresses": ["10.92.0.9"], "conditions": {"ready": True}}
        await k8s.patch(ENDPOINTSLICE, f"{name}-abcde", {"endpoints": [entry]}, space)
    return Figure(
        benchmark=NAME,
        what=f"{len(places):,} mirrors: a change is visible, p99",
        value=quantile(times, 0.99),
        unit="s",
        limit=1.0,
        why=f"p50 {quantile(times, 0.5):.3f} s of {count}",
    )


def _label_is(seen: Seen, key: tuple[str, str], value: str) -> Callable[[], bool]:
    return lambda: (seen.services.items.get(key) or {"metadata": {}})["metadata"].get("turn") == value


def _is_gone(seen: Seen, key: tuple[str, str]) -> Callable[[], bool]:
    return lambda: key not in seen.services.items


def _is_unready(seen: Seen, key: tuple[str, str]) -> Callable[[], bool]:
    name = (key[0], names.slice_name(key[1], "IPv4"))
    return lambda: not all(e["conditions"]["ready"] for e in (seen.slices.items.get(name) or {}).get("endpoints", ()))


def _small(item: Manifest) -> Manifest:
    meta = item["metadata"]
    kept = {key: meta.get(key) for key in ("name", "namespace", "resourceVersion")}
    turn = (meta.get("labels") or {}).get("turn")
    return {"metadata": kept | {"turn": turn}, "endpoints": item.get("endpoints") or ()}


async def _many(work: Iterable[Awaitable[object]]) -> None:
    slots = asyncio.Semaphore(32)

    async def one(item: Awaitable[object]) -> None:
        async with slots:
            await item

    await asyncio.gather(*map(one, work))


async def _quiet(api: ApiServer, seconds: float) -> None:
    """Wait until nothing was written for a while."""
    last = [_writes(api), CLOCK.monotonic()]

    async def still() -> bool:
        now = _writes(api)
        if now != last[0]:
            last[:] = [now, CLOCK.monotonic()]
        return CLOCK.monotonic() - last[1] > seconds

    await wait_for(still, what="nothing is written", within=120, clock=CLOCK, every=1.0)


def _writes(api: ApiServer) -> int:
    """Writes so far, whoever's, but for Leases."""
    verbs = ('"verb":"create"', '"verb":"patch"', '"verb":"update"', '"verb":"delete"')
    with api.audit.open() as lines:
        return sum(
            '"stage":"ResponseComplete"' in line
            and any(verb in line for verb in verbs)
            and '"resource":"leases"' not in line
            and "subjectaccessreviews" not in line
            for line in lines
        )


def _rss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return float("nan")
