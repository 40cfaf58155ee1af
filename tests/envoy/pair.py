"""Two clusters in little: a waypoint in `legacy`, a gateway in `eks`, and the same service behind both."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from landbridge.connect.identity import Authority, issue, make_authority, tls_files
from landbridge.envoy.counters import COUNTERS_PATH, BackendCounters, RouteCounters, counters
from landbridge.envoy.state import Backend, Endpoint, Export, Gateway, Listener, Remote, Waypoint, sni
from landbridge.model.service import Protocol
from tests.envoy.backends import Reader, Writer, read_head
from tests.envoy.envoys import CLOCK, Envoy, running

WAYPOINT_ID = "spiffe://legacy/ns/shop/sa/landbridge-waypoint"
GATEWAY_ID = "spiffe://eks/ns/landbridge/sa/landbridge-gateway"
LOCAL, REMOTE = "web-leaf", "web-eks"
KEY = {Protocol.HTTP: "shop/web/80", Protocol.GRPC: "shop/web/81", Protocol.TCP: "shop/web/82"}
PORT = {Protocol.HTTP: 80, Protocol.GRPC: 81, Protocol.TCP: 82}


@dataclass(frozen=True)
class Addresses:
    """Loopback addresses of one test process, so that several can run at once."""

    net: str

    @property
    def waypoint(self) -> str:
        return f"{self.net}.10"

    @property
    def gateway(self) -> str:
        return f"{self.net}.20"

    @property
    def local(self) -> str:
        return f"{self.net}.1"

    @property
    def remote(self) -> str:
        return f"{self.net}.2"


@dataclass
class Pair:
    """The two Envoys and the state they were last given."""

    at: Addresses
    waypoint: Envoy
    gateway: Envoy
    exports: Gateway
    wanted: Waypoint
    tls: Path
    authorities: dict[str, Authority] = field(default_factory=dict)

    async def split(self, remote: int, *, full_retry: bool = False, affinity: bool = False) -> None:
        """Send so many percent to the other cluster."""
        self.wanted = waypoint_state(self.at, remote, full_retry=full_retry, affinity=affinity)
        await self.waypoint.apply(self.wanted)

    async def endpoints(self, count: int) -> None:
        """So many endpoints has the other cluster's leaf."""
        self.exports = gateway_state(self.at, count)
        await self.gateway.apply(self.exports)

    async def counters(self, protocol: Protocol) -> dict[str, BackendCounters]:
        return (await self.route(protocol))["backends"]

    async def route(self, protocol: Protocol) -> RouteCounters:
        stats = json.loads(await self.waypoint.get(COUNTERS_PATH))
        return counters(stats, self.wanted)[KEY[protocol]]


def waypoint_state(at: Addresses, remote: int, *, full_retry: bool = False, affinity: bool = False) -> Waypoint:
    """Three ports of one service: HTTP, gRPC and TCP."""
    return Waypoint(
        cluster="legacy",
        namespace="shop",
        bind=at.waypoint,
        listeners=tuple(
            replace(listener(at, protocol, remote), full_retry=full_retry, affinity=affinity) for protocol in PORT
        ),
    )


def listener(at: Addresses, protocol: Protocol, remote: int) -> Listener:
    """One port of the service, with the other cluster at so many percent."""
    port = PORT[protocol]
    over = Remote(
        sni=sni("web", "shop", "eks", port), identity=GATEWAY_ID, gateways=(Endpoint(address=at.gateway, port=15443),)
    )
    backends = (
        Backend(service=LOCAL, weight=100 - remote, local=(Endpoint(address=at.local, port=8000 + port),)),
        Backend(service=REMOTE, weight=remote, remote=over),
    )
    return Listener(
        namespace="shop", service="web", port=port, listen=20000 + port, protocol=protocol, backends=backends
    )


def gateway_state(at: Addresses, endpoints: int = 1, allowed: Sequence[str] = (WAYPOINT_ID,)) -> Gateway:
    exports = tuple(
        Export(
            namespace="shop",
            service="web",
            port=port,
            protocol=protocol,
            endpoints=tuple(Endpoint(address=at.remote, port=8000 + port) for _ in range(endpoints)),
        )
        for protocol, port in PORT.items()
    )
    return Gateway(cluster="eks", exports=exports, allowed=tuple(allowed), bind=at.gateway)


