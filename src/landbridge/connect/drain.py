"""Runs Envoy as a child that ends gracefully, whoever ends it; the entry of our Envoy containers.

On SIGTERM it takes the pod out of service (`/healthcheck/fail`: `/ready` answers 503, HTTP answers carry
`Connection: close`, HTTP/2 gets GOAWAY), waits until everybody has looked away, drains the listeners, and ends Envoy
when nothing is open any more. Once the drain is over, only requests and TCP connections still in progress keep it, and
those not longer than `hold`. Envoy itself would cut everything on SIGTERM at once.
An Envoy that dies by itself is started again at once, since a restart by the kubelet takes a second or more.
Uses the standard library and `clock` alone: it starts in 0.1 s.

    python3 -m landbridge.connect.drain --settle 10 --drain 15 --hold 300 -- envoy -c bootstrap.json
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from landbridge.clock import Clock, SystemClock

HOST = "127.0.0.1"
SHORT_LIFE = 2.0  # an Envoy that lives shorter than this refuses its bootstrap: let the kubelet back off
OPEN = re.compile(rb"^listener\.(?!admin\.)(?![^ ]*\.worker_)[^ ]*downstream_cx_active: (\d+)", re.MULTILINE)
HTTP = re.compile(rb"^http\.(?!admin\.)[^ ]*downstream_cx_active: (\d+)", re.MULTILINE)
REQUESTS = re.compile(rb"^http\.(?!admin\.)[^ ]*downstream_rq_active: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds for callers to look away, for held connections to end, and for what is still in progress after that."""

    settle: float
    drain: float
    hold: float


class Envoy:
    """One Envoy process and its admin interface on the loopback."""

    def __init__(self, command: Sequence[str], *, port: int, clock: Clock) -> None:
        self.command = tuple(command)
        self.port = port
        self.clock = clock
        self.process: asyncio.subprocess.Process | None = None

    async def run(self, stop: asyncio.Event) -> int:
        """Keep Envoy running until `stop`; returns its exit code."""
        while True:
            began = self.clock.monotonic()
            self.process = await asyncio.create_subprocess_exec(*self.command)
            died = asyncio.ensure_future(self.process.wait())
            asked = asyncio.ensure_future(stop.wait())
            await asyncio.wait({died, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if not died.done():
                died.cancel()
                return 0
            if stop.is_set() or self.clock.monotonic() - began < SHORT_LIFE:
                return died.result()
            _say(f"envoy ended by itself ({died.result()}): starting it again")

    async def drain(self, times: Times) -> None:
        """Leave service gracefully and end."""
        if b"DRAINING" not in await self.admin("GET", "/server_info"):  # else the preStop hook has waited already
            await self.admin("POST", "/healthcheck/fail")
            await self.clock.sleep(times.settle)
        await self.admin("POST", "/drain_listeners?graceful&skip_exit")
        began = self.clock.monotonic()
        while self.is_alive and (since := self.clock.monotonic() - began) < times.drain + times.hold:
            left = await (self.count_open() if since < times.drain else self.count_busy())
            if left == 0:
                break
            _say(f"{left or 'unknown'} connections still {'open' if since < times.drain else 'in use'}")
            await self.clock.sleep(1.0)
        await self.end()

    async def end(self) -> None:
        """SIGTERM, and wait."""
        if self.process and self.is_alive:
            self.process.terminate()
            await self.process.wait()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.returncode is None

    async def count_open(self) -> int | None:
        """Connections that callers hold; None when Envoy does not answer."""
        stats = await self.admin("GET", "/stats?filter=downstream_cx_active")
        return _sum(OPEN, stats) if stats else None

    async def count_busy(self) -> int | None:
        """Requests in progress, and connections that are not HTTP: what would be cut in the middle of something."""
        stats = await self.admin("GET", "/stats?filter=downstream_(cx|rq)_active")
        return max(0, _sum(OPEN, stats) - _sum(HTTP, stats)) + _sum(REQUESTS, stats) if stats else None

    async def admin(self, method: str, path: str) -> bytes:
        """One call of the admin interface; empty when it does not answer within 2 s."""
        try:
            async with asyncio.timeout(2.0):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                with closing(writer):
                    head = f"{method} {path} HTTP/1.1\r\nHost: admin\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    writer.write(head.encode())
                    return await reader.read()
        except (OSError, TimeoutError):
            return b""


def _sum(pattern: re.Pattern[bytes], stats: bytes) -> int:
    return sum(map(int, pattern.findall(stats)))


async def supervise(command: Sequence[str], times: Times, *, port: int, clock: Clock) -> int:
    """Run Envoy until SIGTERM or SIGINT, then drain it; returns the exit code."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    envoy = Envoy(command, port=port, clock=clock)
    code = await envoy.run(stop)
    if stop.is_set():
        await envoy.drain(times)
    return code


def _say(line: str) -> None:
    sys.stderr.write(f"landbridge: {line}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """The entry of the container."""
    parser = argparse.ArgumentParser(prog="python3 -m landbridge.connect.drain", description=__doc__.split("\n")[0])
    parser.add_argument("--admin-port", type=int, default=15000)
    parser.add_argument("--settle", type=float, default=10.0, help="seconds for callers to look away")
    parser.add_argument("--drain", type=float, default=15.0, help="seconds that held connections may go on")
    parser.add_argument("--hold", type=float, default=300.0, help="seconds more for requests and TCP in progress")
    parser.add_argument("command", nargs="+", help="Envoy and its arguments, after --")
    options = parser.parse_args(argv)
    times = Times(settle=options.settle, drain=options.drain, hold=options.hold)
    return asyncio.run(supervise(options.command, times, port=options.admin_port, clock=SystemClock()))


if __name__ == "__main__":
    sys.exit(main())
