"""Which times of a schedule did not run exactly once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.lab.shop.evidence import find_wrong_runs

SIDES = st.lists(st.sampled_from(["legacy", "eks"]), max_size=3)


@given(st.lists(SIDES, min_size=1, max_size=20), st.floats(0, 59), st.floats(0, 59))
def test_every_time_in_the_span_counts_and_no_other(sides: list[list[str]], early: float, late: float) -> None:
    runs = {60.0 * number: who for number, who in enumerate(sides, start=1) if who}
    wrong = find_wrong_runs(runs, 60 - early, 60 * len(sides) + late)
    assert wrong == {60.0 * number: who for number, who in enumerate(sides, start=1) if len(who) != 1}
