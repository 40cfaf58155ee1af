"""The simulator against the product: sampled runs are given to `landbridge.judge` look by look and must be equal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.judge.ours import Ours
from benchmarks.judge.simulate import Maker, follow
from benchmarks.judge.traffic import BOUNDS, DWELL, Floats, Scenario
from landbridge import judge
from landbridge.judge.latency import Tail
from landbridge.judge.observe import start
from landbridge.model.look import Count
from landbridge.model.service import Side

import numpy as np  # isort: skip

TOLERANCE = 1e-9


@dataclass
class Replay:
    """The real judge of one run, and where it is in the ramp."""

    state: judge.JudgeState
    weight: int | None = None
    started: float = 0.0


def check(scenario: Scenario, maker: Maker, runs: int, seed: int) -> tuple[int, list[str]]:
    """How many looks were compared, and every difference found (none, if all is well)."""
    rule = maker(scenario, runs, seed)
    assert isinstance(rule, Ours)
    rule.recorded = runs
    outcome = follow(scenario, [rule], runs, np.random.default_rng(seed))[rule.name]
    replays = [Replay(before(rule)) for _ in range(runs)]
    looks, found = 0, list[str]()
    for t, ids, weights, seen, values in rule.record:
        for i, weight, counts, value in zip(ids, weights, seen, values, strict=True):
            looks += 1
            found += compare(rule, replays[i], t, int(weight), counts, value, outcome.back[i], int(i))
    found += [f"run {i}: rolled back at {back}, the judge did not" for i, back in missed(replays, outcome.back)]
    return looks, found


def compare(
    rule: Ours, run: Replay, t: int, weight: int, seen: Floats, value: float, back: float, i: int
) -> Iterator[str]:
    """One look given to the judge: evidence, verdict and the weight it leads to."""
    if run.weight is not None and run.weight != weight:
        answer = judge.verdict(run.state, step_started=run.started, dwell=DWELL, at=float(t - rule.look))
        yield f"run {i} at {t}: raised to {weight} %, the judge says {answer} after {t - run.started} s"
    if run.weight is None:
        run.state, run.weight = judge.change_weight(run.state), weight
    run.state = judge.observe(run.state, {"legacy": sides(rule, seen)}, weight=weight, at=float(t))
    if abs(run.state.log_evidence - value) > TOLERANCE * max(1.0, abs(value)):
        yield f"run {i} at {t}: evidence {run.state.log_evidence}, the simulator has {value}"
    answer = judge.verdict(run.state, step_started=run.started, dwell=DWELL, at=float(t))
    if (answer.decision is judge.Decision.ROLL_BACK) is not bool(back == t):
        yield f"run {i} at {t}: {answer}, the simulator rolls back at {back}"
    if answer.decision is judge.Decision.ADVANCE or answer.person:
        run.weight, run.started = None, float(t)


def sides(rule: Ours, seen: Floats) -> dict[Side, Count]:
    """Counts of a look as the provider would give them."""
    k, n = len(rule.gauges), (int(seen[0]), int(seen[1]))
    tails = (seen[4 : 4 + k], seen[4 + k :])
    slow = [
        {g.bound: int(total - x if g.tail is Tail.FAST else x) for g, x in zip(rule.gauges, part, strict=True)}
        for total, part in zip(n, tails, strict=True)
    ]
    return {
        Side.TARGET: Count(n=n[0], bad=int(seen[2]), buckets=slow[0]),
        Side.SOURCE: Count(n=n[1], bad=int(seen[3]), buckets=slow[1]),
    }


def before(rule: Ours) -> judge.JudgeState:
    """A judge that has watched the old side alone, as the simulator's has."""
    quiet = Count(n=rule.before_n, bad=rule.before_bad, buckets=rule.before_slower)
    assert len(rule.before_slower) == len(BOUNDS)
    return judge.observe(start(rule.settings), {"legacy": {Side.SOURCE: quiet}}, weight=0, at=0.0)


def missed(replays: list[Replay], back: Floats) -> list[tuple[int, float]]:
    """Runs rolled back by the simulator and not by the judge."""
    return [(i, float(at)) for i, at in enumerate(back) if np.isfinite(at) and replays[i].state.crossed_at is None]
