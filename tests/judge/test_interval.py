"""The ratio's interval covers the truth at all looks together, and says so when no one ratio fits."""

from __future__ import annotations

import random
from math import inf

import pytest

from landbridge import judge
from tests.judge.traffic import look, second


def follow(ratio: float, seed: int, *, base: float = 0.004, seconds: int = 150) -> tuple[bool, judge.JudgeState]:
    """Whether the truth was inside at every look, and the last state."""
    rng, state, inside = random.Random(seed), judge.start(bursts=judge.Bursts.REQUEST, latency=False), True
    for at in range(seconds):
        state = judge.observe(state, second(rng, 30, ratio * base, base), weight=30, at=float(at))
        seen = judge.ratio(state)
        inside = inside and not seen.changed and seen.low <= ratio <= seen.high
        inside = inside and judge.lower_bound(state) <= ratio
    return inside, state


@pytest.mark.parametrize("ratio", [0.5, 1.0, 4.0])
def test_it_covers_the_truth_at_all_looks(ratio: float) -> None:
    assert sum(follow(ratio, seed)[0] for seed in range(20)) >= 18


def test_it_narrows_to_the_truth() -> None:
    seen = judge.ratio(follow(4.0, 1, seconds=400)[1])
    assert seen.estimate == pytest.approx(4.0, rel=0.4)
    assert 2.0 < seen.low < seen.high < 8.0


def test_nothing_is_known_before_the_first_error() -> None:
    state = judge.observe(judge.start(), look((100, 0), (100, 0)), weight=50, at=1.0)
    assert judge.ratio(state) == judge.Interval(low=0.0, high=inf, estimate=None, changed=False)
    assert judge.lower_bound(state) == 0.0


def test_a_ratio_that_changed_is_said_to_have_changed() -> None:
    state = judge.start(bursts=judge.Bursts.REQUEST, latency=False)
    for at in range(300):
        counts = look((100, 3), (100, 0)) if at < 100 else look((100, 0), (100, 3))
        state = judge.observe(state, counts, weight=50, at=float(at))
    assert judge.ratio(state).changed
