"""Reads objects while their pages arrive: the next ones are written meanwhile, and nobody holds what is big."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from landbridge.inventory.objects import slim
from landbridge.model.manifest import namespace_of, subject
from landbridge.model.service import Manifest

Uid = str
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reading(Generic[T]):
    """Notes what objects of the namespaces that move say, before they are made small.

    By uid: a page may come twice, and several API groups may serve the same object.
    """

    moving: frozenset[str]
    note: Callable[[Manifest], T | None]
    """What to remember of an object; nothing where it is false."""
    _told: dict[Uid, T] = field(default_factory=dict)

    def take(self, item: Manifest) -> Manifest:
        """Note what an object says, and make it small; its uid stays until `seal`."""
        if self.concerns(item):
            if said := self.note(item):
                self._told[uid_of(item)] = said
            slim(item)
        return item

    def concerns(self, item: Manifest) -> bool:
        """Whether an object moves, or is cluster-scoped and not the Namespace of others."""
        namespace = namespace_of(item)
        if namespace:
            return namespace in self.moving
        return item["kind"] != "Namespace" or item["metadata"]["name"] in self.moving

    def distinct(self, pages: Iterable[Iterable[Manifest]]) -> Iterator[Manifest]:
        """The objects that concern us, each once however many API groups serve it: of the first group's page."""
        seen: set[Uid] = set()
        for page in pages:
            for item in page:
                uid = uid_of(item)
                if uid not in seen and self.concerns(item):
                    seen.add(uid)
                    yield item

    def seal(self, items: Iterable[Manifest]) -> list[tuple[Manifest, T]]:
        """What was noted of these objects, in their order; their uids go."""
        found = [(item, said) for item in items if (said := self._told.get(uid_of(item)))]
        for item in items:
            item["metadata"].pop("uid", None)
        return found


def uid_of(item: Manifest) -> Uid:
    """The uid; the name of an object that an aggregated API serves without one."""
    return item["metadata"].get("uid") or subject(item)
