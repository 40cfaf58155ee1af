"""Test doubles of our own ports; real parts are preferred wherever they can run."""

from __future__ import annotations


class FakeClock:
    """Time that moves only when somebody sleeps."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.at = start

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds
