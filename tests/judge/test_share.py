"""Does the share agree with the weight: right answers, rarely wrong ones, likely causes."""

from __future__ import annotations

import random

import pytest

from landbridge.judge import share
from landbridge.judge.share import Agreement, Answer, ShareState
from landbridge.model.service import Granularity


def watch(
    state: ShareState, true: float, *, seed: int = 1, seconds: int = 120, rate: int = 200, lump: int = 1
) -> Answer:
    """The answer after so many seconds at a true share; `lump` requests go the same way together."""
    rng = random.Random(seed)
    for at in range(seconds):
        new = lump * sum(rng.random() < true for _ in range(rate // lump))
        state = share.observe(state, new=new, old=rate // lump * lump - new, at=float(at))
    assert ShareState.from_json(state.to_json()) == state
    return share.agrees(state)


@pytest.mark.parametrize("weight", [0, 1, 5, 50, 95, 99, 100])
def test_a_working_split_agrees(weight: int) -> None:
    answers = [watch(ShareState(weight=weight, previous=0), weight / 100, seed=s).agreement for s in range(10)]
    assert answers == [Agreement.AGREES] * 10


@pytest.mark.parametrize(
    ("weight", "previous", "true"), [(5, 1, 0.01), (5, 0, 0.0), (50, 25, 0.25), (0, 50, 0.5), (100, 99, 0.9)]
)
def test_a_weight_that_was_not_taken_is_found(weight: int, previous: int, true: float) -> None:
    answer = watch(ShareState(weight=weight, previous=previous), true)
    assert answer.agreement is Agreement.DISAGREES
    assert answer.observed == pytest.approx(true, abs=0.01)
    if weight != 100:
        assert "not taken" in answer.cause


@pytest.mark.parametrize(
    ("granularity", "true", "words"),
    [
        (Granularity.CONNECTION, 0.25, "long connections"),
        (Granularity.DNS, 0.2, "resolver caches"),
        (Granularity.REQUEST, 0.3, "bypass"),
        (Granularity.REQUEST, 0.8, "without the split"),
    ],
)
def test_the_likely_cause(granularity: Granularity, true: float, words: str) -> None:
    answer = watch(ShareState(weight=50, previous=10, granularity=granularity), true)
    assert answer.agreement is Agreement.DISAGREES
    assert words in answer.cause


def test_connections_that_carry_twenty_requests_count_as_connections() -> None:
    """Counted as requests, twenty that go together disagree with a split that works."""
    singly = [watch(ShareState(weight=20, previous=10), 0.2, seed=s, lump=20, seconds=30).agreement for s in range(60)]
    whole = [
        watch(
            ShareState(weight=20, previous=10, granularity=Granularity.CONNECTION, per_unit=20.0),
            0.2,
            seed=s,
            lump=20,
            seconds=30,
        ).agreement
        for s in range(60)
    ]
    assert singly.count(Agreement.DISAGREES) > whole.count(Agreement.DISAGREES)
    assert whole.count(Agreement.DISAGREES) == 0


def test_a_few_that_began_before_the_change_are_outweighed_in_the_end() -> None:
    """At 1.5 requests a second five of ten ended streams kept a service at 95 % seen, and held, for good."""
    state = ShareState(weight=100, previous=95)
    state = share.observe(state, new=0, old=0, at=0.0)
    state = share.observe(state, new=4, old=5, at=1.0)
    assert share.agrees(state).agreement is Agreement.DISAGREES
    for at in range(2, 62):  # not as soon as it is undecided: nothing is known yet
        state = share.observe(state, new=3, old=0, at=float(at))
        assert share.agrees(state).agreement is Agreement.DISAGREES
    for at in range(62, 122):
        state = share.observe(state, new=3, old=0, at=float(at))
    assert share.agrees(state).agreement is Agreement.AGREES
    state = share.observe(state, new=0, old=9, at=122.0)
    assert share.agrees(state).agreement is Agreement.DISAGREES


def test_little_traffic_is_undecided_and_the_settling_time_is_not_counted() -> None:
    assert watch(ShareState(weight=5, previous=1), 0.05, seconds=3, rate=20).agreement is Agreement.UNDECIDED
    state = ShareState(weight=50, previous=0, settle=30.0)
    for at in range(29):
        state = share.observe(state, new=0, old=200, at=float(at))
    assert share.agrees(state) == Answer(agreement=Agreement.UNDECIDED, observed=None)


def test_a_look_delivered_twice_or_late_changes_nothing() -> None:
    state = share.observe(ShareState(weight=5, previous=0), new=0, old=0, at=1.0)
    state = share.observe(state, new=10, old=190, at=2.0)
    assert share.observe(state, new=10, old=190, at=2.0) == state
    assert share.observe(state, new=10, old=190, at=1.5) == state


@pytest.mark.parametrize("weight", [1, 10, 50, 99])
def test_false_disagreements_stay_below_alpha(weight: int) -> None:
    wrong = 0
    for seed in range(200):
        answer = watch(ShareState(weight=weight, previous=0), weight / 100, seed=seed, seconds=40, rate=50)
        wrong += answer.agreement is Agreement.DISAGREES
    assert wrong <= 4
