"""From evidence to a decision: advance, hold for a reason, or roll back. Silence is neither pass nor failure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import log, sqrt

from landbridge.judge import blocks, errors, power
from landbridge.judge.errors import Sample
from landbridge.judge.observe import bets_for
from landbridge.judge.shadow import SHADOW
from landbridge.judge.state import JudgeState

HOLD_ABOVE = 2.0
"""Evidence above which a step is not left before five dwells: it cuts what a fault costs at the next, larger share.
One unlucky failure at a small share is enough for it and is never forgotten, so it cannot hold for good."""

PATIENCE = 5
"""Dwells after which a hold waits for a person."""

MIN_BAD = 5
"""Bad requests before a rate is compared with a level at all."""

SURE = 200
"""Requests before the ramp from which its level counts as known."""


class Decision(StrEnum):
    """What the runner does next."""

    ADVANCE = "advance"
    HOLD = "hold"
    ROLL_BACK = "roll back"


class Reason(StrEnum):
    """Why not advance."""

    WORSE = "the new side is worse"
    EVIDENCE = "evidence growing"
    NO_DATA = "no data"
    STALE = "stale"
    NO_CONTROL = "no control arm"
    OWN_RESTART = "own restart"
    BLOCK_OPEN = "block not closed"
    SHARED_FAULT = "shared fault"
    SLO = "SLO"
    LEVEL = "errors above the level before the ramp"
    TOO_LITTLE = "too little traffic to decide"
    NOT_PASSED = "no evidence yet that the new side is good enough"
    DWELL = "dwell not over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One decision and what it rests on; `person`: it has held for five dwells, a person has to decide (exit 6)."""

    decision: Decision
    reason: Reason | None = None
    detail: str = ""
    evidence: float = 1.0
    person: bool = False

    def __str__(self) -> str:
        return ", ".join(part for part in (self.decision.value, self.reason and self.reason.value, self.detail) if part)


@dataclass(frozen=True, slots=True)
class Why:
    """A reason and its numbers."""

    reason: Reason
    detail: str = ""


def verdict(state: JudgeState, *, step_started: float, dwell: float, at: float) -> Verdict:
    """The decision at time `at`, in a step that began at `step_started` and lasts `dwell` seconds at least.

    Evidence that ever crossed 1/alpha rolls back for good. All holds are free: they never cost false roll-backs.
    """
    evidence = state.evidence
    if state.crossed_at is not None:
        return Verdict(decision=Decision.ROLL_BACK, reason=Reason.WORSE, detail=said(state), evidence=evidence)
    if breaks_slo_alone(state):
        detail = "policy outside the promise of alpha: the new side alone is above the SLO"
        return Verdict(decision=Decision.ROLL_BACK, reason=Reason.SLO, detail=detail, evidence=evidence)
    why = blind(state, at) or shared(state) or undecided(state, step_started, dwell, at)
    if why is None:
        return Verdict(decision=Decision.ADVANCE, evidence=evidence)
    late = at - step_started >= PATIENCE * dwell and why.reason is not Reason.DWELL
    return Verdict(decision=Decision.HOLD, reason=why.reason, detail=why.detail, evidence=evidence, person=late)


def blind(state: JudgeState, at: float) -> Why | None:
    """Nothing to judge by: no data, data too old, a side without traffic."""
    counts = state.step.counts
    if state.fault:
        return Why(Reason.NO_DATA, state.fault)
    if state.at is None:
        return Why(Reason.NO_DATA, "no look yet")
    if at - state.at > state.settings.stale:
        return Why(Reason.STALE, f"last look {at - state.at:.1f} s ago")
    if state.restarted:
        return Why(Reason.OWN_RESTART, state.restarted)
    if state.weight is not None and state.weight >= 100:
        return Why(Reason.NO_CONTROL, "at 100 % there is nothing to compare with")
    if not counts.n_new and not counts.n_old:
        return Why(Reason.NO_DATA, "no request in this step")
    if not counts.n_new:
        return Why(Reason.NO_DATA, "no request reached the target in this step")
    if not counts.n_old:
        return Why(Reason.NO_CONTROL, "no request reached the source in this step")
    return None


