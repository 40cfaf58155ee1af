"""Real parts around an agent on one machine: Envoys, agents as processes, small backends, addresses of their own.

EndpointSlices refuse loopback addresses, so a range that nobody routes is made local for the test (needs root).
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import httpx2
import pytest

import envoy  # type: ignore[import-untyped]
from landbridge.agent import names
from landbridge.agent.options import Options, Role
from landbridge.agent.seed import seed
from landbridge.clients.answers import ConflictError
from landbridge.clients.kubernetes import ENDPOINTSLICE, POD, SERVICE, TRAFFICSPLIT, Kubernetes
from landbridge.clock import DeadlineError, SystemClock, wait_for
from landbridge.connect import crds, identity
from landbridge.model.service import Manifest

CLOCK = SystemClock()
ENVOY = Path(envoy.__file__).parent / "_bin" / "envoy"
CLUSTER = "legacy"
ENVOY_UID = 62000
_worker = int("".join(filter(str.isdecimal, os.environ.get("PYTEST_XDIST_WORKER", "0"))) or 0)
_number = itertools.count(os.getpid() % 1000 * 10)


@cache
def envoy_for_all() -> str:
    """Envoy where another user may run it: a checkout in a private home, as root's, is closed to everybody else."""
    if all(folder.stat().st_mode & 0o001 for folder in ENVOY.parents):
        return str(ENVOY)
    folder = tempfile.mkdtemp(prefix="landbridge-envoy-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    Path(folder).chmod(0o755)
    return shutil.copy(ENVOY, folder)


@contextmanager
def local_addresses() -> Iterator[str]:
    """A prefix `10.251.N` of which every address is this machine's own while the block lasts."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make addresses local")
    prefix = f"10.251.{_worker + 1}"
    route = ["local", f"{prefix}.0/24", "dev", "lo"]
    subprocess.run(["ip", "route", "replace", *route], check=True)
    try:
        yield prefix
    finally:
        subprocess.run(["ip", "route", "del", *route], check=False)


@asynccontextmanager
async def http_backend(address: str, port: int, name: str) -> AsyncIterator[dict[str, int]]:
    """An HTTP/1.1 server that says its name in `x-served-by`; yields its counter."""
    counter = {"requests": 0}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                counter["requests"] += 1
                head = f"HTTP/1.1 200 OK\r\nx-served-by: {name}\r\ncontent-length: 0\r\n\r\n"
                writer.write(head.encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, address, port, backlog=512)
    try:
        yield counter
    finally:
        server.close()


@dataclass
class Seat:
    """One pod's place: an Envoy and an agent at an address of their own."""

    address: str
    folder: Path
    role: str
    namespace: str
    kubeconfig: Path
    cluster: str
    name: str
    links: tuple[str, ...] = ()
    policies: str = ""
    envoy: asyncio.subprocess.Process | None = None
    agent: asyncio.subprocess.Process | None = None
    uid: str = ""
    supervised: bool = False
    exports: str = ""
    hop_header: str = ""
    hosts: Path | None = None

    @property
    def envoy_dir(self) -> Path:
        return self.folder / "envoy"

    @property
    def tls_dir(self) -> Path:
        return self.folder / "tls"

    def arguments(self) -> list[str]:
        pairs = {
            "--role": self.role,
            "--namespace": self.namespace,
            "--cluster": self.cluster,
            "--envoy-dir": str(self.envoy_dir),
            "--tls-dir": str(self.tls_dir),
            "--admin": f"{self.address}:15000",
            "--bind": self.address,
            "--serve": f"{self.address}:{names.AGENT_PORT}",
            "--kubeconfig": str(self.kubeconfig),
        }
        pairs |= {"--policies": self.policies} if self.policies else {}
        found = [word for pair in pairs.items() for word in pair]
        found += ["--exports", self.exports] if self.exports else []
        found += ["--hop-header", self.hop_header] if self.hop_header else []
        return found + [word for link in self.links for word in ("--link", link)]

    def seed(self) -> None:
        self.tls_dir.mkdir(parents=True, exist_ok=True)
        options = Options(
            role=Role(self.role),
            namespace=self.namespace,
            cluster=self.cluster,
            envoy_dir=self.envoy_dir,
            tls_dir=self.tls_dir,
            admin=f"{self.address}:15000",
            bind=self.address,
        )
        seed(options)

    async def start_envoy(self) -> None:
        with (self.folder / "envoy.log").open("ab") as log:
            command = [envoy_for_all(), "-c", str(self.envoy_dir / "bootstrap.json"), "--disable-hot-restart"]
            command += ["--log-level", "warning", "--concurrency", "1", "--drain-time-s", "2"]
            uid = ENVOY_UID + int(self.address.rpartition(".")[2])  # inotify instances are counted per uid
            self.envoy = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, user=uid, group=0)

    async def start_agent(self) -> None:
        with (self.folder / "agent.log").open("ab") as log:
            self.agent = await asyncio.create_subprocess_exec(
                *self._own_names(),
                sys.executable,
                "-m",
                "landbridge.agent",
                *self.arguments(),
                stdout=log,
                stderr=log,
                env=self._environment(),
            )

    def _own_names(self) -> list[str]:
        """What lets the agent resolve names by a hosts file of its own, in a mount namespace of its own."""
        if self.hosts is None:
            return []
        return ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(self.hosts)]

    def _environment(self) -> dict[str, str]:
        alone = {} if self.supervised else {"LANDBRIDGE_AGENT_CHILD": "1"}
        return dict(os.environ) | {"POD_NAME": self.name, "POD_UID": self.uid} | alone

    async def stop(self) -> None:
        for process in (self.envoy, self.agent):
            if process and process.returncode is None:
                process.terminate()
        for process in (self.envoy, self.agent):
            if process:
                try:
                    await asyncio.wait_for(process.wait(), 10)
                except TimeoutError:
                    process.kill()

    async def get(self, page: str) -> dict[str, Any]:
        """A page of the agent, {} when it does not answer."""
        try:
            async with httpx2.AsyncClient(trust_env=False, timeout=2) as http:
                answer = await http.get(f"http://{self.address}:{names.AGENT_PORT}{page}")
                return dict(answer.json()) if answer.status_code == 200 else {}
        except httpx2.HTTPError:
            return {}

    async def is_ready(self) -> bool:
        """What the kubelet's probe would see."""
        try:
            async with httpx2.AsyncClient(trust_env=False, timeout=2) as http:
                return (await http.get(f"http://{self.address}:15021/ready")).status_code == 200
        except httpx2.HTTPError:
            return False

    async def until(self, condition: Any, what: str, within: float = 60) -> dict[str, Any]:
        """Wait until `/state` satisfies a condition."""

        async def check() -> dict[str, Any] | None:
            state = await self.get("/state")
            return state if state and condition(state) else None

        try:
            return await wait_for(check, what=what, within=within, clock=CLOCK, every=0.05)
        except DeadlineError as error:
            raise AssertionError(f"{error}\n{await self.get('/state')}\n{self.tail()}") from None

    def tail(self) -> str:
        """The ends of both logs."""
        texts = [(self.folder / f"{name}.log") for name in ("agent", "envoy")]
        return "\n".join(file.read_text()[-3000:] for file in texts if file.exists())


