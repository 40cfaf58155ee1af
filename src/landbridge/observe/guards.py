"""What else has to be well while services move: named queries with a bound, and named alerts.

A guard compares nothing, so it has no promise: it holds, which costs only time. Taking services home is another policy,
off by default. A guard that cannot be asked holds too, and never takes anything home.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import isnan

from landbridge.clients.prometheus import Prometheus
from landbridge.clock import Clock
from landbridge.errors import LandbridgeError
from landbridge.model.service import ServiceId, Side
from landbridge.settings.judging import Breach, Guard

PATIENCE = 3.0
"""Intervals for which an answer holds good while Prometheus does not give another."""

BEAT = 0.5
"""Seconds between two looks at which guard is due."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breached:
    """What a guard says against some services; `roll_back` where that was asked for and the guard has been read."""

    guard: str
    text: str
    services: tuple[str, ...]
    roll_back: bool = False

    def __str__(self) -> str:
        return f"guard {self.guard}: {self.text}"

    def holds(self, service: ServiceId) -> bool:
        """Whether it names this service."""
        return any(fnmatchcase(str(service), pattern) for pattern in self.services)


@dataclass(slots=True)
class Told:
    """The last answer about one guard: what is wrong (empty: nothing), and why there was none since."""

    asked: float | None = None
    answered: float | None = None
    wrong: str = ""
    silent: str = "not asked yet"


class Guards:
    """Asks each guard when it is due; `breaches` is what stands against services now."""

    def __init__(self, guards: Mapping[str, Guard], clients: Mapping[Side, Prometheus], clock: Clock) -> None:
        self._guards = guards
        self._clients = clients
        self._clock = clock
        self._told = {name: Told() for name in guards}

    async def run(self) -> None:
        """Ask for ever. Nothing that a Prometheus answers ends it."""
        while True:
            await self.look()
            await self._clock.sleep(BEAT)

    async def look(self) -> None:
        """Ask those that are due."""
        now = self._clock.monotonic()
        due = [n for n, g in self._guards.items() if (at := self._told[n].asked) is None or now - at >= g.every]
        await asyncio.gather(*(self._ask(name, now) for name in due))

    def breaches(self) -> tuple[Breached, ...]:
        """All guards that are not well, by name."""
        found = ((name, self._wrong(name)) for name in sorted(self._guards))
        return tuple(
            Breached(guard=name, text=text, services=self._guards[name].services, roll_back=back)
            for name, (text, back) in found
            if text
        )

    def of(self, service: ServiceId) -> tuple[Breached, ...]:
        """Those that stand against one service, the ones that take it home first."""
        return tuple(sorted((b for b in self.breaches() if b.holds(service)), key=lambda b: not b.roll_back))

    def _wrong(self, name: str) -> tuple[str, bool]:
        """What is wrong, and whether that takes services home."""
        told, guard = self._told[name], self._guards[name]
        age = self._clock.monotonic() - told.answered if told.answered is not None else None
        if age is None or age > PATIENCE * guard.every:
            return f"unknown, {told.silent or f'asked {age:.0f} s ago'}", False
        return told.wrong, guard.breach is Breach.ROLL_BACK

    async def _ask(self, name: str, now: float) -> None:
        guard, told = self._guards[name], self._told[name]
        told.asked = now
        client = self._clients[Side(guard.on)]
        try:
            if guard.alert:
                said, missing = alarm(await client.alert(guard.alert, guard.labels), guard.alert), ""
                if said is None:
                    missing = f"Prometheus has no alert {guard.alert}"
            else:
                values = await client.values(guard.query)
                said, missing = (outside(values, guard), "") if values else (None, "the query gives no value")
        except LandbridgeError as error:
            said, missing = None, error.what
        if said is None:
            told.silent = missing
            return
        told.answered, told.wrong, told.silent = now, said, ""


def alarm(firing: bool | None, name: str) -> str | None:
    """What an alert says: empty when it is quiet, None when there is none."""
    return None if firing is None else f"alert {name} is firing" if firing else ""


def outside(values: list[float], guard: Guard) -> str:
    """What is wrong with the values of a query: the first that is outside; NaN is outside of everything."""
    for value in values:
        if isnan(value):
            return "the value is not a number"
        if guard.min is not None and value < guard.min:
            return f"{value:.6g} is below {guard.min:g}"
        if guard.max is not None and value > guard.max:
            return f"{value:.6g} is above {guard.max:g}"
    return ""
