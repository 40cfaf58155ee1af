"""The burn-up counts who is home on the target, back and forth."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from landbridge.model.journal import Entry, Outcome
from landbridge.model.plan import ActKind
from landbridge.model.service import ServiceId
from landbridge.run.burnup import BLOCKS, burn_up, spark


def lines(name: str, at: float, outcome: Outcome, kind: ActKind = ActKind.FINISH) -> list[Entry]:
    service = ServiceId("shop", name)
    act = f"{service}/{kind.value}"
    undo = {"undo": True} if outcome is Outcome.UNDONE else {}
    began = Entry(service=service, act=act, outcome=Outcome.STARTED, at=at, detail={"act": {"kind": kind.value}} | undo)
    return [began, Entry(service=service, act=act, outcome=outcome, at=at)]


def test_only_finish_counts_and_its_way_back_counts_down() -> None:
    found = burn_up([
        *lines("web", 1.0, Outcome.DONE, ActKind.ADOPT),
        *lines("web", 2.0, Outcome.DONE),
        *lines("cart", 3.0, Outcome.DONE),
        *lines("web", 4.0, Outcome.UNDONE),
        *lines("cart", 5.0, Outcome.HELD),
    ])  # fmt: skip
    assert found == [(1.0, 0), (2.0, 1), (3.0, 2), (4.0, 1)]


def test_nothing_done_is_nothing_drawn() -> None:
    assert burn_up([]) == []
    assert not spark([], 9, 10.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 9)), min_size=2), st.integers(1, 80))
def test_the_line_has_its_width_and_ends_where_it_stands(points: list[tuple[float, int]], width: int) -> None:
    ordered = sorted(points)
    line = spark(ordered, 9, ordered[-1][0], width)
    assert len(line) == width
    assert line[-1] == BLOCKS[ordered[-1][1] * (len(BLOCKS) - 1) // 9]
