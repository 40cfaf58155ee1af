"""Two Envoys with everything behind them, on loopback addresses of this process."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.envoy.backends import Greeter, Website, grpc_server, listening
from tests.envoy.pair import Addresses, Pair, clusters

_NUMBERS = itertools.count(os.getpid() * 7)


@pytest.fixture
def at() -> Addresses:
    """Addresses that no other test process uses at this time."""
    return Addresses(f"127.78.{next(_NUMBERS) % 250 + 1}")


@dataclass
class World:
    """The pair, and what answers on either side."""

    pair: Pair
    local: Website
    remote: Website
    local_tcp: Greeter
    remote_tcp: Greeter
    local_grpc: dict[str, grpc.StatusCode | None]
    remote_grpc: dict[str, grpc.StatusCode | None]

    @property
    def web(self) -> tuple[str, int]:
        return self.pair.at.waypoint, 20080

    @property
    def orders(self) -> str:
        return f"{self.pair.at.waypoint}:20081"

    @property
    def tcp(self) -> tuple[str, int]:
        return self.pair.at.waypoint, 20082


@pytest.fixture
async def world(at: Addresses, tmp_path: Path) -> AsyncIterator[World]:
    """Everything up, all traffic local."""
    here, there = Website("local"), Website("remote")
    here_tcp, there_tcp = Greeter("local"), Greeter("remote")
    async with AsyncExitStack() as stack:
        for host, site, greeter in ((at.local, here, here_tcp), (at.remote, there, there_tcp)):
            await stack.enter_async_context(listening(site.serve, host, 8080))
            await stack.enter_async_context(listening(greeter.serve, host, 8082))
        here_grpc = await stack.enter_async_context(grpc_server("local", f"{at.local}:8081"))
        there_grpc = await stack.enter_async_context(grpc_server("remote", f"{at.remote}:8081"))
        pair = await stack.enter_async_context(clusters(at, tmp_path))
        yield World(
            pair=pair,
            local=here,
            remote=there,
            local_tcp=here_tcp,
            remote_tcp=there_tcp,
            local_grpc=here_grpc,
            remote_grpc=there_grpc,
        )
