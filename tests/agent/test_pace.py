"""Work that every change asks for rests after it took long, and an urgent change is not kept waiting for that."""

from __future__ import annotations

import asyncio

from landbridge.agent.watching import Pace, Signal
from tests.fakes import FakeClock


async def test_nothing_rests_where_nothing_was_done() -> None:
    clock = FakeClock()
    began = clock.at
    await asyncio.wait_for(Pace(clock, Signal()).rest(), 5)
    assert clock.at == began


async def test_light_work_is_done_at_once_after_every_change() -> None:
    clock, signal = FakeClock(), Signal()
    pace = Pace(clock, signal, times=1000.0, most=1000.0)
    with pace.work():
        clock.at += 0.04
    began = clock.at
    await asyncio.wait_for(pace.rest(), 5)
    assert clock.at == began


async def test_an_urgent_change_waits_as_long_as_the_work_took_and_no_longer() -> None:
    clock, signal = FakeClock(), Signal()
    pace = Pace(clock, signal, times=1000.0, most=1000.0)
    with pace.work():
        clock.at += 2.0
    ended = clock.at
    signal.hurry()
    await asyncio.wait_for(pace.rest(), 5)
    assert clock.at == ended + 2.0


async def test_changes_that_come_meanwhile_are_one() -> None:
    clock, signal = FakeClock(), Signal()
    pace = Pace(clock, signal, times=1000.0, most=1000.0)
    with pace.work():
        clock.at += 1.0
    resting = asyncio.create_task(pace.rest())
    for _ in range(5):
        signal.wake("", {"metadata": {"namespace": "shop"}})
    signal.hurry()
    await asyncio.wait_for(resting, 5)
    assert not await signal.wait(0)
    assert signal.take() == {"shop"}


async def test_a_change_at_the_very_end_of_a_wait_is_one() -> None:
    """It was forgotten: a waypoint went on with the listener of a Service that had been given back, for good."""
    signal, loop = Signal(), asyncio.get_running_loop()
    waiting = asyncio.create_task(signal.wait(0))
    loop.call_soon(lambda: loop.call_soon(signal.wake))  # in the turn in which its time is up, just after that
    assert await waiting
    assert not await signal.wait(0), "once is enough"
