"""Laws 7, 8 and 9."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.laws import rollback
from landbridge.laws.law import Law
from landbridge.laws.rollback import Back, Shown
from landbridge.laws.weights import Health
from landbridge.model.service import Side


@given(st.booleans(), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_silence_is_never_a_pass(fresh: bool, target: int, source: int, restarted: bool) -> None:
    refusal = rollback.may_advance(Shown(fresh=fresh, target_asked=target, source_asked=source, restarted=restarted))
    assert (refusal is None) is (fresh and target > 0 and source > 0 and not restarted)
    assert refusal is None or refusal.law is Law.SILENCE


@given(
    st.sampled_from(Back),
    st.sets(st.sampled_from(Back)),
    st.builds(Health, ready=st.integers(0, 5), wanted=st.just(5), reachable=st.booleans()),
    st.integers(0, 5),
)
def test_the_way_back_keeps_its_order_and_traffic_waits_for_the_source(
    deed: Back, done: set[Back], source: Health, full: int
) -> None:
    refusal = rollback.may_go_back(deed, done=done, source=source, full_size=full)
    order = list(Back)
    in_order = set(order[: order.index(deed)]) <= done
    carries = source.ready >= max(full, 1) and source.reachable
    assert (refusal is None) is (in_order and (deed is not Back.WEIGHT_HOME or carries))


def test_consumers_first_then_size_then_traffic() -> None:
    assert list(Back)[:3] == [Back.CONSUMERS_OFF, Back.SOURCE_SIZED, Back.WEIGHT_HOME]


@given(st.sets(st.sampled_from(Side)), st.sampled_from(Side), st.sampled_from([True, False, None]))
def test_activating_never_makes_two_of_what_may_run_once(
    active: set[Side], side: Side, idempotent: bool | None
) -> None:
    if rollback.check_active(active, idempotent=idempotent) is not None:
        return
    allowed = rollback.may_activate(side, active=active, idempotent=idempotent) is None
    after = active | {side}
    assert allowed is (rollback.check_active(after, idempotent=idempotent) is None)
    assert allowed or idempotent is not True
