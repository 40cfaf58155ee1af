"""Evidence that the new side fails more often: a bet on closed blocks that cannot be won by patience.

**H0.** Given the past and a block's requests (n_new, n_old), outcomes are independent, and the mean failure
probability of the new side's requests is at most `null` times the old side's, in every block. Levels may vary freely
from block to block.

**Filtration.** Blocks close by request count or weight change, never because of an error; weights, holds and stopping
may depend on everything before the block. Then for each ratio r > null

    LR(r) = (r/null)^bad_new * ((1 - w + null w) / (1 - w + r w))^(bad_new + bad_old),   w = n_new / (n_new + n_old)

has E[LR | past, n_new, n_old] <= 1 for failure probabilities up to 1 (rareness affects power, not validity), so every
mixture of products is a supermartingale from 1 and P(it ever reaches 1/alpha) <= alpha (Ville). The share w is the one
observed in the block: the nominal weight is false by a tenth often enough to give 24 % false alarms at 1.5 % errors.
For r < null the same holds of "at least `null` times", which the pass test and the fast side of latency use.

Late onset: part of the mass waits and enters at restarts by a schedule fixed beforehand, so the total never exceeds 1
however many steps, holds or new ramps come; one cell per ratio is enough: A(r) <- (A(r) + q_k mass(r)) LR(r).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, inf, log, log1p

RESTART_MASS = 0.1
"""What is kept back for restarts. The rest bets from the first request."""

SPREAD = 10
"""Restart k spends 1 / (k + SPREAD - 1) of what is left: fair to the first ten steps, never exhausted."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a closed block says of one kind of event: requests and events of each side."""

    n_new: int
    n_old: int
    bad_new: float
    bad_old: float


class Bets:
    """The ratios bet on, their prior mass, and the ratio `null` that is still called healthy."""

    __slots__ = ("excess", "gains", "log_mass", "mass", "null", "ratios")

    def __init__(self, ratios: Sequence[float], mass: Sequence[float], *, null: float = 1.0) -> None:
        if not ratios or len(ratios) != len(mass) or null <= 0 or any(r <= 0 or r == null for r in ratios):
            raise ValueError("each ratio needs a mass, and differs from the null")
        self.null = null
        self.ratios = tuple(ratios)
        self.mass = tuple(m / sum(mass) for m in mass)
        self.log_mass = tuple(log(m) for m in self.mass)
        self.gains = tuple(log(r / null) for r in ratios)
        self.excess = tuple(r - 1.0 for r in ratios)


def log_spaced(low: float, high: float, count: int) -> tuple[float, ...]:
    """`count` ratios from low to high, each the same factor above the one before."""
    return tuple(low * (high / low) ** (i / (count - 1)) for i in range(count))


@lru_cache(maxsize=16)
def upward(null: float = 1.0) -> Bets:
    """The bets of the error test: 39 ratios from 2 to 60 share 97 %, the ratio 300 has 3 % for gross failures."""
    ratios = (*log_spaced(2.0, 60.0, 39), 300.0)
    return Bets([null * r for r in ratios], [0.97 / 39] * 39 + [0.03], null=null)


@lru_cache(maxsize=16)
def downward(null: float) -> Bets:
    """The bets of the pass test: that the new side is truly better than `null` times the old one."""
    return Bets([null * r for r in log_spaced(0.1, 0.85, 12)], [1.0] * 12, null=null)


@dataclass(frozen=True, slots=True)
class Evidence:
    """An e-process in mid-flight: logarithm of each ratio's wealth, mass not spent yet, restarts so far."""

    cells: tuple[float, ...]
    unspent: float
    restarts: int = 0


def start(bets: Bets, *, kept_back: float = RESTART_MASS) -> Evidence:
    """Evidence 1 before the first request."""
    begin = log(1.0 - kept_back)
    return Evidence(cells=tuple(begin + m for m in bets.log_mass), unspent=kept_back)


def log_ratios(bets: Bets, sample: Sample) -> list[float]:
    """Logarithm of LR(r) for each ratio; 0 where a side is absent."""
    if not sample.n_new or not sample.n_old:
        return [0.0] * len(bets.gains)
    share = sample.n_new / (sample.n_new + sample.n_old)
    new, bad = sample.bad_new, sample.bad_new + sample.bad_old
    level = bad * log1p(share * (bets.null - 1.0))
    return [
        new * gain - bad * log1p(share * excess) + level for gain, excess in zip(bets.gains, bets.excess, strict=True)
    ]


def update(bets: Bets, evidence: Evidence, sample: Sample, *, most: float = inf) -> Evidence:
    """The evidence after one closed block, which multiplies no bet by more than exp(most): less is always valid."""
    if not sample.bad_new and not sample.bad_old:
        return evidence
    steps = log_ratios(bets, sample)
    if most < inf:
        steps = [min(step, most) for step in steps]
    cells = tuple([cell + step for cell, step in zip(evidence.cells, steps, strict=True)])
    return Evidence(cells, evidence.unspent, evidence.restarts)


def restart(bets: Bets, evidence: Evidence) -> Evidence:
    """Spend the next part of the mass kept back, for a fault that begins now."""
    restarts = evidence.restarts + 1
    spent = evidence.unspent / (restarts + SPREAD - 1)
    begin = log(spent) if spent > 0 else -inf
    cells = tuple(log_sum((cell, begin + mass)) for cell, mass in zip(evidence.cells, bets.log_mass, strict=True))
    return Evidence(cells, evidence.unspent - spent, restarts)


def log_value(evidence: Evidence) -> float:
    """Logarithm of the evidence, unspent mass included (it has bet on nothing yet, so it is worth itself)."""
    kept = log(evidence.unspent) if evidence.unspent > 0 else -inf
    return log_sum((*evidence.cells, kept))


def log_sum(logs: Sequence[float]) -> float:
    """Logarithm of a sum of exponentials, without overflow."""
    top = max(logs)
    return top + log(sum([exp(x - top) for x in logs])) if top > -inf else -inf
