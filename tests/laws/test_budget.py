"""The connection budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.laws import budget
from landbridge.laws.budget import Pool, Room, Store
from landbridge.model.service import ServiceId, Side

pools = st.builds(
    Pool,
    service=st.sampled_from([ServiceId("shop", "web"), ServiceId("shop", "cart"), ServiceId("shop", "orders")]),
    side=st.sampled_from(Side),
    size=st.integers(0, 50),
    replicas=st.integers(0, 10),
    surge=st.integers(0, 3),
)
stores = st.builds(
    Store,
    name=st.just("orders-db"),
    limit=st.integers(0, 3000),
    reserved=st.integers(0, 10),
    observed=st.none() | st.integers(0, 500),
    other=st.integers(0, 20),
)


@given(stores, st.lists(pools, max_size=8))
def test_the_room_follows_from_the_sum(store: Store, given_pools: list[Pool]) -> None:
    answer = budget.budget(store, given_pools)
    by_side = {s: sum(p.size * (p.replicas + p.surge) for p in given_pools if p.side is s) for s in Side}
    source = by_side[Side.SOURCE] if store.observed is None else store.observed
    assert answer.needed == source + by_side[Side.TARGET] + store.other
    assert (answer.room is Room.BLOCK) is (answer.needed > max(0, store.limit - store.reserved))
    assert (budget.may_copy(store, given_pools) is None) is (answer.room is not Room.BLOCK)
    assert [n for _, n in answer.by_service] == sorted((n for _, n in answer.by_service), reverse=True)


@given(stores, st.lists(pools, max_size=8), pools)
def test_one_more_target_pool_never_makes_room(store: Store, given_pools: list[Pool], more: Pool) -> None:
    before = budget.budget(store, given_pools).needed
    assert budget.budget(store, [*given_pools, more]).needed >= before


def test_one_percent_of_traffic_costs_all_of_the_targets_connections() -> None:
    """The reference case: PostgreSQL with 100 connections, ten pods with pools of five on each side."""
    store = Store(name="orders-db", limit=100, reserved=3, observed=52)
    web = ServiceId("shop", "web")
    target = Pool(service=web, side=Side.TARGET, size=5, replicas=10, surge=1)
    assert str(budget.may_copy(store, [target])) == (
        "law 1: orders-db allows 97 connections, both sides need 107 (shop/web 55)"
    )
