"""The informers of an agent: started together, one signal for any change, optional kinds left out while absent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from typing import Self

from landbridge.clients.informer import Change, Informer, Keep
from landbridge.clients.kubernetes import Kind, Kubernetes
from landbridge.clock import Clock
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest

SPLIT_SECONDS = 5.0  # how long a dead connection may hide a written weight; every other watch may take longer
WATCH_SECONDS = 20.0
ABSENT_SECONDS = 15.0
LIGHT = 0.05  # seconds: a few dozen Services, for which nobody has to wait


class Signal:
    """Wakes one sleeper; many wakes before it looks are one. `namespaces` collects where something changed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._urgent = asyncio.Event()
        self.namespaces: set[str] = set()

    def wake(self, _: str = "", item: Manifest | None = None) -> None:
        """Something changed."""
        if item is not None:
            self.namespaces.add(item["metadata"].get("namespace") or "")
        self._event.set()

    def hurry(self, kind: str = "", item: Manifest | None = None) -> None:
        """Something changed that must not wait until other changes are through, such as a weight.

        What is new changes no weight that is obeyed already: hundreds of splits begin in a row.
        """
        self.wake(kind, item)
        if kind != "ADDED":
            self._urgent.set()

    async def rest(self, seconds: float) -> None:
        """Let changes come together for so long, or until one is urgent; all of them count as looked at then."""
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._urgent.wait()
        self._urgent.clear()
        self._event.clear()

    def pass_on(self, namespaces: set[str]) -> None:
        """Something changed in these namespaces, as another signal has told."""
        self.namespaces |= namespaces
        if namespaces:
            self._event.set()

    def take(self) -> set[str]:
        """The namespaces in which something changed since the last time."""
        found, self.namespaces = self.namespaces, set()
        return found

    async def wait(self, seconds: float) -> bool:
        """Wait for a change, or for so long; True when there was one, also one that came at the very end."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        changed = self._event.is_set()
        self._event.clear()
        return changed


class Pace:
    """Keeps work that every change asks for from taking a whole core while changes come by the hundred.

    What has just taken longer than `LIGHT` rests `times` as long, `most` seconds at most; an urgent change waits as
    long as the work took. Where changes are rare, or the work is light, nothing waits.
    """

    def __init__(self, clock: Clock, signal: Signal, *, times: float = 8.0, most: float = 1.0) -> None:
        self._clock = clock
        self._signal = signal
        self._times = times
        self._most = most
        self._ended = self._took = float("-inf")

    async def rest(self) -> None:
        """Until the work may be done again."""
        took = self._took if self._took > LIGHT else 0.0
        since = self._clock.monotonic() - self._ended
        if (left := min(self._most, took) - since) > 0:
            await self._clock.sleep(left)
            since += left
        await self._signal.rest(min(self._most, self._times * took) - since)

    @contextmanager
    def work(self) -> Iterator[None]:
        """The work."""
        began = self._clock.monotonic()
        try:
            yield
        finally:
            self._ended = self._clock.monotonic()
            self._took = self._ended - began


def lean(item: Manifest) -> Manifest:
    """An object without what no agent reads: who wrote which field is more than all the rest."""
    item["metadata"].pop("managedFields", None)
    return item


class Watch:
    """One kind that is followed. An `optional` kind that the cluster does not serve counts as empty and in sync."""

    def __init__(
        self,
        k8s: Kubernetes,
        kind: Kind,
        namespace: str = "",
        *,
        signal: Signal,
        labels: str = "",
        fields: str = "",
        seconds: float = WATCH_SECONDS,
        optional: bool = False,
        keep: Keep = lean,
        urgent: bool = False,
    ) -> None:
        self._informer = Informer(
            k8s, kind, namespace, labels=labels, fields=fields, seconds=seconds, on_change=self._note, keep=keep
        )
        self._spaces: dict[str, dict[tuple[str, str], Manifest]] = {}
        self._listeners: list[Change] = [signal.hurry if urgent else signal.wake]
        self._signal = signal
        self._optional = optional
        self._absent = asyncio.Event()
        self._began = k8s.clock.monotonic()
        self.kind = kind
        self.changes = 0
        """How many changes it has heard of."""

    @property
    def error(self) -> str:
        """Why it hears nothing at the moment, in sync or not; empty while all is well."""
        return self._informer.last_error

    async def run(self) -> None:
        """Follow for ever."""
        while self._optional and not await self._served():
            await self._informer.k8s.clock.sleep(ABSENT_SECONDS if self._absent.is_set() else 1.0)
        self._absent.clear()
        await self._informer.run()

    def subscribe(self, listener: Change) -> None:
        """Call `listener(event, object)` on every change too."""
        self._listeners.append(listener)

    def within(self, namespace: str) -> Sequence[Manifest]:
        """The objects of one namespace, without looking at all the others."""
        return list(self._spaces.get(namespace, {}).values())

    @property
    def items(self) -> Sequence[Manifest]:
        """All objects as last seen."""
        return list(self._informer.items.values())

    @property
    def by_key(self) -> dict[tuple[str, str], Manifest]:
        """The same by (namespace, name)."""
        return self._informer.items

    @property
    def synced(self) -> bool:
        """Whether everything there is has been seen once."""
        return self._informer.synced.is_set() or self._absent.is_set()

    @property
    def age(self) -> float:
        """Seconds since the API server last proved to this watch that it lives, at most since its start; 0 for a kind
        that is absent.
        """
        since_start = self._informer.k8s.clock.monotonic() - self._began
        return 0.0 if self._absent.is_set() else min(self._informer.age(), since_start)

    @property
    def problem(self) -> str:
        """Why it is not in sync, empty when it is."""
        return "" if self.synced else self._informer.last_error or "waits for the first list"

    def _note(self, event: str, item: Manifest) -> None:
        self.changes += 1
        meta = item["metadata"]
        key = (meta.get("namespace") or "", meta["name"])
        space = self._spaces.setdefault(key[0], {})
        if event == "DELETED":
            space.pop(key, None)
        else:
            space[key] = item
        for listener in self._listeners:
            listener(event, item)

    async def _served(self) -> bool:
        try:
            served = await self._informer.k8s.served()
        except LandbridgeError:  # cannot know yet
            return False
        kind = self._informer.kind
        found = any(item.api_version == kind.api_version for item in served.get((kind.group, kind.kind), ()))
        if not found and not self._absent.is_set():
            self._absent.set()
            self._signal.wake()
        return found


class Watches:
    """Several watches that live and end together; use as an async context."""

    def __init__(self, watches: Iterable[Watch]) -> None:
        self.all = tuple(watches)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        for watch in self.all:
            task = group.create_task(watch.run(), name=f"watch {watch.kind.plural}")
            self._stack.callback(task.cancel)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    @property
    def synced(self) -> bool:
        """Whether all are in sync."""
        return all(watch.synced for watch in self.all)

    @property
    def age(self) -> float:
        """The oldest proof of life, in seconds."""
        return max((watch.age for watch in self.all), default=0.0)

    @property
    def problems(self) -> list[str]:
        """What is not in sync and why."""
        return [f"{watch.kind.plural}: {watch.problem}" for watch in self.all if watch.problem]
