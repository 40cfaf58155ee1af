"""Traffic for every rule at once: the same requests, whichever weight a rule has reached.

A request has a number in 0..1 and goes to the new side if that is below the weight. So the requests of a second are
counted per band between two weights of the ramp; a rule at a weight gives all bands below it to the new side. Whether
a request would fail on either side is decided once (coupled: what fails on the better side fails on the worse one).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import erfc, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RAMP = (1, 5, 10, 15, 25, 35, 50, 65, 80, 99)
DWELL = 60
BOUNDS = (10, 25, 50, 100, 250, 500, 1000, 2500)
"""Bucket bounds in milliseconds, as Envoy and Istio have them."""

Rate = Callable[[int], float]


def constant(value: float) -> Rate:
    """The same at all times."""
    return lambda _: value


QUIET, UNCHANGED = constant(0.001), constant(1.0)


def outage(t: int) -> float:
    """0.1 %, and 3 % in minutes 2 to 8."""
    return 0.03 if 120 <= t < 480 else 0.001


def drifting(t: int) -> float:
    """Between 0.05 % and 2 %, up and down every seven minutes."""
    return float(0.001 * np.exp(1.5 + 1.5 * np.sin(2 * np.pi * t / 420) - 1.0))


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What a service does during a ramp; times in seconds since its begin."""

    name: str
    healthy: bool
    new: Rate = QUIET
    old: Rate = QUIET
    rate: float = 200.0
    share: float = 1.0
    """True share over nominal weight."""
    sizes: tuple[tuple[int, float], ...] = ((1, 1.0),)
    """Errors of the new side come in bunches of these sizes with these probabilities."""
    both_bunch: bool = False
    slower_new: Rate = UNCHANGED
    slower_old: Rate = UNCHANGED
    waits: float = 0.0
    """Share of the new side's requests that take a second more."""
    stalls: float = 0.0
    """Probability, each second and side, that half of its requests take a second more."""
    lost: float = 0.0
    """Probability that a look is lost; what it would have counted comes with the next."""
    late: int | None = None
    """From which weight of the ramp on the new side is bad at all."""
    ratio: float | None = None
    seed: int = field(default=0, compare=False)


@dataclass
class Second:
    """One second of all runs: requests, failures if new, failures if old, per band; what looks are lost; stalls."""

    n: Ints
    bad_new: Ints
    bad_old: Ints
    extra_new: Ints
    """Requests more that a bunch on the new side brings."""
    extra_old: Ints
    lost: NDArray[np.bool_]
    stall_new: NDArray[np.bool_]
    stall_old: NDArray[np.bool_]
    drawn: dict[tuple[float, ...], tuple[Ints, Ints, Ints, Ints]] = field(default_factory=dict)
    """Latencies drawn by a rule: its requests of both sides, and how many were above each bound."""

    @cached_property
    def below(self) -> tuple[Ints, Ints, Ints, Ints]:
        """Requests and failures in all bands up to each: to the new side, and if they went to the old one."""
        new, old = self.n + self.extra_new, self.n + self.extra_old
        return (
            np.cumsum(new, axis=1),
            np.cumsum(old, axis=1),
            np.cumsum(self.bad_new, axis=1),
            np.cumsum(self.bad_old, axis=1),
        )


def edges(scenario: Scenario) -> Floats:
    """The bands' borders as parts of all traffic."""
    return np.minimum(1.0, np.array([0, *RAMP]) / 100 * scenario.share)


def second(scenario: Scenario, t: int, runs: int, rng: np.random.Generator) -> Second:
    """All runs' requests of second t."""
    widths = np.append(np.diff(edges(scenario)), 0.0)
    widths[-1] = 1.0 - widths.sum()
    per_band = scenario.rate * widths
    new, old = scenario.new(t), scenario.old(t)
    shape = (runs, len(widths))
    bunched = scenario.sizes != ((1, 1.0),)
    if not bunched:
        both = rng.poisson(per_band * min(new, old), shape)
        more = rng.poisson(per_band * abs(new - old), shape) if new != old else np.zeros(shape, np.int64)
        fine = rng.poisson(per_band * (1 - max(new, old)), shape)
        bad_new, bad_old = (both + more, both) if new >= old else (both, both + more)
        nothing = np.zeros(shape, np.int64)
        return Second(both + more + fine, bad_new, bad_old, nothing, nothing, *chances(scenario, runs, rng))
    fine = rng.poisson(per_band, shape)
    sizes = np.array([s for s, _ in scenario.sizes])
    chance = np.array([p for _, p in scenario.sizes])
    mean = float((sizes * chance).sum())
    bad_new = bunches(scenario, per_band * new / mean, shape, rng)
    if scenario.both_bunch:
        bad_old = bunches(scenario, per_band * old / mean, shape, rng)
    else:
        bad_old = rng.poisson(per_band * old, shape)
    return Second(fine, bad_new, bad_old, bad_new, bad_old, *chances(scenario, runs, rng))


