"""What is worked out of watched objects: again after one of them has changed, and not each time somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from landbridge.agent.watching import Watch

T = TypeVar("T")


class Derived(Generic[T]):
    """Call it for the value; `make` may look at nothing that changes but the `watches`."""

    def __init__(self, make: Callable[[], T], *watches: Watch) -> None:
        self._make = make
        self._watches = watches
        self._seen: tuple[int, ...] = ()
        self._value: T

    def __call__(self) -> T:
        """The value; nobody may change it."""
        seen = tuple(watch.changes for watch in self._watches)
        if seen != self._seen:
            self._value, self._seen = self._make(), seen
        return self._value
