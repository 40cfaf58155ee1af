"""Readings of the counters, the judge's food."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from landbridge.model.service import ServiceId, Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Completed requests (or connections) of one side since the last look.

    `buckets` maps an upper bound in milliseconds to how many were slower than it (tail exceedances).
    """

    n: int = 0
    bad: int = 0
    buckets: Mapping[str, int] = field(default_factory=dict)


Cursor = dict[str, dict[str, int]]
"""Last counters seen, per pod and series: `{pod uid: {series: value}}`; stored with the verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one service did between two looks: per stratum (the cluster of the waypoint) and side."""

    service: ServiceId
    counts: Mapping[str, Mapping[Side, Count]]
    weights: Mapping[str, int] = field(default_factory=dict)
    """The weight (target's percent) that each waypoint pod obeyed at the look."""
    unseen: tuple[str, ...] = ()
    """Waypoint pods that knew nobody who answers on the target: what is the target's share goes to the source."""
    restarted: bool = False
    """A counter went back or a pod was replaced: what it had counted since the last look is unknown."""
    shadows: Mapping[str, Mapping[Side, Count]] = field(default_factory=dict)
    """The same of copies (the target) and, beside them, of the requests that may be copied (the source)."""
    until: float | None = None
    """What ended by this moment (our clock) is counted; None: all that ended before the look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoData:
    """Nothing could be read for a service, and why. It is never a pass and never a failure."""

    service: ServiceId
    reason: str


COPIES = "copies "
"""Before the stratum in the journal: answers that no user got, left out where users' requests are summed up."""


def plain_counts(reading: Reading | NoData | None, *, prefix: str = "") -> dict[str, Any]:
    """Counts as the journal keeps them: per stratum and side [n, bad, {bound: slower}], or why there are none."""
    if not isinstance(reading, Reading):
        return {"no data": reading.reason if reading else "not read"}
    return {
        f"{prefix}{stratum}": {side.value: [c.n, c.bad, dict(c.buckets)] for side, c in sides.items()}
        for stratum, sides in reading.counts.items()
    }


def read_counts(plain: Mapping[str, Any]) -> dict[str, dict[Side, Count]]:
    """The inverse of `plain_counts`, without copies; no strata where there was no data."""
    return {
        stratum: {Side(side): Count(n=n, bad=bad, buckets=slower) for side, (n, bad, slower) in sides.items()}
        for stratum, sides in plain.items()
        if isinstance(sides, Mapping) and not stratum.startswith(COPIES)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One reading of all services; `at` in seconds since the epoch, `cursor` to go on from."""

    at: float
    cursor: Cursor
    readings: Mapping[ServiceId, Reading | NoData]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The looks between two closings, the judge's unit: one stratum, one weight."""

    stratum: str
    since: float
    until: float
    weight: int
    sides: Mapping[Side, Count]
