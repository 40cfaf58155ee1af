"""The e-process against its definition, evaluated with 60 digits, and the invariances that follow from it."""

from __future__ import annotations

import random
from decimal import Decimal, localcontext
from itertools import product
from math import comb, exp, isclose, isfinite, log
from time import process_time
from timeit import repeat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landbridge.judge import errors
from landbridge.judge.errors import Bets, Evidence, Sample


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    n_new, n_old = draw(st.integers(0, 400)), draw(st.integers(0, 400))
    return Sample(n_new, n_old, draw(st.integers(0, n_new)), draw(st.integers(0, n_old)))


histories = st.lists(st.none() | samples(), max_size=12)
nulls = st.sampled_from([1.0, 1.5])


def follow(bets: Bets, history: list[Sample | None]) -> Evidence:
    """The evidence after blocks and restarts (None)."""
    evidence = errors.start(bets)
    for event in history:
        evidence = errors.restart(bets, evidence) if event is None else errors.update(bets, evidence, event)
    return evidence


def exact(bets: Bets, history: list[Sample | None]) -> float:
    """Logarithm of the evidence by its definition: a sum over starts, each a product over the blocks after it."""
    with localcontext() as context:
        context.prec = 60
        kept, total = Decimal("0.1"), Decimal(0)
        starts = [(0, 1 - kept)]
        for i, event in enumerate(history):
            if event is None:
                k = len(starts)
                spent = kept / (k + errors.SPREAD - 1)
                kept -= spent
                starts.append((i, spent))
        for ratio, mass in zip(bets.ratios, bets.mass, strict=True):
            for first, begun in starts:
                wealth = begun * Decimal(mass)
                for event in history[first:]:
                    wealth *= likelihood_ratio(Decimal(ratio), Decimal(bets.null), event)
                total += wealth
        return float((total + kept).ln())


def likelihood_ratio(r: Decimal, null: Decimal, s: Sample | None) -> Decimal:
    if s is None or not s.n_new or not s.n_old:
        return Decimal(1)
    w = Decimal(s.n_new) / (s.n_new + s.n_old)
    level = (1 - w + null * w) / (1 - w + r * w)
    return (r / null) ** int(s.bad_new) * level ** int(s.bad_new + s.bad_old)


@settings(max_examples=60, deadline=None)
@given(histories, nulls)
def test_it_equals_a_high_precision_evaluation_of_its_definition(history: list[Sample | None], null: float) -> None:
    bets = errors.upward(null)
    assert isclose(errors.log_value(follow(bets, history)), exact(bets, history), rel_tol=1e-9, abs_tol=1e-9)


@given(st.lists(samples(), min_size=2, max_size=8), st.lists(samples(), max_size=3), st.randoms())
def test_the_order_of_blocks_between_two_restarts_does_not_matter(
    blocks: list[Sample], before: list[Sample], rng: random.Random
) -> None:
    bets = errors.upward()
    shuffled = list(blocks)
    rng.shuffle(shuffled)
    one = follow(bets, [*before, None, *blocks, None])
    other = follow(bets, [*before, None, *shuffled, None])
    assert isclose(errors.log_value(one), errors.log_value(other), rel_tol=1e-9, abs_tol=1e-9)
    assert all(isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in zip(one.cells, other.cells, strict=True))


@given(
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.lists(st.tuples(st.integers(1, 9), st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5),
)
def test_splitting_a_block_with_equal_shares_changes_nothing(
    unit: tuple[int, int], cuts: list[tuple[int, float, float]]
) -> None:
    """However its failures fall on the parts; parts are whole multiples of one unit, so their shares are equal."""
    bets = errors.upward()
    parts = [
        Sample(unit[0] * k, unit[1] * k, round(unit[0] * k * new), round(unit[1] * k * old)) for k, new, old in cuts
    ]
    whole = Sample(
        sum(p.n_new for p in parts),
        sum(p.n_old for p in parts),
        sum(p.bad_new for p in parts),
        sum(p.bad_old for p in parts),
    )
    one, other = follow(bets, [None, whole, None]), follow(bets, [None, *parts, None])
    assert isclose(errors.log_value(one), errors.log_value(other), rel_tol=1e-9, abs_tol=1e-9)


@given(samples(), st.integers(2, 1000))
def test_more_requests_on_both_sides_alike_change_nothing(s: Sample, factor: int) -> None:
    bets = errors.upward()
    more = Sample(s.n_new * factor, s.n_old * factor, s.bad_new, s.bad_old)
    one, other = follow(bets, [s]), follow(bets, [more])
    assert isclose(errors.log_value(one), errors.log_value(other), rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("bad", [(0, 0), (1000, 0), (0, 1000), (1000, 1000)])
def test_no_errors_or_only_errors_never_break_it(bad: tuple[int, int]) -> None:
    bets = errors.upward()
    evidence = follow(bets, [Sample(1000, 1000, *bad)] * 3000)
    assert isfinite(errors.log_value(evidence))
    assert errors.log_value(evidence) >= log(evidence.unspent)


@pytest.mark.parametrize(("p", "n_new", "n_old"), list(product([0.001, 0.3, 0.999], [1, 4, 9], [1, 5, 12])))
@pytest.mark.parametrize(
    "bets", [errors.upward(), errors.upward(1.5), errors.downward(2.0)], ids=["up", "up1.5", "down"]
)
def test_a_block_under_h0_is_worth_at_most_1_on_average_exactly(p: float, n_new: int, n_old: int, bets: Bets) -> None:
    """The whole distribution of outcomes at the border of H0, for every ratio: no sampling, no Poisson limit."""
    p_new = p * bets.null
    if p_new > 1.0:
        p, p_new = p / bets.null, p
    mean = [0.0] * len(bets.ratios)
    for bad_new, bad_old in product(range(n_new + 1), range(n_old + 1)):
        chance = binomial(n_new, bad_new, p_new) * binomial(n_old, bad_old, p)
        worth = errors.log_ratios(bets, Sample(n_new, n_old, bad_new, bad_old))
        mean = [m + chance * exp(x) for m, x in zip(mean, worth, strict=True)]
    assert max(mean) <= 1.0 + 1e-9


def binomial(n: int, k: int, p: float) -> float:
    return comb(n, k) * p**k * (1 - p) ** (n - k)


@given(st.integers(0, 500))
def test_however_many_restarts_the_mass_never_exceeds_1(restarts: int) -> None:
    evidence = follow(errors.upward(), [None] * restarts)
    assert evidence.unspent >= 0
    assert isclose(sum(map(exp, evidence.cells)) + evidence.unspent, 1.0, rel_tol=1e-9)


@pytest.mark.parametrize(("n_new", "n_old", "failed"), [(2, 198, 2), (10, 190, 3), (100, 100, 8)])
def test_a_gross_failure_is_decided_in_its_first_block(n_new: int, n_old: int, failed: int) -> None:
    """2, 3 and 8 failed requests at 1, 5 and 50 %, none on the old side, errors having nine tenths of the evidence."""
    bets = errors.upward()
    enough = log(100) - log(0.9)
    assert errors.log_value(follow(bets, [Sample(n_new, n_old, failed, 0)])) >= enough
    assert errors.log_value(follow(bets, [Sample(n_new, n_old, failed - 1, 0)])) < enough


def test_an_update_takes_less_than_50_microseconds() -> None:
    bets, sample = errors.upward(), Sample(50, 150, 3, 1)
    evidence = errors.start(bets)
    times = repeat(
        lambda: errors.log_value(errors.update(bets, evidence, sample)), timer=process_time, number=500, repeat=7
    )
    assert min(times) / 500 < 50e-6
