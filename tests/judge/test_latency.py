"""Latency: slower tails are seen, slower days are not, and a stall is one event."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import exp, isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge import judge
from landbridge.judge import Counts, JudgeState, latency
from landbridge.judge.latency import Gauge, Tail
from landbridge.model.look import Count
from landbridge.model.service import Side

BOUNDS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)


def count(times: list[float]) -> Count:
    """Requests with these latencies in milliseconds, as counters have them."""
    return Count(n=len(times), buckets={str(b): sum(t > b for t in times) for b in BOUNDS})


def ordinary(rng: random.Random) -> float:
    """Lognormal, p50 60 ms, p99 386 ms."""
    return 60.0 * exp(0.8 * rng.gauss(0.0, 1.0))


Slow = Callable[[random.Random, float, Side], float]


def service(rng: random.Random, percent: int, at: float, slow: Slow) -> Counts:
    """One second at 200 requests/s; `slow` makes a latency of an ordinary one."""
    n_new = sum(rng.random() * 100 < percent for _ in range(200))
    return {
        "legacy": {
            side: count([slow(rng, at, side) * ordinary(rng) for _ in range(n)])
            for side, n in ((Side.TARGET, n_new), (Side.SOURCE, 200 - n_new))
        }
    }


def run(slow: Slow, *, seed: int = 1, seconds: int = 240) -> tuple[JudgeState, float | None]:
    """Half a minute before the ramp, then 1, 5, 10, 15 % for a minute each; and when it was decided, if it was."""
    rng, state = random.Random(seed), judge.start()
    for i in range(30):
        state = judge.observe(state, service(rng, 0, -1.0, slow), weight=0, at=float(i))
    weight = 0
    for i in range(seconds):
        percent = (1, 5, 10, 15)[min(i // 60, 3)]
        if percent != weight:
            state, weight = judge.change_weight(state), percent
        state = judge.observe(state, service(rng, percent, float(i), slow), weight=percent, at=30.0 + i)
        if state.crossed_at is not None:
            return state, state.crossed_at - 29.0
    return state, None


def test_one_and_a_half_times_slower_is_seen_in_about_a_minute() -> None:
    found = sorted(run(lambda _, at, side: 1.5 if side is Side.TARGET else 1.0, seed=s)[1] or 999.0 for s in range(7))
    assert found[3] <= 80.0


@pytest.mark.parametrize("seed", range(3))
def test_both_sides_slower_together_is_no_evidence(seed: int) -> None:
    state, found = run(lambda _, at, __: 2.0 if at > 90 else 1.0, seed=seed)
    assert found is None
    assert state.evidence < 20.0


def test_a_hop_of_a_millisecond_is_no_evidence() -> None:
    _, found = run(lambda rng, _, side: 1.0 + (1.0 / 60.0 if side is Side.TARGET else 0.0))
    assert found is None


def test_rare_long_waits_are_seen() -> None:
    def waits(rng: random.Random, _: float, side: Side) -> float:
        return 20.0 if side is Side.TARGET and rng.random() < 0.02 else 1.0

    _, found = run(waits)
    assert found is not None


@given(st.dictionaries(st.sampled_from([str(b) for b in BOUNDS]), st.integers(0, 5000)), st.integers(0, 5000))
def test_gauges_are_few_and_have_the_tails_their_kind_says(slower: dict[str, int], n: int) -> None:
    slower = {bound: min(k, n) for bound, k in slower.items()}
    gauges = latency.choose(slower, n, hop=1.0)
    assert len(gauges) <= latency.MOST_BOUNDS
    assert n >= latency.ENOUGH or not gauges
    for gauge in gauges:
        tail = slower[gauge.bound] / n
        assert float(gauge.bound) >= 40.0
        match gauge.tail:
            case Tail.SLOW:
                assert 0.005 <= tail <= 0.5
            case Tail.FAST:
                assert 0.5 < tail <= 0.995
            case Tail.RARE:
                assert tail < 0.005


def test_fast_is_what_is_not_slower() -> None:
    from landbridge.judge import blocks

    gauges = (Gauge("50", Tail.FAST), Gauge("50", Tail.SLOW))
    assert blocks.events(Count(n=10, buckets={"50": 4}), gauges) == (6.0, 4.0)
    assert blocks.events(Count(n=3, buckets={"50": 4}), gauges) == (0.0, 3.0)


@pytest.mark.parametrize("tail", list(Tail))
def test_every_bet_has_the_margin_in_its_null(tail: Tail) -> None:
    bets = latency.bets(tail, 1.25)
    assert isclose(bets.null, 0.8 if tail is Tail.FAST else 1.25)
    assert all((r < bets.null) is (tail is Tail.FAST) for r in bets.ratios)
