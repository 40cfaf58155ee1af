"""Envoy under its small parent: a real Envoy on loopback, ended by SIGTERM, killed, and given a bad bootstrap."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from landbridge.clock import SystemClock, wait_for
from landbridge.connect.drain import OPEN, Envoy
from landbridge.lab.images.distributions import find_envoy

CLOCK = SystemClock()
HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
TCP = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"
ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
HEALTH = "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    parent: asyncio.subprocess.Process
    admin: Envoy
    port: int
    tcp: int

    async def get(self, path: str) -> bytes:
        """One request on a new connection; empty when it is refused."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            with closing(writer):
                writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                return await reader.read()
        except OSError:
            return b""

    async def is_ready(self) -> bool:
        return b" 200 " in await self.get("/ready")

    def child(self) -> int:
        children = Path(f"/proc/{self.parent.pid}/task/{self.parent.pid}/children").read_text().split()
        return int(children[0])


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


def bootstrap(admin: int, port: int, tcp: int, upstream: int) -> dict[str, object]:
    """Answers `/` itself; `/there` and all that comes in by TCP go to a port of the loopback."""
    there = {"match": {"prefix": "/there"}, "route": {"cluster": "there", "timeout": "0s"}}
    direct = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "hello"}}}
    ready = {"@type": HEALTH, "pass_through_mode": False}
    ready["headers"] = [{"name": ":path", "string_match": {"exact": "/ready"}}]
    manager = {
        "@type": HCM,
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [there, direct]}]},
        "http_filters": [
            {"name": "health", "typed_config": ready},
            {"name": "router", "typed_config": {"@type": ROUTER}},
        ],
    }
    proxy = {"@type": TCP, "stat_prefix": "tcp", "cluster": "there"}
    hosts = [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}]
    cluster = {"name": "there", "type": "STATIC", "load_assignment": {"cluster_name": "there", "endpoints": hosts}}
    listeners = [listener("in", port, manager), listener("tcp", tcp, proxy)]
    return {
        "admin": {"address": address(admin)},
        "static_resources": {"listeners": listeners, "clusters": [cluster]},
    }


def listener(name: str, port: int, config: Mapping[str, object]) -> dict[str, object]:
    chain = {"filters": [{"name": name, "typed_config": config}]}
    return {"name": name, "address": address(port), "filter_chains": [chain]}


def address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


@asynccontextmanager
async def running(
    folder: Path, *, settle: float = 0.5, drain: float = 5.0, hold: float = 0.0, upstream: int = 1
) -> AsyncIterator[Running]:
    admin, port, tcp = free_ports(3)
    file = folder / "bootstrap.json"
    file.write_text(json.dumps(bootstrap(admin, port, tcp, upstream)))
    envoy = [str(find_envoy()), "-c", str(file), "--disable-hot-restart", "--log-level", "error", "--concurrency", "1"]
    times = ["--admin-port", str(admin), "--settle", str(settle), "--drain", str(drain), "--hold", str(hold)]
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "landbridge.connect.drain", *times, "--", *envoy
    )
    found = Running(parent=parent, admin=Envoy(envoy, port=admin, clock=CLOCK), port=port, tcp=tcp)
    try:
        await wait_for(found.is_ready, what="Envoy ready", within=20, clock=CLOCK)
        yield found
    finally:
        if parent.returncode is None:
            parent.kill()
            await parent.wait()
            if left := pid_on(admin):
                os.kill(left, signal.SIGKILL)


