"""Copies in the judge: alpha holds though a copy and its original are one request, and a ramp goes on from there."""

from __future__ import annotations

import random
from dataclasses import replace
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge import judge
from landbridge.judge import SHADOW, Counts, Decision, JudgeState, errors, latency
from landbridge.judge.errors import Sample
from landbridge.judge.latency import Tail
from landbridge.judge.shadow import share
from landbridge.model.service import Side
from tests.judge.traffic import look

PART = st.floats(0, 1)


@given(st.integers(1, 500), st.integers(0, 500), PART, PART, PART, st.sampled_from([None, *Tail]))
def test_requests_that_fail_with_their_copies_never_add_evidence_in_the_mean(
    n_new: int, more: int, part_new: float, p_old: float, together: float, tail: Tail | None
) -> None:
    """A block of requests, some with a copy, whatever the two have in common: the mean of LR is at most 1."""
    bets = errors.upward() if tail is None else latency.bets(tail, 1.05)
    worse = p_old * bets.null if bets.null < 1 else p_old
    p_new = worse + (1 - worse) * part_new if bets.null < 1 else part_new * worse
    both = p_new * p_old + together * (min(p_new, p_old) - p_new * p_old)
    chances = {(1, 1): both, (1, 0): p_new - both, (0, 1): p_old - both, (0, 0): 1 - p_new - p_old + both}
    factors = {bad: errors.log_ratios(bets, Sample(n_new, n_new + more, *bad)) for bad in chances}
    for place in range(len(bets.ratios)):
        copied = sum(chance * exp(factors[bad][place]) for bad, chance in chances.items())
        other = 1 - p_old + p_old * exp(factors[0, 1][place])
        assert n_new * log(copied) + more * log(other) <= 1e-6


def seconds(rng: random.Random, percent: int, bad_new: float, bad_old: float, shared: float) -> Counts:
    """100 safe requests; a shared part of them fails on both sides."""
    new = [0, 0]
    old = [100, 0]
    for _ in range(100):
        poison = rng.random() < shared
        old[1] += poison or rng.random() < bad_old
        if rng.random() * 100 < percent:
            new[0] += 1
            new[1] += poison or rng.random() < bad_new
    return look((new[0], new[1]), (old[0], old[1]))


def dwell(state: JudgeState, rng: random.Random, *rates: float, length: int = 30) -> JudgeState:
    state, at = judge.change_weight(state), state.at or 0.0
    for step in range(1, length + 1):
        state = judge.observe(state, seconds(rng, 20, *rates), weight=SHADOW, at=at + step)
    return state


def test_a_healthy_target_is_seldom_sent_home_by_its_copies() -> None:
    rolled = 0
    for seed in range(300):
        shared = (0.0, 0.02, 0.2)[seed % 3]
        state = dwell(judge.start(bursts=judge.Bursts.REQUEST), random.Random(seed), 0.01, 0.01, shared)
        rolled += state.crossed_at is not None
    assert rolled <= 9  # 3 expected at the most; 9 has a chance of 0.4 %


def test_a_worse_copy_ends_the_ramp_before_the_first_user() -> None:
    state = dwell(judge.start(), random.Random(1), 0.3, 0.001, 0.0)
    answer = judge.verdict(state, step_started=0.0, dwell=30.0, at=30.0)
    assert answer.decision is Decision.ROLL_BACK
    assert "copies failed on the target" in answer.detail


def timed(slow_new: int) -> Counts:
    slow = {Side.TARGET: slow_new, Side.SOURCE: 5}
    sides = look((20, 0), (100, 0))["legacy"]
    return {"legacy": {side: replace(count, buckets={"100": slow[side], "1000": 0}) for side, count in sides.items()}}


def test_a_slower_copy_too() -> None:
    state = judge.start()
    for at in range(1, 11):
        state = judge.observe(state, timed(0), weight=0, at=float(at))
    state = judge.change_weight(state)
    for at in range(11, 71):
        state = judge.observe(state, timed(15), weight=SHADOW, at=float(at))
    assert state.crossed_at is not None


def test_the_first_weight_after_copies_is_judged_at_once_and_by_the_same_evidence() -> None:
    state = dwell(judge.start(), random.Random(2), 0.01, 0.01, 0.0)
    assert judge.verdict(state, step_started=0.0, dwell=30.0, at=30.0).decision is Decision.ADVANCE
    before, restarts = state.log_evidence, state.errors.restarts
    state = judge.change_weight(state)
    assert (state.errors.restarts, state.last_weight) == (restarts + 1, SHADOW)
    assert state.log_evidence == pytest.approx(before)
    state = judge.observe(state, look((10, 0), (190, 0)), weight=1, at=31.0)
    state = judge.observe(state, look((10, 0), (190, 0)), weight=1, at=32.0)
    assert state.quiet_until is None
    assert state.step.counts.n_new == 20


def test_a_state_with_copies_survives_a_crash() -> None:
    state = dwell(judge.start(), random.Random(3), 0.01, 0.01, 0.0)
    assert JudgeState.from_json(state.to_json()) == state


def test_the_level_before_the_ramp_is_no_measure_of_safe_requests() -> None:
    """They may fail more often than all requests together, on both sides alike."""
    state = judge.start()
    for at in range(1, 11):
        state = judge.observe(state, look((0, 0), (1000, 1)), weight=0, at=float(at))
    state = judge.change_weight(state)
    for at in range(11, 72):
        state = judge.observe(state, look((20, at % 5 == 0), (100, 1)), weight=SHADOW, at=float(at))
    assert judge.verdict(state, step_started=11.0, dwell=60.0, at=71.0).decision is Decision.ADVANCE


@given(st.integers(1, 100))
def test_the_share_of_copies(percent: int) -> None:
    assert share(percent) * (100 + percent) == pytest.approx(percent)
