"""What a ramp can know: the figures of the reference, and that more traffic never tells less."""

from __future__ import annotations

from math import inf, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.judge import power

RAMP = [(12_000.0, w / 100) for w in (1, 5, 10, 15, 25, 35, 50, 65, 80, 99)]


@pytest.mark.parametrize(("ratio", "bad"), [(2, 23.3), (3, 10.4), (5, 5.55), (10, 3.2), (20, 2.2), (50, 1.53)])
def test_b_star(ratio: float, bad: float) -> None:
    assert power.b_star(ratio) == pytest.approx(bad, rel=0.02)


def test_the_information_that_is_needed() -> None:
    assert power.need() == pytest.approx(4.503, abs=0.001)


@pytest.mark.parametrize(
    ("new", "bad"), [(0.003, 12.74), (0.005, 6.32), (0.01, 3.53), (0.02, 2.29), (0.05, 1.64), (0.5, 1.03)]
)
def test_the_bound_of_a_ramp(new: float, bad: float) -> None:
    assert power.ramp_bound(RAMP, new, 0.001) == pytest.approx(bad, rel=0.01)


def test_a_ramp_at_2_requests_a_second_holds_too_little_for_2_percent() -> None:
    slow = [(requests / 100, share) for requests, share in RAMP]
    assert power.ramp_bound(slow, 0.02, 0.001) is None
    assert power.ramp_bound(slow, 0.2, 0.001) is not None


@pytest.mark.parametrize(("share", "seconds"), [(0.01, (1762, 566, 165)), (0.1, (203, 67, 21)), (0.5, (86, 31, 10.5))])
def test_the_dwell_for_a_ratio(share: float, seconds: tuple[float, ...]) -> None:
    for ratio, wanted in zip((3, 5, 10), seconds, strict=True):
        assert power.dwell(200, share, ratio) / power.OVERHEAD == pytest.approx(wanted, rel=0.02)


@given(st.floats(1, 1e6), st.floats(1, 1e6), st.floats(0.01, 0.99), st.floats(1e-5, 0.2))
def test_more_requests_see_smaller_ratios(n: float, more: float, share: float, base: float) -> None:
    one, other = power.detectable_ratio(n, share, base), power.detectable_ratio(n + more, share, base)
    if one is not None:
        assert other is not None
        assert other <= one * (1 + 1e-9)
        assert one > 1.0


@given(st.floats(10, 1e6), st.floats(0.01, 0.99), st.floats(1e-5, 0.2))
def test_the_ratio_seen_is_the_one_whose_dwell_is_over(n: float, share: float, base: float) -> None:
    ratio = power.detectable_ratio(n, share, base)
    if ratio is not None:
        assert isclose(power.dwell(1.0, share, ratio, base), n, rel_tol=1e-3)


def test_the_table_of_a_plan() -> None:
    rows = power.steps([1, 50, 100], 60.0, 200.0)
    assert [round(r.requests) for r in rows] == [12_000, 12_000, 12_000]
    assert [round(r.target_requests) for r in rows] == [120, 6_000, 12_000]
    assert rows[0].ratio is not None
    assert "sees only ratios above" in rows[0].advice
    assert rows[1].advice == ""
    assert rows[2].ratio is None
    assert "nothing to compare with" in rows[2].advice
    quiet = power.steps([1], 60.0, 0.5)[0]
    assert quiet.advice.startswith("cannot decide here: ")
    assert power.dwell(0.0, 0.01) == inf


def test_false_roll_backs_over_all_services() -> None:
    assert power.false_rollbacks(409, 0.01) == pytest.approx(4.09)
