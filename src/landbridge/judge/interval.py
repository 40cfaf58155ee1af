"""How much more often the new side fails: a lower bound and a confidence sequence, computed when somebody looks.

The log-likelihood of the ratio is kept on a grid; the evidence against any ratio r0 of the grid is the mixture of all
others relative to it. Two curves are kept, because with capped bursts the lower end may only count the new side's
bunches once and the upper end the old side's. It assumes one constant ratio: when none fits any more, `changed` is
true.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log, log1p

from landbridge.judge.errors import Sample, log_spaced, log_sum

GRID = log_spaced(0.02, 400.0, 41)
"""Ratios from a fiftieth to 400, 28 % apart: finer than any ramp can tell."""

LOGS = tuple(log(r) for r in GRID)
EXCESS = tuple(r - 1.0 for r in GRID)
FLAT = (0.0,) * len(GRID)
PRIOR = log(1.0 / len(GRID))


@dataclass(frozen=True, slots=True)
class Curve:
    """Log-likelihood of each ratio of the grid, and the highest evidence ever seen against each (logarithm)."""

    likelihood: tuple[float, ...] = FLAT
    against: tuple[float, ...] = FLAT


NO_CURVE = Curve()


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The ratio new/old: bounds at the asked confidence, the best single value, whether no one ratio fits any more."""

    low: float
    high: float
    estimate: float | None
    changed: bool


def update(curve: Curve, sample: Sample) -> Curve:
    """The curve after one closed block."""
    bad = sample.bad_new + sample.bad_old
    if not bad or not sample.n_new or not sample.n_old:
        return curve
    share, new = sample.n_new / (sample.n_new + sample.n_old), sample.bad_new
    rows = zip(curve.likelihood, LOGS, EXCESS, strict=True)
    likelihood = tuple([at + new * gain - bad * log1p(share * excess) for at, gain, excess in rows])
    mixture = log_sum(likelihood) + PRIOR
    against = tuple([max(a, mixture - at) for a, at in zip(curve.against, likelihood, strict=True)])
    return Curve(likelihood, against)


def interval(low: Curve, high: Curve, *, alpha: float = 0.05) -> Interval:
    """The ratios that the evidence has not ruled out at confidence 1 - alpha, at all looks together."""
    bar = log(1.0 / alpha)
    left = [i for i, a in enumerate(low.against) if a < bar]
    right = [i for i, a in enumerate(high.against) if a < bar]
    peak = max(high.likelihood)
    flat = peak == min(high.likelihood)
    best = GRID[high.likelihood.index(peak)]
    if not left or not right or left[0] > right[-1]:
        return Interval(low=0.0, high=inf, estimate=best, changed=True)
    # one grid point outwards, so that the grid's coarseness never narrows the interval
    lowest = GRID[left[0] - 1] if left[0] else 0.0
    highest = GRID[right[-1] + 1] if right[-1] + 1 < len(GRID) else inf
    return Interval(low=lowest, high=highest, estimate=None if flat else best, changed=False)


def lower_bound(curve: Curve, *, alpha: float = 0.05) -> float:
    """The largest ratio that a one-sided bet rules out as an upper limit; 0 while it rules out none."""
    bar = log(1.0 / alpha)
    found = 0.0
    for i, null in enumerate(GRID[:-1]):
        above = curve.likelihood[i + 1 :]
        if log_sum(above) - log(len(above)) - curve.likelihood[i] < bar:
            break
        found = null
    return found


def weigh(curve: Curve) -> tuple[float, ...]:
    """Relative likelihood of each ratio of GRID, 1 at the best: what a chart draws."""
    peak = max(curve.likelihood)
    return tuple(exp(at - peak) for at in curve.likelihood)
