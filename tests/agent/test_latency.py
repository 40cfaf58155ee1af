from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.agent.latency import ALIVE, LAST, RoundTrips


def trips(*seen: tuple[float, float]) -> RoundTrips:
    made = RoundTrips()
    for at, seconds in seen:
        made.add(at, seconds)
    return made


def test_a_gateway_that_never_answered_is_not_alive() -> None:
    none = {"p50": None, "p95": None, "p99": None}
    assert trips().report(5.0) == {"alive": False, "latency_ms": none}


def test_quantiles_are_values_that_were_seen() -> None:
    found = trips(*((float(i), i / 1000) for i in range(1, 51))).report(50.0)
    assert found == {"alive": True, "latency_ms": {"p50": 25.0, "p95": 48.0, "p99": 50.0}}


def test_one_that_fell_silent_is_dead_before_its_times_are_forgotten() -> None:
    seen = trips((0.0, 0.002))
    assert seen.report(ALIVE)["alive"] is True
    assert seen.report(ALIVE + 1)["alive"] is False
    assert seen.report(LAST)["latency_ms"]["p50"] == 2.0
    assert seen.report(LAST + 1)["latency_ms"]["p50"] is None


@given(st.lists(st.floats(0, 10), min_size=1))
def test_quantiles_rise(seconds: list[float]) -> None:
    found = trips(*((0.0, value) for value in seconds)).report(1.0)["latency_ms"]
    assert found["p50"] <= found["p95"] <= found["p99"] == round(1000 * max(seconds), 2)
