"""Time as a port, so that no test sleeps and no decision reads a wall clock behind our back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from landbridge.errors import LandbridgeError

T = TypeVar("T")


class Clock(Protocol):
    """What time it is, and waiting."""

    def now(self) -> float:
        """Seconds since the epoch; may step when the machine's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let others run for so many seconds."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()  # noqa: TID251 - the one place

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep in the event loop."""
        await asyncio.sleep(seconds)  # noqa: TID251 - the one place


class DeadlineError(LandbridgeError):
    """A condition did not come true in time."""


async def wait_for(
    condition: Callable[[], Awaitable[T | None]], *, what: str, within: float, clock: Clock, every: float = 0.1
) -> T:
    """Ask `condition` until it answers something true, and return that.

    `within` and `every` are seconds. Raises DeadlineError naming `what` when time is up.
    """
    end = clock.monotonic() + within
    while True:
        answer = await condition()
        if answer:
            return answer
        if clock.monotonic() >= end:
            raise DeadlineError(f"{what}: not so after {within:g} s")
        await clock.sleep(every)


def rfc3339(at: float) -> str:
    """A moment as Kubernetes and the journal write it, in UTC with microseconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> float:
    """The moment that such a text says, in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()
