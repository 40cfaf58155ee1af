"""Traffic for the judge's tests: looks of a simulated service, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator

from landbridge import judge
from landbridge.judge import Counts, JudgeState, Verdict
from landbridge.model.look import Count
from landbridge.model.service import Side

RAMP = (1, 5, 10, 15, 25, 35, 50, 65, 80, 99)


def look(new: tuple[int, int], old: tuple[int, int], stratum: str = "legacy") -> Counts:
    """One stratum's counts: (requests, bad) of the new and the old side."""
    return {stratum: {Side.TARGET: Count(n=new[0], bad=new[1]), Side.SOURCE: Count(n=old[0], bad=old[1])}}


def second(rng: random.Random, percent: int, bad_new: float, bad_old: float, rate: int = 200) -> Counts:
    """One second of independent requests."""
    n_new = sum(rng.random() * 100 < percent for _ in range(rate))
    failed = [sum(rng.random() < p for _ in range(n)) for p, n in ((bad_new, n_new), (bad_old, rate - n_new))]
    return look((n_new, failed[0]), (rate - n_new, failed[1]))


def ramp(
    state: JudgeState, bad_new: float, bad_old: float, *, seed: int = 1, rate: int = 200, dwell: float = 60.0
) -> Iterator[tuple[JudgeState, Verdict, float]]:
    """The judge and its verdict after each second of a ramp, until it rolls back or ends; persons always approve."""
    rng, at = random.Random(seed), 0.0
    for percent in RAMP:
        state, started = judge.change_weight(state), at
        while True:
            at += 1.0
            state = judge.observe(state, second(rng, percent, bad_new, bad_old, rate), weight=percent, at=at)
            answer = judge.verdict(state, step_started=started, dwell=dwell, at=at)
            yield state, answer, at
            if answer.decision is judge.Decision.ROLL_BACK:
                return
            if answer.decision is judge.Decision.ADVANCE or answer.person:
                break
