"""Two clusters in little for the benchmarks: the tests' pair of Envoys, and quick backends behind both."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.envoy.envoys import CLOCK
from tests.envoy.pair import Addresses, Pair, clusters

from benchmarks.traffic import Backends, ask, backends
from landbridge.clock import wait_for

HTTP = 20080
"""Where the waypoint listens for the pair's HTTP port."""


def addresses() -> Addresses:
    """Loopback addresses of this process."""
    return Addresses(f"127.79.{os.getpid() % 250 + 1}")


def served(at: Addresses) -> AbstractAsyncContextManager[Backends]:
    """The backends of both clusters."""
    return backends({"local": f"{at.local}:8080", "remote": f"{at.remote}:8080"})


@asynccontextmanager
async def joined(at: Addresses) -> AsyncIterator[Pair]:
    """A waypoint that has found the gateway, everything sent across."""
    with TemporaryDirectory(prefix="landbridge-bench-") as folder:
        async with clusters(at, Path(folder)) as pair:
            await pair.split(100)

            async def answered() -> bool:
                return (await ask(f"{at.waypoint}:{HTTP}", 200, connections=4)).failed == 0

            await wait_for(answered, what="the gateway answers", within=20, clock=CLOCK)
            yield pair