def certificates(folder: Path, signer: Authority, who: str, trusted: Sequence[Authority]) -> Path:
    """A folder as the mounted Secret: tls.crt, tls.key, ca.crt behind a link that is swapped."""
    folder.mkdir(parents=True, exist_ok=True)
    made = tls_files(issue(signer, who, now=CLOCK.now()), [authority.certificate for authority in trusted])
    version = folder / f"..{len(list(folder.iterdir()))}"
    version.mkdir()
    for name, content in made.items():
        (version / name).write_bytes(content)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(Path("..data") / name)
    link = folder / "..data_tmp"
    link.symlink_to(version.name)
    link.rename(folder / "..data")
    return folder


@asynccontextmanager
async def clusters(at: Addresses, folder: Path) -> AsyncIterator[Pair]:
    """Both Envoys, ready, everything at home."""
    legacy, eks = (make_authority(name, now=CLOCK.now()) for name in ("legacy", "eks"))
    here = certificates(folder / "here", legacy, WAYPOINT_ID, [eks])
    there = certificates(folder / "there", eks, GATEWAY_ID, [legacy])
    exports, wanted = gateway_state(at), waypoint_state(at, 0)
    async with (
        running(exports, folder / "gateway", there, (at.gateway, 15000)) as gateway,
        running(wanted, folder / "waypoint", here, (at.waypoint, 15000)) as waypoint,
    ):
        pair = Pair(at=at, waypoint=waypoint, gateway=gateway, exports=exports, wanted=wanted, tls=folder)
        pair.authorities = {"legacy": legacy, "eks": eks}
        yield pair


@dataclass
class Caller:
    """Keep-alive connections that ask one after another and count every outcome."""

    address: tuple[str, int]
    outcomes: Counter[str] = field(default_factory=Counter)
    stopped: bool = False

    async def call(self, times: int, connections: int = 4) -> Counter[str]:
        each = [times // connections] * connections
        await asyncio.gather(*(self._one(count) for count in each))
        return self.outcomes

    async def until_stopped(self, connections: int = 4) -> None:
        await asyncio.gather(*(self._one(None) for _ in range(connections)))

    async def _one(self, times: int | None) -> None:
        reader, writer = await asyncio.open_connection(*self.address, limit=16 << 20)
        done = 0
        try:
            while not self.stopped and (times is None or done < times):
                done += 1
                if not await self._again(reader, writer):
                    writer.close()
                    reader, writer = await asyncio.open_connection(*self.address, limit=16 << 20)
        finally:
            writer.close()

    async def _again(self, reader: Reader, writer: Writer) -> bool:
        """One request; whether the connection can be used again."""
        try:
            head, _ = await ask(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            self.outcomes[type(error).__name__] += 1
            return False
        status = head[0].split(" ")[1]
        self.outcomes[header(head, "x-who") if status == "200" else status] += 1
        return "close" not in header(head, "connection")


def header(head: list[str], name: str) -> str:
    return next((line.partition(":")[2].strip() for line in head if line.lower().startswith(f"{name}:")), "")


async def ask(
    reader: Reader, writer: Writer, path: str = "/", headers: Sequence[str] = (), method: str = "GET", body: bytes = b""
) -> tuple[list[str], bytes]:
    """One request on an open connection."""
    lines = [f"{method} {path} HTTP/1.1", "Host: web", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + body)
    await writer.drain()
    head = await read_head(reader)
    if not head:
        raise ConnectionResetError("closed without an answer")
    length = int(header(head, "content-length") or 0)
    return head, await reader.readexactly(length)


async def once(
    address: tuple[str, int], path: str = "/", headers: Sequence[str] = (), method: str = "GET", body: bytes = b""
) -> tuple[list[str], bytes]:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection(*address, limit=16 << 20)
    try:
        return await ask(reader, writer, path, headers, method, body)
    finally:
        writer.close()
