"""Bunches: the cut is valid wherever counting all is, and a unit is worth one event at most."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from landbridge import judge
from landbridge.judge import bursts, errors
from landbridge.judge.errors import Sample
from tests.judge.traffic import look

nulls = st.sampled_from([1.0, 1.25, 2.0])
counts = st.integers(0, 200)


@given(counts, counts, st.integers(0, 200), st.integers(0, 200), nulls)
def test_a_unit_is_worth_no_more_than_one_event(
    n_new: int, n_old: int, bad_new: int, bad_old: int, null: float
) -> None:
    bad_new, bad_old = min(bad_new, n_new), min(bad_old, n_old)
    bets = errors.upward(null)
    cut = bursts.capped(bad_new, n_new, bad_old, n_old, null=null)
    assert cut <= bad_new
    worth = errors.log_ratios(bets, Sample(n_new, n_old, cut, bad_old))
    one = errors.log_ratios(bets, Sample(n_new, n_old, max(1.0, bad_new / 50), 0))
    assert all(w <= max(o, 0.0) + 1e-9 for w, o in zip(worth, one, strict=True))


def bursty(how: judge.Bursts, seed: int) -> bool:
    """Whether a healthy service whose errors come in fives, one bunch in a second, is rolled back."""
    rng, state = random.Random(seed), judge.change_weight(judge.start(bursts=how, latency=False))
    for second in range(300):
        n_new = sum(rng.random() < 0.25 for _ in range(200))
        failed = [5 * sum(rng.random() < 0.002 / 5 for _ in range(n)) for n in (n_new, 200 - n_new)]
        state = judge.observe(
            state, look((n_new, min(failed[0], n_new)), (200 - n_new, failed[1])), weight=25, at=float(second)
        )
    return state.crossed_at is not None


def test_bursts_of_five_roll_back_healthy_services_when_counted_singly_and_none_when_cut() -> None:
    assert sum(bursty(judge.Bursts.REQUEST, seed) for seed in range(40)) >= 4
    assert sum(bursty(judge.Bursts.CAP, seed) for seed in range(40)) == 0