def shared(state: JudgeState) -> Why | None:
    """Holds that are free of alpha: too many errors in all, whoever makes them."""
    recent, slo = state.recent, state.settings.slo
    n, bad = recent.n_new + recent.n_old, recent.bad_new + recent.bad_old
    if slo is not None and bad >= MIN_BAD and bad > slo * n:
        return Why(Reason.SLO, f"{bad / n:.2%} of recent requests bad, the SLO allows {slo:.2%}")
    if state.before.n < SURE or state.weight == SHADOW:  # the level before the ramp is that of all requests
        return None
    level = (state.before.bad + 1.0) / (state.before.n + 1.0)
    if is_above(recent.bad_old, recent.n_old, level):
        return Why(
            Reason.SHARED_FAULT, f"the source itself fails {recent.bad_old / recent.n_old:.2%}, {level:.2%} before"
        )
    if is_above(bad, n, level):
        return Why(Reason.LEVEL, f"{bad / n:.2%} of recent requests bad, {level:.2%} before the ramp")
    return None


def is_above(bad: float, n: float, level: float) -> bool:
    """Clearly more than three times the level: a hold costs only time, so three standard deviations do."""
    return bad >= MIN_BAD and bad > 3.0 * level * n + 3.0 * sqrt(level * n)


def undecided(state: JudgeState, step_started: float, dwell: float, at: float) -> Why | None:
    """The step has not shown enough yet."""
    if state.evidence > HOLD_ABOVE and at - step_started < PATIENCE * dwell:
        return Why(Reason.EVIDENCE, f"evidence {state.evidence:.1f}, rolls back at {1 / state.settings.alpha:.0f}")
    if at - step_started < dwell:
        return Why(Reason.DWELL, f"{dwell - (at - step_started):.0f} s left")
    if not state.step.blocks:
        return Why(Reason.BLOCK_OPEN, f"a block has {blocks.BLOCK} requests, or {state.settings.block_seconds:g} s")
    return too_little(state) or not_passed(state)


def too_little(state: JudgeState) -> Why | None:
    """The step must have been long enough to see a total failure, and the ratio asked for."""
    counts, s = state.step.counts, state.settings
    if not sees_total_failure(state):
        return Why(
            Reason.TOO_LITTLE, f"if all {counts.n_new:.0f} requests to the target had failed, that would not decide"
        )
    if s.must_see is None:
        return None
    n = counts.n_new + counts.n_old
    base = state.before.bad / state.before.n if state.before.bad else power.BASE_RATE
    seen = power.detectable_ratio(n, counts.n_new / n, base, s.alpha)
    if seen is None or seen > s.must_see:
        return Why(Reason.TOO_LITTLE, f"sees ratios above {seen:.1f} only" if seen else "sees no ratio at all")
    return None


def sees_total_failure(state: JudgeState) -> bool:
    """Whether this step's requests to the target, had all failed one by one, would have rolled back from scratch."""
    counts, s = state.step.counts, state.settings
    bets = bets_for(s)
    sample = Sample(int(counts.n_new), int(counts.n_old), counts.n_new, 0)
    worth = errors.log_value(errors.update(bets, errors.start(bets), sample))
    return worth + log(s.share) >= log(1.0 / s.alpha)


def not_passed(state: JudgeState) -> Why | None:
    """The pass test of this step, where one is asked for."""
    if state.passing is None or errors.log_value(state.passing) >= log(1.0 / state.settings.alpha):
        return None
    return Why(Reason.NOT_PASSED, f"asked for: less than {state.settings.pass_below:g} times the source's failures")


def breaks_slo_alone(state: JudgeState) -> bool:
    """The separate policy: off unless asked for."""
    recent, s = state.recent, state.settings
    return (
        s.slo_rolls_back and s.slo is not None and recent.bad_new >= MIN_BAD and recent.bad_new > s.slo * recent.n_new
    )


def said(state: JudgeState) -> str:
    """The counts behind a roll-back, as the journal says them."""
    new, old = (state.total.bad_new, state.total.n_new), (state.total.bad_old, state.total.n_old)
    what = "copies" if state.weight == SHADOW else "requests"
    return f"{new[0]:.0f} of {new[1]:.0f} {what} failed on the target, {old[0]:.0f} of {old[1]:.0f} on the source"
