"""Does the observed share agree with the weight that was set? A sequential test, for law 2.

Two bets say that the share is off (above or below a tolerance around the weight), two say that it is not off by half
or more. Once it was found to be off, the test begins anew: ten streams that end just after a change, and are counted
then, must not outweigh everything that comes after them; but from there on only proof that it is right will do.
The unit is what the router divides: requests, connections or answers of a name server; where one unit carries several
requests, counts are divided by how many it carries at most, fixed beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import log, log1p
from typing import Any

from landbridge.judge.errors import log_sum
from landbridge.model.service import Granularity


class Agreement(StrEnum):
    """What is known of the share."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    UNDECIDED = "undecided"


TOLERANCE = {Granularity.REQUEST: 0.15, Granularity.CONNECTION: 0.3, Granularity.DNS: 0.5}
"""How far, relative to the smaller side's share, a working split of each kind may be off."""

FACTORS = (0.02, 0.25, 0.5, 0.75)
"""Alternatives bet on, as parts of the way from the tolerance's edge to nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareState:
    """The test of one step: requests of both sides since the weight was set, divided into units; plain numbers."""

    weight: int
    previous: int
    granularity: Granularity = Granularity.REQUEST
    per_unit: float = 1.0
    settle: float = 0.0
    """Seconds after the change that are not counted: the time a router needs, a record's TTL."""
    alpha: float = 0.01
    since: float | None = None
    at: float | None = None
    n: float = 0.0
    new: float = 0.0
    off_n: float = 0.0
    off_new: float = 0.0
    """What `n` and `new` were when the share was last found to be off, 0 before: evidence is what came since."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ShareState:
        """The state that `to_json` wrote."""
        return cls(**data | {"granularity": Granularity(data["granularity"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The state of the question, the share seen, and where they disagree the likely cause."""

    agreement: Agreement
    observed: float | None
    cause: str = ""


def observe(state: ShareState, *, new: int, old: int, at: float) -> ShareState:
    """The test after one more look: requests of the new and the old side since the look before.

    A look delivered twice changes nothing; the first look only starts the clock of `settle`.
    """
    if state.at is not None and at <= state.at:
        return state
    if state.since is None:
        return replace(state, since=at, at=at)
    if at - state.since <= state.settle:
        return replace(state, at=at)
    state = replace(state, at=at, n=state.n + (new + old) / state.per_unit, new=state.new + new / state.per_unit)
    if off(_since(state)) >= log(1.0 / state.alpha):
        return replace(state, off_n=state.n, off_new=state.new)
    return state


def agrees(state: ShareState) -> Answer:
    """Whether the share seen agrees with the weight."""
    seen = state.new / state.n if state.n else None
    if confirmed(_since(state)) >= log(1.0 / state.alpha):
        return Answer(agreement=Agreement.AGREES, observed=seen)
    if state.off_n:
        return Answer(agreement=Agreement.DISAGREES, observed=seen, cause=cause(state))
    return Answer(agreement=Agreement.UNDECIDED, observed=seen)


def _since(state: ShareState) -> ShareState:
    """What was seen since the share was last found to be off."""
    return replace(state, n=state.n - state.off_n, new=state.new - state.off_new)


def edges(state: ShareState) -> tuple[float, float]:
    """The shares between which a working split lies."""
    share = state.weight / 100
    slack = TOLERANCE[state.granularity] * min(share, 1.0 - share)
    return max(share - slack, 0.0), min(share + slack, 1.0)


def off(state: ShareState) -> float:
    """Logarithm of the evidence that the share lies outside the tolerance."""
    low, high = edges(state)
    if low >= high:  # 0 or 100 percent: one request on the wrong side proves it, so allow a stray few
        low, high = (0.0, 0.005) if state.weight == 0 else (0.995, 1.0)
    below = [bet(state, low, low * f) for f in FACTORS] if low > 0.0 else []
    above = [bet(state, high, 1.0 - (1.0 - high) * f) for f in FACTORS] if high < 1.0 else []
    above += [bet(state, high, min(high * f, 0.999)) for f in (1.5, 3.0)] if high < 0.6 else []
    parts = below + above
    return log_sum(parts) - log(len(parts))


def confirmed(state: ShareState) -> float:
    """Logarithm of the smaller evidence of the two that the share is neither half the weight's nor twice (in odds)."""
    share = state.weight / 100
    if share in (0.0, 1.0):
        share, wrong = (0.001, 0.02) if share == 0.0 else (0.999, 0.98)
        return bet(state, wrong, share)
    odds = share / (1.0 - share)
    half, twice = odds / 2 / (1 + odds / 2), odds * 2 / (1 + odds * 2)
    return min(bet(state, half, share), bet(state, twice, share))


def bet(state: ShareState, null: float, alternative: float) -> float:
    """Log-likelihood ratio of two shares; a supermartingale on all shares beyond the null's far side."""
    old = state.n - state.new
    if alternative <= 0.0:
        return old * (log1p(-alternative) - log1p(-null)) if not state.new else -700.0
    if alternative >= 1.0:
        return state.new * (log(alternative) - log(null)) if not old else -700.0
    return state.new * (log(alternative) - log(null)) + old * (log1p(-alternative) - log1p(-null))


def cause(state: ShareState) -> str:
    """The likely cause of a disagreement, most telling first."""
    seen, weight, before = state.new / state.n, state.weight / 100, state.previous / 100
    if abs(seen - before) < 0.2 * abs(weight - before):
        return "the weight was not taken: the data plane still divides as before"
    between = min(before, weight) < seen < max(before, weight)
    if between and state.granularity is Granularity.DNS:
        return "resolver caches still give the old answer"
    if between and state.granularity is Granularity.CONNECTION:
        return "long connections stay where they were opened"
    if seen < weight:
        return "some callers bypass the split and still reach the source directly"
    return "some callers reach the target without the split, or somebody else changed the weight"
