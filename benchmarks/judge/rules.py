"""How other tools decide, as their code does, with instant counters and instant roll-back (which favours them).

Flagger 1.44 (`pkg/controller/scheduler.go`): the threshold is tested before the analysis, so a roll-back comes one
interval after the last failing check; a failing check holds the weight. Argo Rollouts (`analysis/analysis.go`):
background analysis does not hold the steps, more failed measurements than the limit end it. Kayenta
(`NetflixACAJudge.scala`): Mann-Whitney interval of the shift at 98 %, tolerance 0.25, growing window.
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.rule import Rule
from benchmarks.judge.traffic import DWELL, RAMP, Arms, Floats, Ints, Scenario, Second, tail_counts

Bools = NDArray[np.bool_]

SUCCESS = 0.99
SLOW = (500.0,)
MINUTE = 60


class Windowed(Rule):
    """Counts of the new side in the last minute, and how many checks failed."""

    def __init__(self, name: str, scenario: Scenario, runs: int, seed: int, *, limit: int) -> None:
        super().__init__(name, scenario, runs, look=MINUTE)
        self.limit, self.rng = limit, np.random.default_rng(seed)
        self.window = np.zeros((runs, 3))
        self.failed = np.zeros(runs, np.int64)
        self.latency = bool(scenario.waits or scenario.stalls or scenario.slower_new(600) != 1.0)

    def watch(self, t: int, arms: Arms, s: Second) -> None:
        slow: Ints = np.zeros(len(arms.n_new), np.int64)
        if self.latency:
            slow = tail_counts(self.scenario, t, arms, s, self.rng, SLOW)[0][:, 0]
        self.window += np.stack([arms.n_new, arms.bad_new, slow], axis=1)

    def fails(self, rows: Ints) -> tuple[Bools, Bools]:
        """Which runs' checks fail (success below 99 %, or p99 above 500 ms), and which have no data."""
        n, bad, slow = self.window[rows].T
        empty = n == 0
        failing = (bad > (1 - SUCCESS) * n) | (slow > (1 - SUCCESS) * n)
        return failing & ~empty, empty

    def keep(self, rows: Ints) -> None:
        super().keep(rows)
        self.window, self.failed = self.window[rows], self.failed[rows]


class Flagger(Windowed):
    """Interval 1m, success rate 99 %, p99 500 ms."""

    def decide(self, t: int, live: Ints) -> None:
        ended = self.failed[live] >= self.limit
        self.roll_back(live[ended], t)
        rest = live[~ended]
        failing, empty = self.fails(rest)
        failing |= empty  # silence counts as a failed check
        self.failed[rest[failing]] += 1
        self.window[live] = 0
        self.advance(rest[~failing], t)


class Argo(Windowed):
    """Background analysis each minute, the same conditions; steps of 60 s go on meanwhile."""

    def decide(self, t: int, live: Ints) -> None:
        failing, _ = self.fails(live)
        self.failed[live[failing]] += 1
        self.window[live] = 0
        ended = self.failed[live] > self.limit
        self.roll_back(live[ended], t)
        self.advance(live[~ended], t)


class Kayenta(Rule):
    """Error rates in points of 10 s, judged each minute over all points so far."""

    POINT = 10

    def __init__(self, name: str, scenario: Scenario, runs: int, seed: int) -> None:  # noqa: ARG002
        super().__init__(name, scenario, runs, look=MINUTE)
        self.sums = np.zeros((runs, 4))
        self.points: list[Floats] = []

    def watch(self, t: int, arms: Arms, s: Second) -> None:  # noqa: ARG002
        self.sums += np.stack([arms.n_new, arms.n_old, arms.bad_new, arms.bad_old], axis=1)
        if t % self.POINT == 0:
            with np.errstate(invalid="ignore", divide="ignore"):
                self.points.append(self.sums[:, 2:] / self.sums[:, :2])
            self.sums = np.zeros_like(self.sums)

    def decide(self, t: int, live: Ints) -> None:
        series = np.stack(self.points, axis=2)
        high = np.array([is_high(series[i, 0], series[i, 1]) for i in live], bool)
        self.roll_back(live[high], t)
        self.advance(live[~high], t)

    def keep(self, rows: Ints) -> None:
        super().keep(rows)
        self.sums, self.points = self.sums[rows], [p[rows] for p in self.points]


def is_high(new: Floats, old: Floats) -> bool:
    """Whether the new side's points are higher, as Kayenta's Mann-Whitney judge says (98 %, tolerance 0.25)."""
    new, old = new[~np.isnan(new)], old[~np.isnan(old)]
    m, n = len(new), len(old)
    if m < 2 or n < 2 or new.mean() <= old.mean():
        return False
    shifts = np.sort((new[:, None] - old[None, :]).ravel())
    _, ties = np.unique(np.concatenate([new, old]), return_counts=True)
    whole = m + n
    spread = sqrt(m * n / 12 * (whole + 1 - (ties**3 - ties).sum() / (whole * (whole - 1))))
    if not spread:
        return False
    rank = int(np.floor(m * n / 2 - 2.3263 * spread - 0.5))
    low = shifts[rank] if rank >= 0 else -np.inf
    return bool(low > 0.25 * abs(np.median(shifts)))


class SingleBet(Rule):
    """The bet that knows the ratio beforehand, each second, without holds: what mixing and holding cost and gain."""

    def __init__(self, name: str, scenario: Scenario, runs: int, seed: int) -> None:  # noqa: ARG002
        super().__init__(name, scenario, runs, look=1)
        self.ratio = scenario.ratio or 10.0
        self.wealth = np.zeros(runs)

    def watch(self, t: int, arms: Arms, s: Second) -> None:  # noqa: ARG002
        n = arms.n_new + arms.n_old
        share = arms.n_new / np.maximum(n, 1)
        bad = arms.bad_new + arms.bad_old
        step = arms.bad_new * log(self.ratio) - bad * np.log1p(share * (self.ratio - 1.0))
        self.wealth += np.where((arms.n_new > 0) & (arms.n_old > 0), step, 0.0)

    def decide(self, t: int, live: Ints) -> None:
        ended = self.wealth[live] >= log(100.0)
        self.roll_back(live[ended], t)
        rest = live[~ended]
        self.advance(rest[t - self.started[rest] >= DWELL], t)

    def keep(self, rows: Ints) -> None:
        super().keep(rows)
        self.wealth = self.wealth[rows]


__all__ = ["RAMP", "Argo", "Flagger", "Kayenta", "SingleBet"]
