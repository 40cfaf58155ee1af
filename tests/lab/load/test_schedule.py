"""The loop stays open: what is slow delays nothing that is due."""

from __future__ import annotations

import asyncio

from landbridge.lab.load.schedule import drive
from landbridge.lab.load.tally import Outcome, Tally
from tests.fakes import FakeClock


class SteppingClock(FakeClock):
    """Moves when somebody sleeps, and ends the run after so many seconds."""

    def __init__(self, stop: asyncio.Event, seconds: float, stall_at: float = -1.0, stall: float = 0.0) -> None:
        super().__init__(0.0)
        self.stop, self.seconds, self.stall_at, self.stall = stop, seconds, stall_at, stall

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        if 0 <= self.stall_at <= self.at:
            self.at, self.stall_at = self.at + self.stall, -1.0
        if self.at >= self.seconds:
            self.stop.set()
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.call_soon(ready.set_result, None)
        await ready


async def test_slow_answers_hold_nothing_up() -> None:
    stop, tally, release = asyncio.Event(), Tally(), asyncio.Event()
    clock = SteppingClock(stop, 2.0)

    async def send(number: int) -> Outcome:
        await release.wait()
        return Outcome(kind="200", ok=True)

    work = asyncio.create_task(drive(send, rate=100, tally=tally, clock=clock, stop=stop, seen=lambda _: None))
    await stop.wait()
    assert 198 <= tally.requests <= 201
    assert tally.in_flight >= tally.requests - 1
    release.set()
    await work
    assert tally.ok == tally.requests
    assert tally.in_flight == 0


async def test_a_stall_is_made_up_for_and_counted() -> None:
    stop, tally = asyncio.Event(), Tally()
    clock = SteppingClock(stop, 3.0, stall_at=1.0, stall=1.0)

    async def send(number: int) -> Outcome:
        return Outcome(kind="200", ok=True)

    await drive(send, rate=100, tally=tally, clock=clock, stop=stop, seen=lambda _: None)
    assert 298 <= tally.requests <= 301, "what was due during the stall was sent after it"
    assert 90 <= tally.late <= 100
    assert 0.9 <= tally.latest <= 1.01
    assert tally.summarise()["p99_ms"] > 800, "time counts from when a request was due"


async def test_failures_are_shown() -> None:
    stop, tally = asyncio.Event(), Tally()
    shown: list[Outcome] = []

    async def send(number: int) -> Outcome:
        return Outcome(kind="cut", ok=number % 2 == 0)

    clock = SteppingClock(stop, 1.0)
    await drive(send, rate=10, tally=tally, clock=clock, stop=stop, seen=shown.append)
    assert len(shown) == tally.failed == tally.requests // 2


async def test_who_is_seldom_due_ends_as_soon_as_the_others() -> None:
    stop, tally = asyncio.Event(), Tally()
    clock = SteppingClock(stop, 3.0)

    async def send(number: int) -> Outcome:
        return Outcome(kind="200", ok=True)

    await drive(send, rate=0.02, tally=tally, clock=clock, stop=stop, seen=lambda _: None)
    assert tally.requests == 1
    assert clock.at < 4
