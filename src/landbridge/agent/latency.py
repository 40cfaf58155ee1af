"""How fast another cluster's gateway answers: the round trips of the last minute (pure)."""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import Any

LAST = 60.0
ALIVE = 10.0  # a probe every 2 s, of which one may be lost and each may take 2 s
MOST = 10_000
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class RoundTrips:
    """Seconds from a question to its answer on an open connection, with the moment of the question.

    `problem` is why the last question had no answer, empty since one had.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque(maxlen=MOST)
        self.problem = ""

    def add(self, at: float, seconds: float) -> None:
        """Keep one; whatever was answered, a gateway that answers is alive."""
        self._seen.append((at, seconds))
        self.problem = ""

    def report(self, now: float) -> dict[str, Any]:
        """`alive`, and the last minute's quantiles in milliseconds, None without an answer."""
        recent = sorted(seconds for at, seconds in self._seen if now - at <= LAST)
        alive = any(now - at <= ALIVE for at, _ in self._seen)
        return {"alive": alive, "latency_ms": {name: _quantile(recent, q) for name, q in QUANTILES.items()}}


def _quantile(ordered: list[float], q: float) -> float | None:
    """By nearest rank: a value that was really seen."""
    return round(1000 * ordered[ceil(q * len(ordered)) - 1], 2) if ordered else None