def pid_on(admin: int) -> int:
    """The Envoy that uses this admin port, in case its parent is gone."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes()
                if b"envoy" in words and str(admin).encode() in Path(words.split(b"\0")[2].decode()).read_bytes():
                    return int(folder.name)
            except (OSError, IndexError, UnicodeDecodeError):
                continue
    return 0


async def test_sigterm_leaves_service_first_and_ends_when_nothing_is_open(tmp_path: Path) -> None:
    async with running(tmp_path, settle=3, drain=20) as envoy:
        reader, writer = await asyncio.open_connection("127.0.0.1", envoy.port)
        envoy.parent.send_signal(signal.SIGTERM)

        async def failing() -> bool:
            return b" 503 " in await envoy.get("/ready")

        await wait_for(failing, what="/ready fails", within=5, clock=CLOCK, every=0.02)
        assert b"hello" in await envoy.get("/"), "it serves on while callers look away"
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b" 200 " in head
        assert b"connection: close" in head, "kept connections are told to go"
        writer.close()
        began = CLOCK.monotonic()
        assert await asyncio.wait_for(envoy.parent.wait(), 30) == 0
        assert CLOCK.monotonic() - began < 15, "it does not wait for the whole drain time when nothing is open"


async def test_a_held_connection_ends_at_the_deadline(tmp_path: Path) -> None:
    async with running(tmp_path, settle=0.1, drain=1.5) as envoy:
        reader, writer = await asyncio.open_connection("127.0.0.1", envoy.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")  # and never more
        await writer.drain()

        async def counted() -> bool:
            return await envoy.admin.count_open() == 1

        await wait_for(counted, what="one connection counted", within=5, clock=CLOCK)
        envoy.parent.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(envoy.parent.wait(), 15) == 0
        with closing(writer):
            assert await reader.read() == b""


@asynccontextmanager
async def slow_answer(go: asyncio.Event) -> AsyncIterator[int]:
    """A server on the loopback that begins its answer at once and ends it when `go` is set."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nbegin")
            await go.wait()
            writer.write(b"+last")

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("way", ["http", "tcp"])
async def test_what_is_in_progress_goes_on_to_its_end(way: str, tmp_path: Path) -> None:
    go = asyncio.Event()
    async with (
        slow_answer(go) as upstream,
        running(tmp_path, settle=0.1, drain=1, hold=60, upstream=upstream) as envoy,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", envoy.port if way == "http" else envoy.tcp)
        with closing(writer):
            writer.write(b"GET /there HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"begin")
            envoy.parent.send_signal(signal.SIGTERM)
            await CLOCK.sleep(4)  # longer than settling and the drain
            assert envoy.parent.returncode is None
            assert await envoy.admin.count_busy() == 1
            go.set()
            assert await asyncio.wait_for(reader.readexactly(5), 10) == b"+last"
        assert await asyncio.wait_for(envoy.parent.wait(), 15) == 0


async def test_what_never_ends_is_cut_when_its_time_is_up(tmp_path: Path) -> None:
    async with (
        slow_answer(asyncio.Event()) as upstream,
        running(tmp_path, settle=0.1, drain=0.5, hold=2, upstream=upstream) as envoy,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", envoy.tcp)
        with closing(writer):
            writer.write(b"GET /there HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"begin")
            envoy.parent.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(envoy.parent.wait(), 15) == 0
            assert await reader.read() == b""


async def test_an_envoy_that_dies_is_started_again_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as envoy:
        await CLOCK.sleep(2.5)  # longer than the life below which it counts as refusing its bootstrap
        os.kill(envoy.child(), signal.SIGKILL)
        await wait_for(envoy.is_ready, what="Envoy ready again", within=10, clock=CLOCK, every=0.02)
        assert envoy.parent.returncode is None


async def test_a_bootstrap_that_envoy_refuses_ends_the_container(tmp_path: Path) -> None:
    file = tmp_path / "bootstrap.json"
    file.write_text('{"no": "such field"}')
    envoy = [str(find_envoy()), "-c", str(file), "--disable-hot-restart", "--log-level", "off"]
    parent = await asyncio.create_subprocess_exec(sys.executable, "-m", "landbridge.connect.drain", "--", *envoy)
    assert await asyncio.wait_for(parent.wait(), 20) != 0


def test_each_callers_connection_counts_once() -> None:
    text = """http.in.downstream_cx_active: 3
listener.127.0.0.1_20000.downstream_cx_active: 3
listener.127.0.0.1_20000.worker_0.downstream_cx_active: 3
listener.[__]_20001.downstream_cx_active: 2
listener.admin.downstream_cx_active: 1
listener.admin.main_thread.downstream_cx_active: 1
"""
    assert [int(found) for found in OPEN.findall(text.encode())] == [3, 2]
