"""Law 5 by properties: the order of writes, and what is refused. test_twosided_everything.py visits every state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.laws import twosided
from landbridge.laws.law import Law
from landbridge.laws.twosided import Splits, Write
from landbridge.model.service import Side

percents = st.integers(0, 100)


@given(percents, percents, percents)
def test_writes_in_order_reach_the_goal_without_a_loop(now_source: int, now_target: int, goal: int) -> None:
    now = Splits(now_source, now_target)
    if twosided.is_loop(now):
        return
    for write in twosided.writes(goal):
        assert twosided.may_write(now, write) is None
        now = now.write(write)
    assert now == Splits(goal, 100 if goal else 0)


@given(percents, percents)
def test_with_leaves_any_weights_go_and_both_sides_end_equal(start: int, goal: int) -> None:
    now = Splits(start, start)
    for write in twosided.writes(goal, leaf=True, raising=goal > start):
        assert twosided.may_write(now, write, leaf=True) is None
        now = now.write(write)
    assert now == Splits(goal, goal)


@given(st.integers(1, 100), st.integers(0, 99))
def test_a_write_that_closes_the_loop_is_refused(source: int, target: int) -> None:
    refusal = twosided.check(Splits(source, target))
    assert refusal is not None
    assert refusal.law is Law.NO_LOOP
    assert twosided.may_write(Splits(0, target), Write(Side.SOURCE, source)) == refusal
    assert twosided.may_write(Splits(source, 100), Write(Side.TARGET, target)) == refusal


@given(st.integers().filter(lambda p: not 0 <= p <= 100))
def test_no_percent_outside_0_to_100(percent: int) -> None:
    refusal = twosided.check(Splits(percent, 100), leaf=True)
    assert refusal is not None
    assert refusal.law is Law.SERVED


@given(percents)
def test_what_stands_at_a_weight_is_where_its_writes_lead(goal: int) -> None:
    for leaf in (True, False):
        now = twosided.standing(0, leaf=leaf)
        for write in twosided.writes(goal, leaf=leaf):
            now = now.write(write)
        assert now == twosided.standing(goal, leaf=leaf)
        assert twosided.check(now, leaf=leaf) is None


@pytest.mark.parametrize(
    ("chains", "leaf", "must"),
    [
        ((True, True), False, True),
        ((True, False), False, True),
        ((False, False), False, False),
        ((True, True), True, False),
    ],
)
def test_one_gateway_that_obeys_its_split_is_enough_for_a_loop(
    chains: tuple[bool, bool], *, leaf: bool, must: bool
) -> None:
    assert twosided.is_chained(chains, leaf=leaf) is must
