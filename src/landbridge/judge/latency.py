"""Evidence that the new side is slower: the bet of `errors.py` on tail exceedances, one per bucket bound, averaged.

"Slower than the bound" is the event. A quantile of the whole ramp would compare different mixes of weights (Simpson's
paradox: 100 % false alarms when both sides slow down together); per block, the two sides stand side by side. The null
has a margin, for one more hop would fail every healthy migration that has enough traffic: `margin` times the old
side's tail is healthy, and bounds where a hop's time counts are left out.

Which bounds count is fixed from the old side's tails before any of these requests is judged:
tail 0.5 to 50 % bets on "slow", more than half on "fast" (of which the new side then has too few), and the first bound
with less than 0.5 % bets like rare errors do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from math import log

from landbridge.judge import errors

MOST_BOUNDS = 6
HOP_FACTOR = 40
"""A bound below 40 hops may move by more than the margin when one hop is added: not used."""

ENOUGH = 500
"""Old-side requests before bounds are chosen: 0.5 % of them are two or three."""


class Tail(StrEnum):
    """What counts as the event at a bound."""

    SLOW = "slow"
    FAST = "fast"
    RARE = "rare"


@dataclass(frozen=True, slots=True)
class Gauge:
    """One bucket bound (milliseconds, as the data names it) and the event counted there."""

    bound: str
    tail: Tail


def choose(slower: Mapping[str, int], n: int, *, hop: float) -> tuple[Gauge, ...]:
    """The gauges for an old side that had, of n requests, `slower[bound]` above each bound.

    `hop` is the time in milliseconds that the new path may add. Empty when n is too small to know the tails.
    """
    if n < ENOUGH:
        return ()
    tails = sorted((float(bound), bound, count / n) for bound, count in slower.items())
    tails = [row for row in tails if row[0] >= HOP_FACTOR * hop]
    slow = [Gauge(bound, Tail.SLOW) for _, bound, tail in tails if 0.005 <= tail <= 0.5]
    fast = [Gauge(bound, Tail.FAST) for _, bound, tail in tails if 0.5 < tail <= 0.995]
    rare = [Gauge(bound, Tail.RARE) for _, bound, tail in tails if tail < 0.005]
    return (*thin(slow, MOST_BOUNDS - 2), *fast[-1:], *rare[:1])


def thin(gauges: list[Gauge], most: int) -> list[Gauge]:
    """At most so many, evenly taken, the first and the last among them."""
    if len(gauges) <= most:
        return gauges
    return [gauges[round(i * (len(gauges) - 1) / (most - 1))] for i in range(most)]


@lru_cache(maxsize=64)
def bets(tail: Tail, margin: float) -> errors.Bets:
    """The bets at one bound: few ratios, for tails are common and soon decided."""
    match tail:
        case Tail.SLOW:
            return errors.Bets([margin * r for r in errors.log_spaced(1.4, 5.0, 4)], [1.0] * 4, null=margin)
        case Tail.FAST:
            return errors.Bets(
                [1 / (margin * r) for r in errors.log_spaced(1.2, 12.0, 10)], [1.0] * 10, null=1 / margin
            )
        case Tail.RARE:
            return errors.Bets([margin * r for r in errors.log_spaced(2.0, 60.0, 12)], [1.0] * 12, null=margin)


def value(gauges: tuple[errors.Evidence, ...]) -> float:
    """Logarithm of the average evidence over the bounds; 0 where none is watched."""
    if not gauges:
        return 0.0
    return errors.log_sum([errors.log_value(e) for e in gauges]) - log(len(gauges))
