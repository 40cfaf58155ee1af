"""Looks: counted once, at one weight, in whatever way they come; a crash anywhere changes nothing."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from math import isfinite

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landbridge import judge
from landbridge.judge import Counts, JudgeState
from landbridge.model.look import Count
from landbridge.model.service import Side
from tests.judge.traffic import look, ramp, second


def stored(state: JudgeState) -> JudgeState:
    """The state as a process finds it that was killed after the look."""
    return JudgeState.from_json(json.loads(json.dumps(state.to_json())))


buckets = st.dictionaries(st.sampled_from(["50", "100", "500"]), st.integers(0, 3), max_size=3)


@st.composite
def sides(draw: st.DrawFn) -> Count:
    n = draw(st.integers(0, 60))
    return Count(n=n, bad=draw(st.integers(0, min(n, 4))), buckets=draw(buckets))


looks = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(["legacy", "eks"]), st.dictionaries(st.sampled_from(Side), sides())),
        st.sampled_from([0, 1, 5, 50, 5]),
        st.sampled_from(["", "weight", "image"]),
    ),
    max_size=25,
)
ways = st.sampled_from(list(judge.Bursts))


@settings(max_examples=30, deadline=None)
@given(looks, ways, st.booleans())
def test_killed_at_any_look_and_every_look_delivered_twice_is_the_same(
    given_looks: list[tuple[Counts, int, str]], how: judge.Bursts, latency: bool
) -> None:
    smooth = rough = judge.start(bursts=how, latency=latency, pass_below=2.0)
    at = 0.0
    for counts, weight, event in given_looks:
        at += 1.0
        if event == "weight":
            smooth, rough = judge.change_weight(smooth), judge.change_weight(stored(rough))
        if event == "image":
            smooth, rough = judge.restart_block(smooth, "new image"), judge.restart_block(stored(rough), "new image")
        smooth = judge.observe(smooth, counts, weight=weight, at=at)
        rough = judge.observe(stored(rough), counts, weight=weight, at=at)
        rough = judge.observe(stored(rough), counts, weight=weight, at=at)
        rough = judge.observe(rough, counts, weight=weight, at=at - 0.5)
        assert rough == smooth
        for later in (0.0, 3.0, 100.0):
            asked = {"step_started": 0.0, "dwell": 3.0, "at": at + later}
            assert judge.verdict(rough, **asked) == judge.verdict(smooth, **asked)


@st.composite
def any_sides(draw: st.DrawFn) -> Count:
    """From none to all failed, and a histogram that need not agree with the counter."""
    n = draw(st.one_of(st.integers(0, 60), st.integers(0, 10**7)))
    bad = draw(st.one_of(st.sampled_from([0, n]), st.integers(0, n)))
    return Count(n=n, bad=bad, buckets=draw(st.dictionaries(st.sampled_from(["50", "100", "500"]), st.integers(0, n))))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(["legacy", "eks"]), st.dictionaries(st.sampled_from(Side), any_sides())),
            st.sampled_from([0, 1, 5, 50, 99, 100]),
        ),
        max_size=20,
    ),
    ways,
)
def test_no_failures_on_either_side_and_nothing_but_failures_never_break_it(
    given_looks: list[tuple[Counts, int]], how: judge.Bursts
) -> None:
    state = judge.start(bursts=how, pass_below=2.0, slo=0.01, slo_rolls_back=True, must_see=5.0)
    for at, (counts, weight) in enumerate(given_looks, 1):
        state = judge.observe(state, counts, weight=weight, at=float(at))
        assert isfinite(state.log_evidence)
        assert state.evidence > 0.0
        assert state.fault == ""
        assert str(judge.verdict(state, step_started=0.0, dwell=1.0, at=float(at)))
        seen = judge.ratio(state)
        assert 0.0 <= seen.low <= seen.high
        assert judge.lower_bound(state) >= 0.0
        assert stored(state) == state


@pytest.mark.parametrize(("percent", "failed"), [(1, 2), (5, 3), (50, 8)])
def test_a_gross_failure_is_taken_home_in_the_first_block(percent: int, failed: int) -> None:
    """2, 3 and 8 failed requests at 1, 5 and 50 % of a look at 200 requests/s, none on the source: the first look."""
    for bad, decision in ((failed, judge.Decision.ROLL_BACK), (failed - 1, judge.Decision.HOLD)):
        state = judge.start(bursts=judge.Bursts.REQUEST)
        counts = look((2 * percent, min(bad, 2 * percent)), (200 - 2 * percent, 0))
        state = judge.observe(state, counts, weight=percent, at=1.0)
        assert state.step.blocks == 1
        assert judge.verdict(state, step_started=0.0, dwell=60.0, at=1.0).decision is decision


@pytest.mark.parametrize("percent", [1, 5, 50])
def test_a_gross_failure_with_bunches_cut_is_taken_home_within_five_seconds(percent: int) -> None:
    """The price of `cap`: all that fails in one second is one event, and one event decides nothing."""
    state, at = judge.start(bursts=judge.Bursts.CAP), 0.0
    while state.crossed_at is None and at < 10:
        at += 1.0
        counts = look((2 * percent, 2 * percent), (200 - 2 * percent, 0))
        state = judge.observe(state, counts, weight=percent, at=at)
    assert state.crossed_at is not None
    assert 1.0 < state.crossed_at <= 5.0


@pytest.mark.parametrize("how", list(judge.Bursts))
def test_a_whole_ramp_with_a_kill_at_each_look_ends_at_the_same_second(how: judge.Bursts) -> None:
    smooth = list(ramp(judge.start(bursts=how), 0.03, 0.001, seed=4))
    assert smooth[-1][1].decision is judge.Decision.ROLL_BACK
    rng, at, state, answer = random.Random(4), 0.0, judge.start(bursts=how), None
    state = judge.change_weight(state)
    for _, expected, at in smooth:
        percent = percent_at(smooth, at)
        if state.weight is not None and state.weight != percent:
            state = judge.change_weight(stored(state))
        state = judge.observe(stored(state), second(rng, percent, 0.03, 0.001), weight=percent, at=at)
        answer = judge.verdict(state, step_started=0.0, dwell=1e9, at=at)
        assert (answer.decision is judge.Decision.ROLL_BACK) is (expected.decision is judge.Decision.ROLL_BACK)
    assert state == smooth[-1][0]


def percent_at(run: list[tuple[JudgeState, judge.Verdict, float]], at: float) -> int:
    weight = next(state.weight for state, _, when in run if when == at)
    assert weight is not None
    return weight


def test_blocks_close_by_requests_never_by_errors() -> None:
    state = judge.observe(judge.start(), look((10, 10), (30, 0)), weight=25, at=1.0)
    assert state.step.blocks == 0
    assert state.evidence == pytest.approx(1.0)
    state = judge.observe(state, look((3, 0), (7, 0)), weight=25, at=2.0)
    assert state.step.blocks == 1


def test_a_weight_change_closes_the_block_with_what_it_has() -> None:
    state = judge.observe(judge.start(latency=False), look((4, 4), (6, 0)), weight=40, at=1.0)
    state = judge.change_weight(state)
    assert state.peak > 0.0
    assert state.open == {}


def test_a_look_across_a_weight_change_that_was_not_announced_is_not_counted() -> None:
    state = judge.observe(judge.start(), look((2, 0), (198, 0)), weight=1, at=1.0)
    state = judge.observe(state, look((40, 40), (160, 0)), weight=50, at=2.0)
    assert state.total.bad_new == 0
    assert state.weight == 50
    state = judge.observe(state, look((100, 1), (100, 0)), weight=50, at=3.0)
    assert state.total.bad_new == 1


def test_trap_a_after_a_lower_weight_one_timeouts_length_is_not_counted() -> None:
    """Requests that time out were started at the larger share; counted at the smaller one they look like a fault."""
    state = judge.observe(judge.start(timeout=15.0), look((100, 0), (100, 0)), weight=50, at=0.0)
    state = judge.change_weight(state)
    for at in range(1, 16):
        state = judge.observe(state, look((4, 2), (196, 2)), weight=2, at=float(at))
    assert state.crossed_at is None
    assert state.step.counts.n_new == 0
    late = replace(state, at=16.0)
    assert judge.observe(late, look((4, 2), (196, 0)), weight=2, at=17.0).step.counts.n_new == 4
    raised = judge.change_weight(judge.observe(judge.start(), look((2, 0), (198, 0)), weight=1, at=0.0))
    assert judge.observe(raised, look((100, 0), (100, 0)), weight=50, at=1.0).step.counts.n_new == 100


def test_trap_b_more_bad_than_completed_is_no_data_and_not_judged() -> None:
    state = judge.observe(judge.start(), look((2, 5), (198, 0)), weight=1, at=1.0)
    answer = judge.verdict(state, step_started=0.0, dwell=1.0, at=1.0)
    assert answer.reason is judge.Reason.NO_DATA
    assert state.total.n_new == 0


def test_trap_d_a_new_side_that_drags_the_old_one_down_loses_power_not_validity() -> None:
    state = judge.start(latency=False)
    for at in range(200):
        state = judge.observe(state, look((50, 5), (50, 5)), weight=50, at=float(at))
    assert state.peak < 1.0


def test_trap_e_a_crossing_is_for_good() -> None:
    state = judge.start(bursts=judge.Bursts.REQUEST)
    state = judge.observe(state, look((10, 6), (190, 0)), weight=5, at=1.0)
    for at in range(2, 100):
        state = stored(judge.observe(state, look((10, 0), (190, 8)), weight=5, at=float(at)))
    assert state.evidence < 1.0
    assert judge.verdict(state, step_started=0.0, dwell=1.0, at=99.0).decision is judge.Decision.ROLL_BACK


def test_strata_have_blocks_of_their_own() -> None:
    """Two callers with different error levels and shares: pooled they would look like a worse new side."""
    pooled = apart = judge.start(bursts=judge.Bursts.REQUEST, latency=False)
    for at in range(60):
        mixed = {**look((80, 8), (20, 2), "noisy"), **look((5, 0), (95, 0), "quiet")}
        apart = judge.observe(apart, mixed, weight=50, at=float(at))
        pooled = judge.observe(pooled, look((85, 8), (115, 2)), weight=50, at=float(at))
    assert pooled.crossed_at is not None
    assert apart.crossed_at is None


@given(st.integers(0, 100), st.integers(0, 100))
def test_sides_without_requests_and_empty_looks_change_no_evidence(n_new: int, bad: int) -> None:
    state = judge.start(latency=False)
    state = judge.observe(state, look((n_new, min(bad, n_new)), (0, 0)), weight=100, at=1.0)
    state = judge.observe(state, {}, weight=100, at=2.0)
    state = judge.change_weight(state)
    assert state.evidence == pytest.approx(1.0)
