"""Counts add up whatever comes, and percentiles are right within a bucket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.lab.load.tally import COUNTS, Histogram, Outcome, Tally, add_up

seconds = st.floats(1e-4, 60)
outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(["200", "500", "cut"]),
    ok=st.booleans(),
    side=st.sampled_from(["", "legacy", "eks"]),
    broken=st.sampled_from(["", "payments@eks"]),
)


@given(st.lists(seconds, min_size=1), st.sampled_from([50.0, 95.0, 99.0, 100.0]))
def test_percentile_is_within_a_bucket(values: list[float], percent: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    rank = -(-len(values) * percent // 100)
    exact = sorted(values)[int(rank) - 1]
    assert exact * 0.999 <= histogram.get_percentile(percent) <= exact * 1.06


def test_nothing_counted_has_no_percentile() -> None:
    assert Histogram().get_percentile(99) == 0


@given(st.lists(outcomes), st.lists(outcomes))
def test_every_request_is_counted_once(first: list[Outcome], second: list[Outcome]) -> None:
    tallies = []
    for group in (first, second):
        tally = Tally()
        for outcome in group:
            tally.begin(0.0)
            tally.end(outcome, 0.01)
        tallies.append(tally.summarise())
    total = add_up(tallies)
    everything = [*first, *second]
    assert total["requests"] == len(everything) == total["ok"] + total["failed"] + total["failed_by_broken_copy"]
    assert total["ok"] == sum(outcome.ok for outcome in everything)
    assert total["failed"] == sum(not outcome.ok and not outcome.broken for outcome in everything)
    assert sum(total["kinds"].values()) == len(everything)
    assert sum(total["sides"].values()) == sum(bool(outcome.side) for outcome in everything)


@given(st.lists(seconds, min_size=1), st.integers(0, 20))
def test_turns_lose_nothing(values: list[float], turn_at: int) -> None:
    turned, plain = Tally(), Tally()
    for number, value in enumerate(values):
        for tally in (turned, plain):
            tally.begin(0.0)
            tally.end(Outcome(kind="200", ok=True), value)
        if number == turn_at:
            turned.turn()
    assert turned.summarise() == plain.summarise()


@pytest.mark.parametrize(("lateness", "late"), [(0.0, 0), (0.049, 0), (0.2, 1)])
def test_late_requests_are_counted(lateness: float, late: int) -> None:
    tally = Tally()
    tally.begin(lateness)
    assert tally.late == late
    assert tally.in_flight == 1
    assert set(COUNTS) <= set(tally.turn())
