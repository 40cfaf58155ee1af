"""Sends load to several targets at once and writes a JSON line each second and a summary at the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from landbridge.clock import Clock, rfc3339
from landbridge.lab.load.http import HttpCaller
from landbridge.lab.load.resolve import Resolver
from landbridge.lab.load.rpc import RpcCaller
from landbridge.lab.load.schedule import drive
from landbridge.lab.load.sse import StreamHolder
from landbridge.lab.load.tally import MAX_SAMPLES, Outcome, Tally, add_up
from landbridge.lab.load.target import Mode, Target
from landbridge.lab.load.tcp import TcpCaller

Write = Callable[[str], None]
"""Where lines go."""


class Caller(Protocol):
    """Speaks one protocol to one target."""

    async def send(self, number: int) -> Outcome:
        """Send request number n and say what became of it; raises nothing but cancellation."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


def _make_caller(target: Target, resolver: Resolver, clock: Clock) -> Caller:
    if target.mode is Mode.GRPC:
        return RpcCaller(target, clock)
    if target.mode is Mode.TCP:
        return TcpCaller(target, resolver, clock)
    return HttpCaller(target, resolver, clock)


class Generator:
    """One run of load: `lines` are JSON objects with `line`: `second`, `failure` or `summary`; counts are totals."""

    def __init__(self, targets: Sequence[Target], write: Write, clock: Clock) -> None:
        self._targets = targets
        self._write = write
        self._clock = clock
        self._tallies = {target.name: Tally() for target in targets}
        self._samples = 0
        self._began = clock.monotonic()

    async def run(self, stop: asyncio.Event) -> dict[str, Any]:
        """Send until `stop`, wait for what is in flight, and return the summary."""
        reporting = asyncio.create_task(self._report())
        try:
            resolver = Resolver(self._clock)
            await asyncio.gather(*(self._send_to(target, resolver, stop) for target in self._targets))
        finally:
            reporting.cancel()
        summary = self._say("summary", {name: tally.summarise() for name, tally in self._tallies.items()})
        self._write(json.dumps(summary))
        return summary

    async def _send_to(self, target: Target, resolver: Resolver, stop: asyncio.Event) -> None:
        tally = self._tallies[target.name]

        def seen(outcome: Outcome) -> None:
            self._show(target.name, outcome)

        if target.mode is Mode.SSE:
            await StreamHolder(target, resolver, tally, self._clock, seen).hold(stop)
            return
        caller = _make_caller(target, resolver, self._clock)
        await drive(caller.send, rate=target.rate, tally=tally, clock=self._clock, stop=stop, seen=seen)
        await caller.close()

    async def _report(self) -> None:
        while True:
            await self._clock.sleep(1.0)
            self._write(json.dumps(self._say("second", {name: t.turn() for name, t in self._tallies.items()})))

    def _say(self, line: str, targets: dict[str, dict[str, Any]]) -> dict[str, Any]:
        now = self._clock.now()
        head = {"line": line, "at": rfc3339(now), "seconds": round(self._clock.monotonic() - self._began, 1)}
        return {**head, **add_up(list(targets.values())), "targets": targets}

    def _show(self, name: str, outcome: Outcome) -> None:
        """The first failures one by one, so that somebody can find out why."""
        self._samples += 1
        if self._samples > MAX_SAMPLES:
            return
        at = rfc3339(self._clock.now())
        said = {"kind": outcome.kind, "side": outcome.side, "broken": outcome.broken, "chain": outcome.chain}
        self._write(json.dumps({"line": "failure", "at": at, "target": name, **said}))


async def generate(
    targets: Sequence[Target], *, seconds: float, write: Write, clock: Clock, stop: asyncio.Event | None = None
) -> dict[str, Any]:
    """Send load for so many seconds, or until `stop`; returns the summary, which is also the last line written."""
    stop = stop or asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, stop.set)
    return await Generator(targets, write, clock).run(stop)
