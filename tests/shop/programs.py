"""The shop's programs as processes on loopback, and what stands for a Service's address between them."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psycopg

from landbridge.clock import SystemClock, wait_for
from landbridge.lab.databases import Databases

CLOCK = SystemClock()
LISTENS = re.compile(rb"listens on port (\d+)")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    postgres: str
    redis: str
    password: str

    @property
    def redis_port(self) -> int:
        return int(self.redis.partition(":")[2])

    @property
    def databases(self) -> Databases:
        return Databases(postgres=self.postgres, redis=self.redis, user="shop", password=self.password, database="shop")

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        host, _, port = self.postgres.partition(":")
        with psycopg.connect(host=host, port=port, user="shop", password=self.password, dbname="shop") as connection:
            return connection.execute(statement.encode()).fetchall()


@dataclass(slots=True, kw_only=True)
class Copy:
    """One running program."""

    service: str
    node: str
    port: int
    process: subprocess.Popen[bytes]
    asked: bool = False

    @property
    def cluster(self) -> str:
        return self.node.partition("-")[0]

    def ask_to_go(self) -> None:
        """Send SIGTERM, once: a second one may meet an interpreter that ends, has no handler left, and exits by it."""
        if not self.asked:
            self.asked = True
            self.process.terminate()

    async def end(self) -> int:
        """Ask it to go and wait until it has; its exit code."""
        self.ask_to_go()
        await wait_for(self._gone, what=f"the end of {self.service}", within=40, clock=CLOCK)
        return self.process.returncode

    async def _gone(self) -> bool:
        return self.process.poll() is not None


class Starter:
    """Starts copies and ends them."""

    def __init__(self, stores: Stores, folder: Path) -> None:
        self.stores = stores
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []

    def spawn(self, service: str, node: str, **environ: str) -> tuple[subprocess.Popen[bytes], Path]:
        log = self._folder / f"{service}-{len(self._processes)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", f"landbridge.lab.shop.{service}"],
                env={
                    "PATH": os.environ["PATH"], "LISTEN": "127.0.0.1", "PORT": str(free_port()), "NODE_NAME": node,
                    "POSTGRES_ADDRESS": self.stores.postgres, "POSTGRES_PASSWORD": self.stores.password,
                    "REDIS_ADDRESS": self.stores.redis, "DRAIN_SECONDS": "1", **environ,
                },
                stderr=file,
            )  # fmt: skip
        self._processes.append(process)
        return process, log

    async def start(self, service: str, node: str, **environ: str) -> Copy:
        process, log = self.spawn(service, node, **environ)

        async def listens() -> re.Match[bytes] | None:
            assert process.poll() is None, log.read_text()
            return LISTENS.search(log.read_bytes())

        found = await wait_for(listens, what=f"{service} to listen", within=60, clock=CLOCK, every=0.05)
        return Copy(service=service, node=node, port=int(found[1]), process=process)

    def end(self) -> None:
        """End all that still run, at once; a copy that does not go is killed and fails the test."""
        for process in self._processes:
            process.terminate()
        stuck = []
        for process in self._processes:
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                stuck.append(process.args)
        assert not stuck


class Balancer:
    """Stands for a Service's address: each new connection goes to the next of `targets`, and stays there."""

    def __init__(self, *targets: int) -> None:
        self.targets = list(targets)
        self.port = 0
        self._next = 0
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()

        async def gone() -> bool:
            return not self._writers

        await wait_for(gone, what="the end of all connections", within=5, clock=CLOCK, every=0.01)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._next += 1
        target = self.targets[self._next % len(self.targets)]
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        self._writers.discard(writer)


async def start_shop(starter: Starter, **balanced: int) -> dict[str, Copy]:
    """Start every service; `balanced` gives ports to be called instead of a copy's own."""
    copies: dict[str, Copy] = {}

    def at(name: str) -> str:
        return f"127.0.0.1:{balanced.get(name) or copies[name].port}"

    first = ["catalog", "users", "ledger", "stock"]
    nodes = ["legacy", "eks", "legacy-2", "eks-2"]
    started = await asyncio.gather(*(starter.start(name, node) for name, node in zip(first, nodes, strict=True)))
    copies |= {copy.service: copy for copy in started}
    copies["payments"] = await starter.start("payments", "eks", LEDGER_ADDRESS=at("ledger"))
    copies["cart"] = await starter.start("cart", "legacy", STOCK_ADDRESS=at("stock"))
    copies["orders"] = await starter.start(
        "orders", "legacy",
        USERS_URL=f"http://{at('users')}", PAYMENTS_URL=f"http://{at('payments')}", STOCK_ADDRESS=at("stock"),
    )  # fmt: skip
    copies["notices"] = await starter.start("notices", "eks")
    urls = {f"{name.upper()}_URL": f"http://{at(name)}" for name in ("catalog", "cart", "users", "orders")}
    copies["web"] = await starter.start("web", "eks", **urls)
    return copies
