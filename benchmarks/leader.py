"""The leading agent with stand-ins around it, on two real API servers: for the benchmark and for tests."""

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

import httpx2

from benchmarks.far import Door, Waypoints, encoded
from benchmarks.traffic import say
from landbridge.agent import names
from landbridge.clients.answers import ConflictError
from landbridge.clients.informer import Informer
from landbridge.clients.kinds import ENDPOINTSLICE, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.connect import identity
from landbridge.lab import ApiServer, apiserver
from landbridge.model.service import Manifest

CLOCK = SystemClock()
NET = "10.250.7"
EXPORT = {names.EXPORTED: "true"}
Places = list[tuple[str, str]]


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

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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


@asynccontextmanager
async def watched(k8s: Kubernetes) -> AsyncIterator[Seen]:
    """A bystander, for as long as the block lasts."""
    seen = Seen(k8s)
    await seen.start()
    try:
        yield seen
    finally:
        await seen.stop()


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

    async def kill(self) -> None:
        """Let it die without a word."""
        if self._agent:
            self._agent.kill()
            await self._agent.wait()

    async def leads(self, *, ready: int, within: float = 120) -> None:
        """Wait until it leads and knows of so many Services that they answer."""

        async def check() -> bool:
            try:
                async with httpx2.AsyncClient(trust_env=False, timeout=2) as http:
                    state = (await http.get(f"http://{NET}.20:{names.AGENT_PORT}/state")).json()
            except httpx2.HTTPError:
                return False
            links = (state.get("duties") or {}).get("links") or {}
            return bool(state["leading"] and links.get("eks", {}).get("ready") == ready)

        await wait_for(check, what=f"{ready} Services answer", within=within, clock=CLOCK)

    async def stop(self) -> None:
        if self._agent and self._agent.returncode is None:
            self._agent.terminate()
            await self._agent.wait()


@asynccontextmanager
async def clusters() -> AsyncIterator[tuple[Kubernetes, Kubernetes, ApiServer]]:
    async with (
        apiserver(name="legacy", say=say) as source,
        apiserver(name="eks", say=say) as target,
        Kubernetes.connect(source.kubeconfig, name="legacy") as legacy,
        Kubernetes.connect(target.kubeconfig, name="eks") as eks,
    ):
        yield legacy, eks, source


@asynccontextmanager
async def joined(legacy: Kubernetes, eks: Kubernetes, spaces: int) -> AsyncIterator[Bed]:
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


async def export(k8s: Kubernetes, places: Places) -> None:
    """The Services of the other cluster, each with a pod behind it."""
    await many(k8s.create(item) for place in places for item in _service(*place))


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


def _small(item: Manifest) -> Manifest:
    meta = item["metadata"]
    kept = {key: meta.get(key) for key in ("name", "namespace", "resourceVersion")}
    turn = (meta.get("labels") or {}).get("turn")
    return {"metadata": kept | {"turn": turn}, "endpoints": item.get("endpoints") or ()}


async def many(work: Iterable[Awaitable[object]]) -> None:
    slots = asyncio.Semaphore(16)

    async def one(item: Awaitable[object]) -> None:
        async with slots:
            await item

    await asyncio.gather(*map(one, work))


async def quiet(api: ApiServer, seconds: float) -> None:
    """Wait until nothing was written for a while."""
    last = [writes(api), CLOCK.monotonic()]

    async def still() -> bool:
        now = writes(api)
        if now != last[0]:
            last[:] = [now, CLOCK.monotonic()]
        return CLOCK.monotonic() - last[1] > seconds

    await wait_for(still, what="nothing is written", within=120, clock=CLOCK, every=1.0)


def writes(api: ApiServer) -> int:
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
