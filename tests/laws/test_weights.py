"""Laws 1, 2, 3 and 12."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.laws import weights
from landbridge.laws.law import Law, Refusal
from landbridge.laws.weights import Health
from landbridge.model.service import Limits, Side, Weight

percents = st.integers(0, 100)
healths = st.builds(Health, ready=st.integers(0, 20), wanted=st.integers(0, 20), reachable=st.booleans())
seen = st.builds(Weight, percent=percents, version=st.sampled_from("ab"))


def law(refusal: Refusal | None) -> Law | None:
    return refusal.law if refusal else None


@given(st.dictionaries(st.sampled_from(["web-leaf", "web-eks"]), st.integers(-5, 100)))
def test_the_sum_is_refused_exactly_when_nobody_would_serve(given_weights: dict[str, int]) -> None:
    serves = all(w >= 0 for w in given_weights.values()) and any(w > 0 for w in given_weights.values())
    assert (weights.check_sum(given_weights) is None) is serves


@given(percents, st.integers(0, 30), st.sampled_from(Side))
def test_no_side_with_a_share_goes_to_zero(percent: int, replicas: int, side: Side) -> None:
    share = percent if side is Side.TARGET else 100 - percent
    refusal = weights.may_scale(side=side, replicas=replicas, percent=percent)
    assert (refusal is not None) is (replicas == 0 and share > 0)
    assert law(refusal) in (None, Law.SERVED)


@given(seen, seen, percents, healths, st.integers(0, 20), st.booleans())
def test_a_raise_is_allowed_exactly_when_all_of_law_2_holds(
    expected: Weight, live: Weight, new: int, target: Health, size: int, agrees: bool
) -> None:
    refusal = weights.may_raise(
        expected=expected, live=live, new=new, limits=Limits(), target=target, size=size, agrees=agrees
    )
    large_enough = target.ready * 100 >= size * new and (new == 0 or target.ready >= (1 if size else 0))
    holds = (
        new > live.percent
        and expected == live
        and target.reachable
        and target.ready >= target.wanted
        and large_enough
        and agrees
    )
    assert (refusal is None) is holds


def test_drift_names_what_was_seen_and_what_was_expected() -> None:
    drift = weights.check_drift(Weight(percent=5, version="7"), Weight(percent=5, version="8"))
    assert str(drift) == "law 3: somebody wrote the object: version 8, expected 7"
    drift = weights.check_drift(Weight(percent=5, version="7"), Weight(percent=50, version="8"))
    assert str(drift) == "law 3: the weight is 50 %, not 5 % as last seen"


@given(percents, st.integers(0, 100))
def test_replicas_carry_their_share(percent: int, size: int) -> None:
    needed = weights.replicas_for(percent, size)
    assert needed * 100 >= size * percent
    assert (needed - 1) * 100 < size * percent or needed == 0


@given(st.integers(-10, 120), st.integers(1, 100), st.integers(1, 10))
def test_percent_within_the_routers_limits(percent: int, most: int, step: int) -> None:
    limits = Limits(max_percent=most, step=step)
    fits = 0 <= percent <= most and (percent % step == 0 or percent == most)
    assert (weights.check_percent(percent, limits) is None) is fits


@given(percents, st.floats(0, 1000), st.floats(0, 1000), st.none() | st.integers(0, 5), st.booleans())
def test_the_source_keeps_its_size_until_nobody_can_need_it(
    percent: int, soaked: float, soak: float, bypass: int | None, approved: bool
) -> None:
    refusal = weights.may_shrink_source(percent=percent, soaked=soaked, soak=soak, bypass=bypass, approved=approved)
    free = bypass == 0 or (bypass is None and approved)
    assert (refusal is None) is (percent == 100 and soaked >= soak and free)


@given(st.lists(percents, max_size=8))
def test_weights_rise_and_bake_before_100(steps: list[int]) -> None:
    rising = bool(steps) and steps == sorted(set(steps)) and steps[0] >= 1
    baked = steps[-1:] != [100] or any(95 <= p < 100 for p in steps)
    assert (weights.check_bake(steps) is None) is (rising and baked)
