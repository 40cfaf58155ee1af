"""Silence is only believed when every waypoint was there, whole, for the whole time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.model.service import ServiceId
from landbridge.observe.callers import Callers, Pod, callers, parse

WEB, CART = ServiceId("shop", "web"), ServiceId("shop", "cart")


def pod(name: str, total: int, held: int = 0, **more: Any) -> Pod:
    return Pod(namespace="shop", name=name, total={WEB: total}, open={WEB: held}, **more)


def test_requests_of_all_pods_and_connections_still_open() -> None:
    before = {"a": pod("a", 10), "b": pod("b", 5)}
    after = {"a": pod("a", 12, 1), "b": pod("b", 5, 2)}
    assert callers(before, after, WEB) == Callers(requests=2, open=3)


def test_what_was_not_seen_whole_is_unknown() -> None:
    before = {"a": pod("a", 10)}
    assert callers(before, {}, WEB).unknown == "no waypoint is running"
    assert callers({}, before, WEB).unknown == "a waypoint came or went meanwhile"
    assert callers(before, {"a": pod("a", 3)}, WEB).unknown == "a counts from the start again"
    assert callers(before, {"a": pod("a", 10, start=60.0)}, WEB).unknown == "a was started again meanwhile"
    assert callers(before, {"a": pod("a", 0, problem="refused")}, WEB).unknown == "a: refused"
    assert callers(before, before, CART).unknown == "a does not know this service"


def test_other_namespaces_do_not_matter() -> None:
    other = Pod(namespace="bank", name="z", problem="refused")
    here = {"a": pod("a", 10), "z": other}
    assert callers(here, here, WEB) == Callers()


def test_both_pages_of_a_waypoint_are_put_together() -> None:
    route = {"backends": {"web-leaf": {"total": 1}, "web-eks": {"total": 6}}}
    counters = {"envoy_start": 5.0, "routes": {"shop/web/80": route, "shop/web/81": route}}
    state = {"active": {"shop/web/80": 20000, "shop/web/81": 20001}, "connections": {"20000": 2, "20009": 7}}
    found = parse("a", "shop", counters, state)
    assert (found.total, found.open) == ({WEB: 14}, {WEB: 2})
    with pytest.raises(ValueError, match="which connections"):
        parse("a", "shop", counters, {**state, "connections": {}})


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 5)), min_size=1, max_size=4))
def test_nobody_calls_only_when_nothing_grew(pods: list[tuple[int, int, int]]) -> None:
    before = {str(i): pod(str(i), total) for i, (total, _, _) in enumerate(pods)}
    after = {str(i): pod(str(i), total + more, held) for i, (total, more, held) in enumerate(pods)}
    found = callers(before, after, WEB)
    assert found == Callers(requests=sum(more for _, more, _ in pods), open=sum(held for _, _, held in pods))
