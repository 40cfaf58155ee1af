"""What a weight of 0 leaves behind is counted on the right side, and silence is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.model.service import ServiceId, Side
from landbridge.observe.held import Answer, Held, add_up, parse

WEB = ServiceId("shop", "web")


def page(here: int, there: int, *, other: str, weight: int = 0) -> dict[str, Any]:
    weights = {"web-leaf": 100 - weight, f"web-{other}": weight}
    backends = {"web-leaf": {"active": here}, f"web-{other}": {"active": there}}
    return {"routes": {"shop/web/80": {"weights": weights, "backends": backends}}}


def test_each_cluster_sees_the_other_as_its_mirror() -> None:
    """waypoint.md 13.9: held TCP stays on the remote side; seen from the source that is the mirror, there the leaf."""
    answers = [
        parse("a", Side.SOURCE, page(5, 2, other="eks")),
        parse("b", Side.TARGET, page(1, 7, other="legacy", weight=100)),
    ]
    assert add_up(answers, WEB, Side.TARGET) == Held(open=3)
    assert add_up(answers, WEB, Side.SOURCE) == Held(open=12, sending=("a", "b"))
    assert add_up(answers, ServiceId("shop", "cart"), Side.TARGET) == Held()
    assert str(Held()) == ""


def test_a_waypoint_that_was_cut_off_still_sends() -> None:
    """waypoint.md 13.10: it stayed ready on the old weight while its twin obeyed."""
    found = add_up([parse("a", Side.SOURCE, page(0, 0, other="eks", weight=25))], WEB, Side.TARGET)
    assert found.sending == ("a",)
    assert "a still obeys" in str(found)


def test_silence_is_said() -> None:
    found = add_up(
        [Answer(name="a", problem="refused"), parse("b", Side.SOURCE, page(0, 4, other="eks"))], WEB, Side.TARGET
    )
    assert found == Held(open=4, unknown="a: refused")
    assert "4 connections are still held" in str(found)
    with pytest.raises(KeyError):
        parse("a", Side.SOURCE, {"routes": {"shop/web/80": {"weights": {}, "backends": {"web-leaf": {}}}}})


@given(st.lists(st.tuples(st.sampled_from(list(Side)), st.integers(0, 9), st.integers(0, 9)), max_size=5))
def test_nothing_is_counted_twice_or_left_out(pods: list[tuple[Side, int, int]]) -> None:
    answers = [parse(str(n), side, page(here, there, other="x")) for n, (side, here, there) in enumerate(pods)]
    both = [add_up(answers, WEB, side).open for side in Side]
    assert sum(both) == sum(here + there for _, here, there in pods)
