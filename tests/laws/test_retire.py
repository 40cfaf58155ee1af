"""The source leaves the path only when everything says so; each single doubt keeps it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.laws.law import Law
from landbridge.laws.retire import Leaving, may_retire
from landbridge.laws.weights import Health

FREE = Leaving(
    done=True,
    standing="done",
    percent=100,
    pods=0,
    target=Health(ready=2, wanted=2),
    requests=0,
    open=0,
    seconds=60.0,
)


def test_nothing_holds_a_service_that_nobody_calls() -> None:
    assert may_retire(FREE) == ()


@pytest.mark.parametrize(
    ("doubt", "law"),
    [
        ({"done": False, "standing": "moving at 50 %"}, Law.ROLLBACK),
        ({"percent": 99}, Law.SERVED),
        ({"percent": None}, Law.DRIFT),
        ({"pods": 1}, Law.SERVED),
        ({"target": Health(ready=1, wanted=2)}, Law.SERVED),
        ({"target": Health(ready=0, wanted=0)}, Law.SERVED),
        ({"requests": 1}, Law.SERVED),
        ({"open": 1}, Law.SERVED),
        ({"requests": None, "unknown": "no waypoint is running"}, Law.SILENCE),
        ({"open": None}, Law.SILENCE),
    ],
)
def test_each_doubt_alone_keeps_it(doubt: dict[str, Any], law: Law) -> None:
    assert [refusal.law for refusal in may_retire(replace(FREE, **doubt))] == [law]


@given(
    done=st.booleans(),
    percent=st.none() | st.integers(0, 100),
    pods=st.integers(0, 3),
    ready=st.integers(0, 3),
    requests=st.none() | st.integers(0, 5),
    held=st.none() | st.integers(0, 5),
)
def test_it_is_free_exactly_when_nothing_is_in_doubt(
    done: bool, percent: int | None, pods: int, ready: int, requests: int | None, held: int | None
) -> None:
    seen = replace(
        FREE,
        done=done,
        percent=percent,
        pods=pods,
        target=Health(ready=ready, wanted=2),
        requests=requests,
        open=held,
    )
    free = done and percent == 100 and pods == 0 and ready >= 2 and requests == 0 and held == 0
    assert (may_retire(seen) == ()) is free
