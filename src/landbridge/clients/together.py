"""Lists that many wait for at the same time: one request answers all who asked before it was begun."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from landbridge.clients.kinds import Kind
from landbridge.clock import Clock
from landbridge.model.service import Manifest

REST, LONGEST = 3.0, 0.2
"""The same objects are listed again after so many times as long as the last list took, and so many seconds at most."""
EACH, CROWD = 0.03, 1.0
"""And not before so many seconds for each who waited for the last one, up to so many: while 409 Services were adopted,
runner and API servers were busy with listing the slices of each namespace four times a second."""

Key = tuple[str, str, str, str]
Objects = list[Manifest]  # names, because a method here is called list
Ask = Callable[..., Awaitable[Objects]]


class Together:
    """What is answered was read after it was asked for, never before; nobody may change the objects that come back."""

    def __init__(self, ask: Ask, clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._next: dict[Key, asyncio.Task[Objects]] = {}
        self._running: dict[Key, asyncio.Task[Objects]] = {}
        self._again: dict[Key, float] = {}
        self._waiting: dict[Key, int] = {}

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "") -> Objects:
        """All objects of a kind, as `Kubernetes.list` gives them; errors are the same, and everybody's."""
        key = (kind.api_version, kind.plural, namespace, labels)
        if key not in self._next:
            self._next[key] = asyncio.create_task(self._list(key, kind, namespace, labels))
            self._waiting[key] = 0
        self._waiting[key] += 1
        return await asyncio.shield(self._next[key])

    async def _list(self, key: Key, kind: Kind, namespace: str, labels: str) -> Objects:
        """Wait for the one before, and for its time; whoever asks meanwhile is answered by this one."""
        mine: Any = asyncio.current_task()
        try:
            if before := self._running.get(key):
                await asyncio.wait([before])
            if (rest := self._again.get(key, float("-inf")) - self._clock.monotonic()) > 0:
                await self._clock.sleep(rest)
        finally:
            del self._next[key]  # from here on it would be too late for who asks
        waited = self._waiting[key]
        self._running[key], began = mine, self._clock.monotonic()
        try:
            return await self._ask(kind, namespace, labels=labels)
        finally:
            ended = self._clock.monotonic()
            self._again[key] = ended + max(min(LONGEST, REST * (ended - began)), min(CROWD, EACH * (waited - 1)))
            if self._running.get(key) is mine:
                del self._running[key]

    async def close(self) -> None:
        """End what is going on."""
        tasks = [*self._next.values(), *self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
