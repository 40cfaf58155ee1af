"""The judge of `landbridge.judge`, for thousands of runs at once; every look must equal it (check.py replays runs).

Grids, masses, caps and thresholds are taken from the package, so that only the arithmetic is written twice.
"""

from __future__ import annotations

from math import inf, log

import numpy as np
from numpy.typing import NDArray

from benchmarks.judge.rule import Rule
from benchmarks.judge.traffic import BOUNDS, DWELL, RAMP, Arms, Floats, Ints, Scenario, Second, tail_counts, tails
from landbridge.judge import blocks, errors, latency
from landbridge.judge.bursts import LARGEST, MOST, UNIT, Bursts
from landbridge.judge.latency import Gauge, Tail
from landbridge.judge.observe import HALF_LIFE
from landbridge.judge.state import Settings
from landbridge.judge.verdict import HOLD_ABOVE, MIN_BAD, PATIENCE

Rows = Ints | slice
EVERY = slice(None)


class Cells:
    """One e-process per run: log wealth of each ratio (ratios x runs, for sums run down columns), mass kept back."""

    def __init__(self, bets: errors.Bets, runs: int) -> None:
        start = errors.start(bets)
        self.bets = bets
        self.gains, self.excess = np.array(bets.gains)[:, None], np.array(bets.excess)[:, None]
        self.log_mass = np.array(bets.log_mass)[:, None]
        self.cells = np.repeat(np.array(start.cells)[:, None], runs, axis=1)
        self.unspent = np.full(runs, start.unspent)
        self.restarts = np.zeros(runs, np.int64)
        self.known, self.stale = np.zeros(runs), np.zeros(runs, bool)

    def shares(self, share: Floats) -> tuple[Floats, Floats]:
        """What the observed shares of blocks make of each bad request; the same for all bets alike."""
        return np.log1p(share * self.excess), np.log1p(share * (self.bets.null - 1.0))

    def update(
        self, rows: Rows, shares: tuple[Floats, Floats], bad_new: Floats, bad_old: Floats, most: float = inf
    ) -> None:
        """`rows` have requests on both sides, or no bad ones."""
        bad, (excess, level) = bad_new + bad_old, shares
        step = bad_new * self.gains
        step -= bad * excess
        step += bad * level
        self.cells[:, rows] += np.minimum(step, most, out=step)
        self.stale[rows] = True

    def restart(self, rows: Ints) -> None:
        self.restarts[rows] += 1
        spent = self.unspent[rows] / (self.restarts[rows] + errors.SPREAD - 1)
        self.unspent[rows] -= spent
        self.cells[:, rows] = np.logaddexp(self.cells[:, rows], np.log(spent) + self.log_mass)

    def value(self) -> Floats:
        """Logarithm of each run's evidence; a restart moves mass and changes it not."""
        some = np.flatnonzero(self.stale)
        if len(some):
            rows: Rows = EVERY if 2 * len(some) > len(self.stale) else some
            self.known[rows] = log_sum(self.cells[:, rows], np.log(self.unspent[rows]))
            self.stale[:] = False
        return self.known

    def keep(self, rows: Ints) -> None:
        self.cells, self.unspent, self.restarts = self.cells[:, rows], self.unspent[rows], self.restarts[rows]
        self.known, self.stale = self.known[rows], self.stale[rows]


def log_sum(cells: Floats, more: Floats) -> Floats:
    """Logarithm of the sum of exponentials down each column, and one more term."""
    top = np.maximum(cells.max(axis=0), more)
    total: Floats = top + np.log(np.exp(cells - top).sum(axis=0) + np.exp(more - top))
    return total


Bools = NDArray[np.bool_]
PARTS = ("n_new", "n_old", "bad_new", "bad_old")


