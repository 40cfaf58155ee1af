"""From looks to closed blocks: deltas are gathered per stratum, bunches are cut per cluster unit, blocks close.

A block closes at the first complete unit at which it holds 50 requests, or is `block_seconds` old with requests of both
sides in it, or at a weight change; never because of what failed. Strata (a caller, a route, a waypoint's cluster) have
blocks of their own, for they may differ in level and mix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import add

from landbridge.judge import bursts
from landbridge.judge.bursts import Bursts
from landbridge.judge.errors import Sample
from landbridge.judge.latency import Gauge, Tail
from landbridge.model.look import Count
from landbridge.model.service import Side

Counts = Mapping[str, Mapping[Side, Count]]
"""What each stratum's two sides did since the look before: `Reading.counts` of a look."""

BLOCK = 50
"""Requests of a block: one-second blocks at 2 requests/s keep 20 to 40 % of the information, 50 nearly all."""

NOTHING = Count()


@dataclass(frozen=True, slots=True)
class Sums:
    """Requests, errors and events at each gauge of both sides."""

    n_new: int = 0
    n_old: int = 0
    bad_new: float = 0.0
    bad_old: float = 0.0
    tails_new: tuple[float, ...] = ()
    tails_old: tuple[float, ...] = ()

    def plus(self, other: Sums) -> Sums:
        """Both together; without gauges on one side, that side's count."""
        return Sums(
            self.n_new + other.n_new,
            self.n_old + other.n_old,
            self.bad_new + other.bad_new,
            self.bad_old + other.bad_old,
            tuple(map(add, self.tails_new, other.tails_new)) if self.tails_new else other.tails_new,
            tuple(map(add, self.tails_old, other.tails_old)) if self.tails_old else other.tails_old,
        )


EMPTY = Sums()


@dataclass(frozen=True, slots=True)
class Open:
    """A block not yet closed: the cluster unit under way, and the units that are complete with bunches cut.

    `spared_old` is the old side's errors with the old side's bunches cut instead: what an upper bound may count.
    """

    unit_since: float
    unit: Sums = EMPTY
    block: Sums = EMPTY
    full_new: float = 0.0
    spared_old: float = 0.0
    began: float | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed block: its sums with the new side's bunches cut, and the counts for an upper bound."""

    sums: Sums
    upper: Sample

    @property
    def sample(self) -> Sample:
        """The errors of the block, for the bet that the new side is worse."""
        s = self.sums
        return Sample(s.n_new, s.n_old, s.bad_new, s.bad_old)

    def tail(self, index: int) -> Sample:
        """The events at one gauge."""
        s = self.sums
        return Sample(s.n_new, s.n_old, s.tails_new[index], s.tails_old[index])


def is_sound(counts: Counts) -> bool:
    """No count is negative and no side has more errors than requests (starts mixed up with completions)."""
    return all(
        0 <= c.bad <= c.n and all(slow >= 0 for slow in c.buckets.values()) for s in counts.values() for c in s.values()
    )


def tally(sides: Mapping[Side, Count], gauges: tuple[Gauge, ...]) -> Sums:
    """One stratum's look as sums."""
    new, old = sides.get(Side.TARGET, NOTHING), sides.get(Side.SOURCE, NOTHING)
    return Sums(new.n, old.n, new.bad, old.bad, events(new, gauges), events(old, gauges))


def events(count: Count, gauges: tuple[Gauge, ...]) -> tuple[float, ...]:
    """How many requests were slow (or fast) at each gauge; the histogram may be one request ahead of the counter."""
    slow = ((g, min(count.n, count.buckets.get(g.bound, 0))) for g in gauges)
    return tuple(float(count.n - k if g.tail is Tail.FAST else k) for g, k in slow)


def gather(block: Open, look: Sums, *, at: float, how: Bursts) -> Open:
    """The open block with one more look; completes the cluster unit when it has lasted long enough."""
    unit = block.unit.plus(look)
    if how is Bursts.CAP and at - block.unit_since < bursts.UNIT:
        return replace(block, unit=unit)
    return complete(replace(block, unit=unit), at=at, how=how)


def complete(block: Open, *, at: float, how: Bursts) -> Open:
    """The unit under way joins the block, with its bunches cut where that is the rule."""
    unit = block.unit
    if not unit.n_new and not unit.n_old:
        return replace(block, unit_since=at, unit=EMPTY)
    counted, spared = unit, unit.bad_old
    if how is Bursts.CAP:
        counted = replace(unit, bad_new=bursts.capped(unit.bad_new, unit.n_new, unit.bad_old, unit.n_old))
        spared = bursts.capped(unit.bad_old, unit.n_old, unit.bad_new, unit.n_new)
    return Open(
        unit_since=at,
        block=block.block.plus(counted),
        full_new=block.full_new + unit.bad_new,
        spared_old=block.spared_old + spared,
        began=block.unit_since if block.began is None else block.began,
    )


def is_full(block: Open, *, at: float, seconds: float) -> bool:
    """Whether the block may close: no unit under way, and enough requests, or both sides and `seconds` of age."""
    whole = block.block
    if block.unit.n_new or block.unit.n_old or block.began is None:
        return False
    old = at - block.began >= seconds and whole.n_new > 0 and whole.n_old > 0
    return old or whole.n_new + whole.n_old >= BLOCK


def close(block: Open) -> Closed:
    """The block as the judge takes it."""
    sums = block.block
    return Closed(sums, Sample(sums.n_new, sums.n_old, block.full_new, block.spared_old))
