"""Counts what became of every request (pure): by status or kind of error, by side, and how long it took."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_STEPS = 40
"""Buckets to a factor of ten: a percentile is right within 6 %."""
_LOWEST = 1e-5
LATE = 0.05
"""Seconds behind the schedule from which a request counts as sent late."""
MAX_SAMPLES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one request.

    `kind`: the status (`200`; gRPC `OK`) or the kind of error (`refused`, `cut`, `timeout`, `dns`, ...). `side`: the
    cluster that says it answered. `broken`: the copy that failed on purpose, `payments@eks`; `chain`: who took part.
    """

    kind: str
    ok: bool
    side: str = ""
    broken: str = ""
    chain: str = ""
    retried: bool = False


class Histogram:
    """Latencies in buckets that grow by 6 %; merges, and gives percentiles in seconds."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[math.floor(math.log10(max(seconds, _LOWEST)) * _STEPS)] += 1

    def merge(self, other: Histogram) -> None:
        """Count all of another."""
        self.counts.update(other.counts)

    def get_percentile(self, percent: float) -> float:
        """The upper end of the bucket that holds it; 0 where nothing was counted."""
        wanted = math.ceil(self.counts.total() * percent / 100)
        seen = 0
        for bucket in sorted(self.counts):
            seen += self.counts[bucket]
            if seen >= wanted:
                return float(10 ** ((bucket + 1) / _STEPS))
        return 0.0


@dataclass(slots=True)
class Tally:
    """The counts of one target. A request is either ok, failed, or failed by a copy that is broken on purpose."""

    requests: int = 0
    ok: int = 0
    failed: int = 0
    failed_by_broken_copy: int = 0
    in_flight: int = 0
    late: int = 0
    latest: float = 0.0
    retried: int = 0
    reconnects: int = 0
    events: int = 0
    sides: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    latencies: Histogram = field(default_factory=Histogram)
    recent: Histogram = field(default_factory=Histogram)

    def begin(self, lateness: float) -> None:
        """A request is sent, so many seconds after it should have been."""
        self.requests += 1
        self.in_flight += 1
        self.latest = max(self.latest, lateness)
        if lateness > LATE:
            self.late += 1

    def end(self, outcome: Outcome, seconds: float) -> None:
        """A request ended, so many seconds after it should have been sent."""
        self.in_flight -= 1
        self.kinds[outcome.kind] += 1
        self.retried += outcome.retried
        self.recent.add(seconds)
        if outcome.side:
            self.sides[outcome.side] += 1
        if outcome.ok:
            self.ok += 1
        elif outcome.broken:
            self.failed_by_broken_copy += 1
            self.broken[outcome.broken] += 1
        else:
            self.failed += 1

    def turn(self) -> dict[str, Any]:
        """The counts so far, with percentiles of what ended since the last turn."""
        said = self._say(self.recent)
        self.latencies.merge(self.recent)
        self.recent = Histogram()
        return said

    def summarise(self) -> dict[str, Any]:
        """The counts, with percentiles of all."""
        self.latencies.merge(self.recent)
        self.recent = Histogram()
        return self._say(self.latencies)

    def _say(self, latencies: Histogram) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in COUNTS},
            "latest_ms": round(self.latest * 1000, 1),
            "sides": dict(self.sides),
            "kinds": dict(self.kinds),
            "broken": dict(self.broken),
            **{f"p{p:g}_ms": round(latencies.get_percentile(p) * 1000, 2) for p in (50, 95, 99, 99.9)},
        }


COUNTS = (
    *("requests", "ok", "failed", "failed_by_broken_copy", "in_flight", "late", "retried", "reconnects"),
    "events",
)


def add_up(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The counts of several targets, or of several generators, together; percentiles cannot be added."""
    total: dict[str, Any] = {name: sum(part[name] for part in parts) for name in COUNTS}
    for name in ("sides", "kinds", "broken"):
        counter: Counter[str] = Counter()
        for part in parts:
            counter.update(part[name])
        total[name] = dict(counter)
    return total