class Bed:
    """A cluster's API server with the objects that an agent needs, and seats for pods."""

    def __init__(self, k8s: Kubernetes, kubeconfig: Path, prefix: str, cluster: str = CLUSTER) -> None:
        self.k8s = k8s
        self.kubeconfig = kubeconfig
        self.folder = Path()
        self.prefix = prefix
        self.cluster = cluster
        self.namespace = f"shop{next(_number)}"
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        self.folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="landbridge-agent-")))
        self.folder.chmod(0o755)  # Envoy runs as another user
        for namespace in (names.NAMESPACE, self.namespace):
            with suppress(ConflictError):
                await self.k8s.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        with suppress(ConflictError):
            await self.k8s.create(crds.trafficsplit())

        async def served() -> bool:
            found = await self.k8s.served()
            return (TRAFFICSPLIT.group, TRAFFICSPLIT.kind) in found

        await wait_for(served, what="TrafficSplit is served", within=20, clock=CLOCK)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()
        await self._clear()

    async def _clear(self) -> None:
        """Others use this API server too: what is adopted or exported here is nothing to them."""
        for kind in (SERVICE, ENDPOINTSLICE, TRAFFICSPLIT):
            for item in await self.k8s.list(kind, self.namespace):
                await self.k8s.delete(kind, item["metadata"]["name"], self.namespace)

    async def seat(self, role: str, number: int, *, namespace: str = "", links: tuple[str, ...] = ()) -> Seat:
        """A pod: seeded, with Envoy and agent running, and a Pod object."""
        space = namespace or (self.namespace if role == "waypoint" else names.NAMESPACE)
        name = f"{role}-{number}-{self.namespace}"
        folder = self.folder / name
        folder.mkdir(parents=True)
        seat = Seat(
            address=f"{self.prefix}.{number}",
            folder=folder,
            role=role,
            namespace=space,
            kubeconfig=self.kubeconfig,
            cluster=self.cluster,
            name=name,
            links=links,
        )
        seat.uid = await self._pod(seat)
        self._stack.push_async_callback(seat.stop)
        seat.seed()
        return seat

    async def running(self, role: str, number: int, **more: Any) -> Seat:
        """A pod that was just started."""
        seat = await self.seat(role, number, **more)
        await seat.start_envoy()
        await seat.start_agent()
        return seat

    async def _pod(self, seat: Seat) -> str:
        labels = {names.ROLE: seat.role}
        spec = {"nodeName": "node", "containers": [{"name": "envoy", "image": "envoy"}]}
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": spec}
        pod |= {"metadata": {"name": seat.name, "namespace": seat.namespace, "labels": labels}}
        made = await self.k8s.create(pod)
        return str(made["metadata"]["uid"])

    async def probe(self, seat: Seat, *, ready: bool | None = None) -> None:
        """What a kubelet does: the pod's readiness is what Envoy answers (or what the test says)."""

        async def answers() -> bool:
            return await seat.is_ready()

        if ready is None:
            await wait_for(answers, what=f"{seat.name} is ready", within=60, clock=CLOCK)
            ready = True
        status = {
            "podIP": seat.address,
            "podIPs": [{"ip": seat.address}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        }
        await self.k8s.patch(POD, seat.name, {"status": status}, seat.namespace, subresource="status")

    async def service(
        self,
        name: str,
        *,
        selector: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        ports: list[dict[str, Any]] | None = None,
    ) -> Manifest:
        """A Service."""
        meta = {"name": name, "namespace": self.namespace, "labels": labels or {}, "annotations": annotations or {}}
        spec: dict[str, Any] = {"ports": ports or [{"name": "http", "port": 80, "targetPort": 8080}]}
        if selector:
            spec["selector"] = selector
        return await self.k8s.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})

    async def adopted(self, name: str, state: str = "adopted", **more: Any) -> None:
        """An apex without selector and its leaf."""
        await self.service(name, labels={names.SKIP_MIRROR: "true"} | more.pop("labels", {}), **more)
        await self.service(
            f"{name}-leaf",
            selector={"app": name},
            labels={names.LEAF_OF: name, names.MANAGED_BY: "landbridge"},
            annotations={names.STATE: state},
            **more,
        )

    async def slice(
        self, service: str, *addresses: str, port: int = 8080, name: str = "http", by: str = "", suffix: str = "abcde"
    ) -> None:
        """What the endpoint controller would write."""
        labels = {names.SERVICE_NAME: service, names.SLICE_MANAGED_BY: by or "endpointslice-controller.k8s.io"}
        manifest = {
            "apiVersion": ENDPOINTSLICE.api_version,
            "kind": ENDPOINTSLICE.kind,
            "metadata": {"name": f"{service}-{suffix}", "namespace": self.namespace, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [item], "conditions": {"ready": True}} for item in addresses],
            "ports": [{"name": name, "port": port, "protocol": "TCP"}],
        }
        have = await self.k8s.find(ENDPOINTSLICE, f"{service}-{suffix}", self.namespace)
        if have is None:
            await self.k8s.create(manifest)
        else:
            manifest["metadata"]["resourceVersion"] = have["metadata"]["resourceVersion"]  # type: ignore[index]
            await self.k8s.replace(manifest)

    async def slices(self, service: str) -> list[Manifest]:
        """The slices of a Service."""
        return await self.k8s.list(ENDPOINTSLICE, self.namespace, labels=f"{names.SERVICE_NAME}={service}")

    async def split(self, service: str, weights: dict[str, int], annotations: dict[str, str] | None = None) -> None:
        """Write a TrafficSplit."""
        backends = [{"service": name, "weight": weight} for name, weight in weights.items()]
        have = await self.k8s.find(TRAFFICSPLIT, service, self.namespace)
        if have is None:
            meta = {"name": service, "namespace": self.namespace, "annotations": annotations or {}}
            spec = {"service": service, "backends": backends}
            manifest = {"apiVersion": TRAFFICSPLIT.api_version, "kind": "TrafficSplit", "metadata": meta, "spec": spec}
            await self.k8s.create(manifest)
        else:
            await self.k8s.patch(TRAFFICSPLIT, service, {"spec": {"backends": backends}}, self.namespace)

    async def get_service(self, name: str) -> Manifest:
        """A Service as it is now."""
        return await self.k8s.get(SERVICE, name, self.namespace)


def tls(folder: Path, mine: identity.Authority, who: str, trusted: bytes) -> None:
    """Certificates as the Secret `landbridge-tls` is mounted."""
    leaf = identity.issue(mine, who, now=CLOCK.now())
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in identity.tls_files(leaf, [trusted]).items():
        (folder / name).write_bytes(content)


def encoded(data: dict[str, bytes | str]) -> dict[str, str]:
    """The data of a Secret."""
    texts = {key: value.encode() if isinstance(value, str) else value for key, value in data.items()}
    return {key: base64.b64encode(value).decode() for key, value in texts.items()}


async def ask(address: str, port: int) -> str:
    """One request on a new connection; who answered, or the status."""
    async with httpx2.AsyncClient(trust_env=False, timeout=5) as http:
        answer = await http.get(f"http://{address}:{port}/")
        return answer.headers.get("x-served-by") or str(answer.status_code)


def dumps(value: Any) -> str:
    """JSON, for annotations."""
    return json.dumps(value)
