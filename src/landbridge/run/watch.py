"""A watch: what is known of one service at one weight, and what that means (pure)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from landbridge import judge
from landbridge.judge import Bursts, share
from landbridge.judge.share import Agreement, ShareState
from landbridge.model.look import Count, NoData, Reading
from landbridge.model.plan import ActKind, Bounds, Plan
from landbridge.model.service import ServiceId, Side, Weight
from landbridge.run.agenda import acts_of
from landbridge.run.decide import Ending, Result
from landbridge.run.switches import TwoSided
from landbridge.run.turns import Job

QUIET = frozenset({judge.Reason.NO_DATA, judge.Reason.NO_CONTROL, judge.Reason.BLOCK_OPEN, judge.Reason.TOO_LITTLE})
"""What a shadow that has dwelt may end with."""

EXPECTED = 20
"""Copies that should have been answered before none at all means that something is wrong."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """One service at one weight: while it dwells there, and then, `standing`, until something else is done to it."""

    job: Job
    switches: TwoSided
    weight: int
    dwell: float
    live: dict[Side, Weight]
    """The switches as we wrote them: lets a cut be one request."""
    started: float
    judge: judge.JudgeState
    share: ShareState
    bounds: Bounds
    ended: asyncio.Future[Result]
    first: bool = False
    """No weight of this ramp was passed yet: a step must show by itself that a total failure would be seen."""
    reading: Reading | NoData | None = None
    fresh: bool = True
    """Looks that span the change of weight are the baseline and are not judged."""
    standing: bool = False
    copies: int = 0
    """Percent of the safe requests that is copied to the target, which has no others: what is judged is the copies."""

    @property
    def service(self) -> ServiceId:
        """Whose watch it is."""
        return self.job.service


@dataclass(frozen=True, slots=True)
class Opinion:
    """What one look led to: an ending, or none yet; the words go into the journal and to `explain`."""

    ending: Ending | None
    verdict: str
    reason: str


def is_quiet(watch: Watch, said: judge.Verdict) -> bool:
    """Copies of a service that is asked little by GET decide nothing: its first weight does.

    None answered where some should have been is another thing, and holds.
    """
    if not watch.copies or said.reason not in QUIET or watch.judge.fault or not isinstance(watch.reading, Reading):
        return False
    counts = watch.judge.step.counts
    return bool(counts.n_new) or counts.n_old * watch.copies < 100 * EXPECTED


def begin_judge(plan: Plan, service: ServiceId) -> judge.JudgeState:
    """A judge by the plan's rules; a block never lasts longer than the shortest dwell, or no step could end in time."""
    watched = [act for act in acts_of(plan, service) if act.kind in {ActKind.SHADOW, ActKind.WEIGHT}]
    dwells = [float(act.args.get("dwell", 60.0)) for act in watched]
    bounds = plan.bounds
    return judge.start(
        alpha=bounds.alpha,
        bursts=Bursts(bounds.bursts),
        slo=bounds.slo,
        slo_rolls_back=bounds.slo_rolls_back,
        must_see=bounds.must_see,
        pass_below=bounds.pass_below,
        block_seconds=min([30.0, *dwells]),
    )


def not_obeyed(watch: Watch) -> str:
    """Law 2: every waypoint obeys the weight, and the share that is seen agrees with it."""
    if why := late(watch):
        return why
    answer = share.agrees(watch.share)
    if answer.agreement is Agreement.DISAGREES and answer.observed is not None:
        return f"hold, the share seen is {answer.observed:.1%} at weight {watch.weight} %: {answer.cause}"
    return ""


def late(watch: Watch) -> str:
    """A waypoint that does not obey the weight yet, or has nobody to send the target's share to."""
    if isinstance(watch.reading, Reading):
        for pod, percent in sorted(watch.reading.weights.items()):
            if percent != watch.weight:
                return f"hold, waypoint {pod} obeys {percent} %, not {watch.weight} %"
        if watch.weight and watch.reading.unseen:
            return f"hold, waypoint {watch.reading.unseen[0]} sees nobody who answers on the target"
    return ""


def numbers(watch: Watch) -> str:
    """What an advance rests on, for the journal and the report."""
    return f"{judge.said(watch.judge)}; evidence {watch.judge.evidence:.2f}"


def totals(reading: Reading, divided: str) -> tuple[int, int]:
    """Requests to both sides, of callers in the one cluster whose callers a weight divides, or of all."""
    counted = [sides for at, sides in reading.counts.items() if not divided or at.partition("/")[0] == divided]
    new = sum(sides.get(Side.TARGET, Count()).n for sides in counted)
    old = sum(sides.get(Side.SOURCE, Count()).n for sides in counted)
    return new, old
