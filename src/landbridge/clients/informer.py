"""A cache of one kind that follows the API server: list, watch, list again when history is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from landbridge.clients.answers import GoneError
from landbridge.clients.kubernetes import Kind, Kubernetes
from landbridge.errors import LandbridgeError
from landbridge.model.service import Manifest

Key = tuple[str, str]
Change = Callable[[str, Manifest], None]
Keep = Callable[[Manifest], Manifest]


class Informer:
    """Keeps `items` equal to what the API server has, and says how old that knowledge is.

    `on_change(type, object)` is called with ADDED, MODIFIED or DELETED after `items` has changed; after a gap, objects
    that vanished in it are reported as DELETED. `seconds` is how long one watch lasts and so bounds how long a dead
    connection goes unnoticed. `keep` makes of an object what is remembered of it; name, namespace and resourceVersion
    have to stay. `errors` counts failed tries; `last_error` says why the last one failed, empty since one has not.
    """

    def __init__(
        self,
        k8s: Kubernetes,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        seconds: float = 30,
        on_change: Change | None = None,
        keep: Keep | None = None,
    ) -> None:
        self.k8s = k8s
        self.kind = kind
        self.namespace = namespace
        self.items: dict[Key, Manifest] = {}
        self.synced = asyncio.Event()
        self.errors = 0
        self.last_error = ""
        self._selectors = {"labels": labels, "fields": fields}
        self._seconds = seconds
        self._listeners: list[Change] = [on_change] if on_change else []
        self._keep = keep
        self._proof = float("-inf")
        self._version = ""

    def subscribe(self, listener: Change) -> None:
        """Call `listener` on every change from now on."""
        self._listeners.append(listener)

    def age(self) -> float:
        """Seconds since the API server last proved that it is alive to this watch."""
        return self.k8s.clock.monotonic() - self._proof

    def get(self, name: str, namespace: str = "") -> Manifest | None:
        """One object from the cache."""
        return self.items.get((namespace, name))

    async def run(self) -> None:
        """Follow for ever; every error is followed by another try after 0.2 to 2 s."""
        pause = 0.2
        while True:
            try:
                if not self._version:
                    await self._list()
                pause = 0.2
                await self._follow()
            except GoneError:
                self._version = ""
            except LandbridgeError as error:  # a starting API server answers 403: nothing is final here
                self.errors += 1
                self.last_error = error.what
                await self.k8s.clock.sleep(pause)
                pause = min(pause * 2, 2.0)

    async def _list(self) -> None:
        items, version = await self.k8s.list_at(self.kind, self.namespace, keep=self._keep, **self._selectors)
        fresh = {_key(item): item for item in items}
        gone = [item for key, item in self.items.items() if key not in fresh]
        changed = [
            ("MODIFIED" if key in self.items else "ADDED", item)
            for key, item in fresh.items()
            if self.items.get(key, {}).get("metadata", {}).get("resourceVersion") != item["metadata"]["resourceVersion"]
        ]
        self.items, self._version = fresh, version
        self._alive()
        self.synced.set()
        for kind, item in [*(("DELETED", item) for item in gone), *changed]:
            self._tell(kind, item)

    async def _follow(self) -> None:
        stream = self.k8s.watch(
            self.kind, self.namespace, version=self._version, seconds=self._seconds, **self._selectors
        )
        async with aclosing(stream):
            async for event, item in stream:
                self._alive()
                self._version = item["metadata"]["resourceVersion"]
                if event == "BOOKMARK":
                    continue
                item = self._keep(item) if self._keep else item
                if event == "DELETED":
                    self.items.pop(_key(item), None)
                else:
                    self.items[_key(item)] = item
                self._tell(event, item)
        self._alive()

    def _alive(self) -> None:
        self._proof = self.k8s.clock.monotonic()
        self.last_error = ""

    def _tell(self, event: str, item: Manifest) -> None:
        for listener in self._listeners:
            listener(event, item)


def _key(item: Manifest) -> Key:
    return item["metadata"].get("namespace") or "", item["metadata"]["name"]