class Ours(Rule):
    """The judge, looking every `look` seconds."""

    def __init__(self, name: str, scenario: Scenario, runs: int, seed: int, *, look: int, settings: Settings) -> None:
        super().__init__(name, scenario, runs, look=look)
        self.settings, self.rng = settings, np.random.default_rng(seed)
        self.errors = Cells(errors.upward(settings.null), runs)
        self.before_n = max(60 * int(scenario.rate), 1200)
        self.before_bad = round(self.before_n * scenario.old(0))
        old = tails(scenario.slower_old(0), 0.0)
        self.before_slower = {str(b): round(self.before_n * float(p)) for b, p in zip(BOUNDS, old, strict=True)}
        chosen = latency.choose(self.before_slower, self.before_n, hop=settings.hop) if settings.latency else ()
        self.gauges: tuple[Gauge, ...] = chosen
        self.tails = [Cells(latency.bets(g.tail, settings.margin), runs) for g in self.gauges]
        self.bounds = sorted({int(g.bound) for g in self.gauges})
        self.columns = [self.bounds.index(int(g.bound)) for g in self.gauges]
        self.waiting = Arms(*(np.zeros(runs, np.int64) for _ in range(4)))
        self.block = np.zeros((runs, 4 + 2 * len(self.gauges)))
        self.seen = np.zeros((runs, 4 + 2 * len(self.gauges)))
        self.recent = np.tile([0.0, self.before_n, 0.0, self.before_bad], (runs, 1))  # seen just before the ramp
        self.last = np.zeros(runs)
        self.unit_since = np.full(runs, np.nan)
        self.began = np.full(runs, np.nan)
        self.counts = np.zeros((runs, 4))
        self.closed = np.zeros(runs)
        self.crossed = np.zeros(runs, bool)
        self.record: list[tuple[int, Ints, Ints, Floats, Floats]] = []
        self.recorded = 0
        self.errors.restart(np.arange(runs))  # gauges are fixed with the first request to the target, after it

    def restart(self, rows: Ints) -> None:
        for cells in (self.errors, *self.tails):
            cells.restart(rows)

    def watch(self, t: int, arms: Arms, s: Second) -> None:
        self.waiting = Arms(*(getattr(self.waiting, name) + getattr(arms, name) for name in PARTS))
        if t % self.look and not self.scenario.stalls:
            return  # latencies of a whole look are drawn at once, where they are alike in all of it
        arms, self.waiting = self.waiting, Arms(*(np.zeros(len(arms.n_new), np.int64) for _ in PARTS))
        parts = [arms.n_new, arms.n_old, arms.bad_new, arms.bad_old]
        if self.gauges:
            new, old = tail_counts(self.scenario, t, arms, s, self.rng, self.bounds)
            for side, n in ((new, arms.n_new), (old, arms.n_old)):
                for g, column in zip(self.gauges, self.columns, strict=True):
                    parts.append(n - side[:, column] if g.tail is Tail.FAST else side[:, column])
        self.seen += np.stack(parts, axis=1)

    def decide(self, t: int, live: Ints) -> None:
        if self.scenario.lost:
            live = live[~self.lost[live]]
        unit = self.seen[live]
        self.note_raw(t, live, unit)
        self.seen[live] = 0.0
        fade = 0.5 ** ((t - self.last[live]) / HALF_LIFE)
        self.recent[live] = self.recent[live] * fade[:, None] + unit[:, :4]
        self.last[live] = t
        self.counts[live] += unit[:, :4]
        if self.settings.bursts is Bursts.CAP:
            unit[:, 2] = capped(unit[:, 2], unit[:, 0], unit[:, 3], unit[:, 1])
        self.block[live] += unit
        self.note_age(t, live, unit)
        self.close(live[self.is_full(t, live)])
        self.answer(t, live)

    def note_age(self, t: int, live: Ints, unit: Floats) -> None:
        """A block is as old as the first unit in it that has requests."""
        since = np.where(np.isnan(self.unit_since[live]), t - UNIT, self.unit_since[live])
        begins = np.isnan(self.began[live]) & (unit[:, :2].sum(axis=1) > 0)
        self.began[live] = np.where(begins, since, self.began[live])
        self.unit_since[live] = t

    def is_full(self, t: int, rows: Ints) -> Bools:
        n = self.block[rows, :2]
        old = (t - self.began[rows] >= self.settings.block_seconds) & (n > 0).all(axis=1)
        full: Bools = old | (n.sum(axis=1) >= blocks.BLOCK)
        return full

    def close(self, rows: Ints) -> None:
        if not len(rows):
            return
        most = MOST if self.settings.bursts is Bursts.CAP else inf
        self.bet(rows, most)
        self.block[rows], self.began[rows] = 0.0, np.nan
        self.closed[rows] += 1

    def bet(self, rows: Ints, most: float) -> None:
        """Every test with the blocks of these runs; a block with one side alone says nothing."""
        both = rows[(self.block[rows, 0] > 0) & (self.block[rows, 1] > 0)]
        b, k = self.block[both], len(self.gauges)
        share = b[:, 0] / (b[:, 0] + b[:, 1])
        bad = np.flatnonzero(b[:, 2] + b[:, 3])
        self.errors.update(both[bad], self.errors.shares(share[bad]), b[bad, 2], b[bad, 3])
        where: Rows = both
        if 2 * len(both) > len(self.block):  # most runs: cheaper with all of them, the others having no bad ones
            where, some = EVERY, b
            b, share = np.zeros_like(self.block), spread(share, both, len(self.block))
            b[both] = some
        known: dict[int, tuple[Floats, Floats]] = {}
        for i, cells in enumerate(self.tails):
            if id(cells.bets) not in known:
                known[id(cells.bets)] = cells.shares(share)
            cells.update(where, known[id(cells.bets)], b[:, 4 + i], b[:, 4 + k + i], most)

    def value(self) -> Floats:
        share = self.settings.share
        total = self.errors.value() + log(share)
        if share == 1.0:
            return total
        slow = np.zeros(len(total))
        if self.tails:
            several = np.stack([cells.value() for cells in self.tails])
            slow = log_sum(several[1:], several[0]) - log(len(self.tails)) if len(several) > 1 else several[0]
        return log_sum(total[None], slow + log(1.0 - share))

    def answer(self, t: int, live: Ints) -> None:
        value = self.value()
        self.crossed |= value >= log(1.0 / self.settings.alpha)
        self.note_value(live, value)
        back = live[self.crossed[live]]
        self.roll_back(back, t)
        rest = live[~self.crossed[live]]
        c, over = self.counts[rest], t - self.started[rest]
        rest, c, over = rest[over >= DWELL], c[over >= DWELL], over[over >= DWELL]
        if not len(rest):
            return
        blind = (c[:, 0] == 0) | (c[:, 1] == 0)
        holds = blind | self.is_shared(rest) | (value[rest] > log(HOLD_ABOVE)) | (self.closed[rest] == 0)
        holds |= self.too_little(rest)
        # a hold of five dwells waits for a person, who here always approves
        self.advance(rest[~holds | (over >= PATIENCE * DWELL)], t)

    def is_shared(self, rows: Ints) -> Bools:
        recent = self.recent[rows]
        level = (self.before_bad + 1.0) / (self.before_n + 1.0)
        n, bad = recent[:, 0] + recent[:, 1], recent[:, 2] + recent[:, 3]
        return above(recent[:, 3], recent[:, 1], level) | above(bad, n, level)

    def too_little(self, rows: Ints) -> Bools:
        c = self.counts[rows]
        fresh = Cells(self.errors.bets, len(rows))
        some = np.flatnonzero((c[:, 0] > 0) & (c[:, 1] > 0))
        n = c[some, 0]
        fresh.update(some, fresh.shares(n / (n + c[some, 1])), n, np.zeros(len(some)))
        return fresh.value() + log(self.settings.share) < log(1.0 / self.settings.alpha)

    def begin_step(self, rows: Ints) -> None:
        self.close(rows[self.block[rows, :2].sum(axis=1) > 0])
        value = self.value()
        self.crossed[rows] |= value[rows] >= log(1.0 / self.settings.alpha)
        self.restart(rows)
        self.counts[rows], self.closed[rows], self.unit_since[rows] = 0.0, 0.0, np.nan

    def keep(self, rows: Ints) -> None:
        super().keep(rows)
        self.waiting = Arms(*(getattr(self.waiting, name)[rows] for name in PARTS))
        for cells in (self.errors, *self.tails):
            cells.keep(rows)
        for name in ("block", "seen", "recent", "last", "counts", "closed", "crossed", "unit_since", "began"):
            setattr(self, name, getattr(self, name)[rows])

    def note_raw(self, t: int, live: Ints, unit: Floats) -> None:
        """Keep what the first `recorded` runs saw, for the replay."""
        if self.recorded:
            mine = live[self.ids[live] < self.recorded]
            chosen = np.isin(live, mine)
            self.record.append((t, self.ids[mine], np.array(RAMP)[self.step[mine]], unit[chosen].copy(), np.empty(0)))

    def note_value(self, live: Ints, value: Floats) -> None:
        if self.recorded:
            mine = live[self.ids[live] < self.recorded]
            when, ids, weights, unit, _ = self.record[-1]
            self.record[-1] = (when, ids, weights, unit, value[mine].copy())


def spread(values: Floats, rows: Ints, runs: int) -> Floats:
    """Values of some runs among a half for all others."""
    every = np.full(runs, 0.5)
    every[rows] = values
    return every


def capped(new: Floats, n_new: Floats, old: Floats, n_old: Floats, null: float = 1.0) -> Floats:
    """bursts.capped for arrays."""
    allowed = np.where(n_old > 0, null * old * n_new / np.maximum(n_old, 1), 0.0)
    cut: Floats = np.minimum(new, allowed + np.maximum(1.0, new / LARGEST))
    return cut


def above(bad: Floats, n: Floats, level: float) -> Bools:
    """verdict.is_above for arrays."""
    clear: Bools = (bad >= MIN_BAD) & (bad > 3.0 * level * n + 3.0 * np.sqrt(level * n))
    return clear
