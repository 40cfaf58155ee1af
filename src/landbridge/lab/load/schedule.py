"""The open loop: requests are sent when they are due, whatever became of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from landbridge.clock import Clock
from landbridge.lab.load.tally import Outcome, Tally

Send = Callable[[int], Awaitable[Outcome]]
"""Sends request number n and says what became of it; raises nothing but cancellation."""
AWAKE = 0.5
"""Seconds of sleep after which `stop` is seen: a target may be due once in a minute, and a pod that ends has 30 s."""


async def drive(
    send: Send, *, rate: float, tally: Tally, clock: Clock, stop: asyncio.Event, seen: Callable[[Outcome], None]
) -> None:
    """Send `rate` requests a second until `stop`, then wait for those in flight.

    Number n is due at n / rate; its time is counted from then, so a stall of the generator or of what it calls shows
    as latency and never as fewer requests.
    """
    began = clock.monotonic()
    running: set[asyncio.Task[None]] = set()
    number = 0
    while not stop.is_set():
        due = began + number / rate
        wait = due - clock.monotonic()
        if wait > 0:
            await clock.sleep(min(wait, AWAKE))
            continue
        task = asyncio.create_task(_count(send, number, due, tally, clock, seen))
        running.add(task)
        task.add_done_callback(running.discard)
        number += 1
        if not number % 50:
            await clock.sleep(0)  # lets answers in while it catches up
    if running:
        await asyncio.wait(running)


async def _count(
    send: Send, number: int, due: float, tally: Tally, clock: Clock, seen: Callable[[Outcome], None]
) -> None:
    tally.begin(clock.monotonic() - due)
    outcome = await send(number)
    tally.end(outcome, clock.monotonic() - due)
    if not outcome.ok:
        seen(outcome)
