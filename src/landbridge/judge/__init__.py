"""The judge: is the new side worse than the old one? Pure, incremental, standard library only, state as JSON.

    state = judge.start(alpha=0.01)
    state = judge.observe(state, reading.counts, weight=5, at=look.at)      # each look
    answer = judge.verdict(state, step_started=t, dwell=60.0, at=look.at)   # advance, hold (reason), roll back
    state = judge.change_weight(state)                                      # after the last look at the old weight
    state = judge.restart_block(state, "new image on the target")           # after our own death: judge.resume

`Counts` are what each stratum's two sides completed since the look before, as `Reading.counts` has them, not totals.
Looks are keyed by their time: one delivered twice, or late, changes nothing. Store `state.to_json()` together with the
provider's cursor. One state per service and ramp attempt: alpha holds for each.

`power` says what a plan's steps can see, `share` whether traffic divides as the weight says, `ratio` how much worse.
"""

from __future__ import annotations

from landbridge.judge import interval as intervals
from landbridge.judge import power, share
from landbridge.judge.blocks import Counts
from landbridge.judge.bursts import Bursts
from landbridge.judge.interval import Interval
from landbridge.judge.observe import change_weight, observe, restart_block, resume
from landbridge.judge.observe import start as begin
from landbridge.judge.shadow import SHADOW
from landbridge.judge.state import JudgeState, Settings
from landbridge.judge.verdict import Decision, Reason, Verdict, said, verdict

__all__ = [
    "SHADOW",
    "Bursts",
    "Counts",
    "Decision",
    "Interval",
    "JudgeState",
    "Reason",
    "Settings",
    "Verdict",
    "change_weight",
    "lower_bound",
    "observe",
    "power",
    "ratio",
    "restart_block",
    "resume",
    "said",
    "share",
    "start",
    "verdict",
]


def start(
    alpha: float = 0.01,
    *,
    bursts: Bursts = Bursts.CAP,
    latency: bool = True,
    slo: float | None = None,
    slo_rolls_back: bool = False,
    must_see: float | None = None,
    pass_below: float | None = None,
    timeout: float = 15.0,
    stale: float = 5.0,
    block_seconds: float = 30.0,
) -> JudgeState:
    """A judge that has seen nothing. What each setting means is said at `Settings`; times are in seconds."""
    return begin(
        Settings(
            alpha=alpha,
            bursts=bursts,
            latency=latency,
            slo=slo,
            slo_rolls_back=slo_rolls_back,
            must_see=must_see,
            pass_below=pass_below,
            timeout=timeout,
            stale=stale,
            block_seconds=block_seconds,
        )
    )


def ratio(state: JudgeState, *, alpha: float = 0.05) -> Interval:
    """How many times as often the new side fails: valid at all looks together, for one constant ratio."""
    return intervals.interval(state.low, state.high, alpha=alpha)


def lower_bound(state: JudgeState, *, alpha: float = 0.05) -> float:
    """The new side fails at least so many times as often, at confidence 1 - alpha; 0 while nothing is known."""
    return intervals.lower_bound(state.low, alpha=alpha)