def bunches(scenario: Scenario, rate: Floats, shape: tuple[int, int], rng: np.random.Generator) -> Ints:
    """Failures that come in bunches, `rate` bunches a second and band."""
    total: Ints = np.zeros(shape, np.int64)
    for size, chance in scenario.sizes:
        total += size * rng.poisson(rate * chance, shape)
    return total


def chances(scenario: Scenario, runs: int, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Lost looks, and stalls of both sides."""
    none = np.zeros(runs, bool)
    lost = rng.random(runs) < scenario.lost if scenario.lost else none
    if not scenario.stalls:
        return lost, none, none
    return lost, rng.random(runs) < scenario.stalls, rng.random(runs) < scenario.stalls


@dataclass
class Arms:
    """What a rule sees of one second at its weights."""

    n_new: Ints
    n_old: Ints
    bad_new: Ints
    bad_old: Ints


def divide(s: Second, step: Ints) -> Arms:
    """The second as divided at each run's step of the ramp."""
    rows = np.arange(len(step))
    new, old, bad_new, bad_old = s.below
    return Arms(
        new[rows, step],
        old[:, -1] - old[rows, step],
        bad_new[rows, step],
        bad_old[:, -1] - bad_old[rows, step],
    )


P50, SIGMA = 60.0, log(386 / 60) / 2.3263


def slower_than(bound: float, factor: float = 1.0) -> float:
    """Share of requests above a bound: lognormal with median 60 ms and p99 386 ms, times a factor."""
    if bound <= 0:
        return 1.0
    return 0.5 * erfc(log(bound / factor / P50) / SIGMA / sqrt(2))


def tails(factor: float, waits: float, bounds: Sequence[float] = BOUNDS) -> Floats:
    """The share above each bound, when `waits` of all requests take a second more."""
    return np.array([(1 - waits) * slower_than(b, factor) + waits * slower_than(b - 1000, factor) for b in bounds])


def draw_tails(n: Ints, shares: Floats, rng: np.random.Generator) -> Ints:
    """Requests above each bound for n requests a run; shares (bounds) or (runs, bounds), falling along the bounds."""
    left, above, result = n, np.ones(1), []
    for i in range(shares.shape[-1]):
        p = np.atleast_1d(shares[..., i])
        left = rng.binomial(left, np.clip(p / above, 0.0, 1.0))
        above = p
        result.append(left)
    return np.stack(result, axis=1)


def tail_counts(
    scenario: Scenario, t: int, arms: Arms, s: Second, rng: np.random.Generator, bounds: Sequence[float]
) -> tuple[Ints, Ints]:
    """Requests above each of these bounds (rising) on the new and the old side.

    Rules that stand at the same weight in a run see the same requests, so their latencies are drawn once.
    """
    known = s.drawn.get(tuple(bounds))
    if known is None:
        every = np.arange(len(arms.n_new))
        made = draw_sides(scenario, t, arms, every, s, rng, bounds)
        s.drawn[tuple(bounds)] = (arms.n_new, arms.n_old, *made)
        return made
    n_new, n_old, new, old = known
    rows = np.flatnonzero((arms.n_new != n_new) | (arms.n_old != n_old))
    new, old = new.copy(), old.copy()
    new[rows], old[rows] = draw_sides(scenario, t, arms, rows, s, rng, bounds)
    return new, old


def draw_sides(
    scenario: Scenario, t: int, arms: Arms, rows: Ints, s: Second, rng: np.random.Generator, bounds: Sequence[float]
) -> tuple[Ints, Ints]:
    """The same, for some runs, drawn."""
    sides = (
        (arms.n_new, tails(scenario.slower_new(t), scenario.waits, bounds), s.stall_new),
        (arms.n_old, tails(scenario.slower_old(t), 0.0, bounds), s.stall_old),
    )
    stalled = tails(1.0, 0.5, bounds)
    new, old = (
        draw_tails(n[rows], np.where(stall[rows][:, None], stalled, usual) if scenario.stalls else usual, rng)
        for n, usual, stall in sides
    )
    return new, old
