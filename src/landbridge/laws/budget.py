"""The connection budget: everything runs twice during a migration, and pools open at start, not with the traffic.

A pool that keeps its minimum idle opens all its connections when the pod starts, so 1 % of traffic already costs 100 %
of the target's connections: this is asked before the first copy, not before a weight step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from landbridge.laws.law import Law, Refusal
from landbridge.model.service import ServiceId, Side

KEEP_FREE = 0.2
"""Share of a store's limit that stays free."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One service's connections to one store on one side: every replica opens up to `size`."""

    service: ServiceId
    side: Side
    size: int
    replicas: int
    surge: int = 0
    """Replicas more during a rollout (maxSurge, maximumPercent - 100, or parallelism if start-first)."""

    @property
    def demand(self) -> int:
        """Most connections that it opens at once."""
        return self.size * (self.replicas + self.surge)


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A data store: its limit, what it keeps for itself, and what is open now (None: not measured)."""

    name: str
    limit: int
    reserved: int = 0
    observed: int | None = None
    other: int = 0
    """Connections of cron jobs and administrators to come."""


class Room(StrEnum):
    """Whether the store has room for both sides."""

    OK = "ok"
    WARN = "warn"
    BLOCK = "block"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The sum for one store, and the services by demand, largest first: whom to shrink."""

    room: Room
    needed: int
    usable: int
    by_service: tuple[tuple[ServiceId, int], ...]


def budget(store: Store, pools: Sequence[Pool]) -> Budget:
    """What both sides need of a store: the source as measured (else by its pools), and all of the target's pools."""
    demand = {side: sum(p.demand for p in pools if p.side is side) for side in Side}
    source = demand[Side.SOURCE] if store.observed is None else max(store.observed, 0)
    needed, usable = source + demand[Side.TARGET] + store.other, max(store.limit - store.reserved, 0)
    room = Room.OK if needed <= (1.0 - KEEP_FREE) * usable else Room.WARN if needed <= usable else Room.BLOCK
    services: dict[ServiceId, int] = {}
    for pool in pools:
        services[pool.service] = services.get(pool.service, 0) + pool.demand
    ranked = sorted(services.items(), key=lambda row: (-row[1], row[0]))
    return Budget(room=room, needed=needed, usable=usable, by_service=tuple(ranked))


def may_copy(store: Store, pools: Sequence[Pool]) -> Refusal | None:
    """Law 1: starting the target's copies must not leave the source's pods without connections."""
    answer = budget(store, pools)
    if answer.room is not Room.BLOCK:
        return None
    largest = ", ".join(f"{service} {n}" for service, n in answer.by_service[:3])
    return Refusal(
        Law.SERVED, f"{store.name} allows {answer.usable} connections, both sides need {answer.needed} ({largest})"
    )
