"""The report tells everything the journal knows, needs no network, and cannot be broken by what names contain."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from landbridge.model.journal import Command, Entry, Outcome, Phase, State, What
from landbridge.model.look import Count, NoData, Reading, plain_counts
from landbridge.model.plan import Act, ActKind, Plan, ServicePlan, Wave
from landbridge.model.service import ServiceId, Side
from landbridge.report.charts import nice
from landbridge.report.page import render
from landbridge.report.story import Point, tell, thin

PAY = ServiceId("shop", "payments")


def look(second: int, weight: int, n: int = 100, bad: int = 0) -> dict[str, Any]:
    target = n * weight // 100
    counts = {
        Side.SOURCE: Count(n=n - target, buckets={"100": 1}),
        Side.TARGET: Count(n=target, bad=min(bad, target), buckets={"100": 0}),
    }
    kept = plain_counts(Reading(service=PAY, counts={"legacy": counts}))
    return {"at": 1e9 + second, "service": str(PAY), "weight": weight, "counts": kept}


def story(reason: str = "errors 9 of 50") -> Any:
    act = Act(id="shop/payments/weight-5", kind=ActKind.WEIGHT, args={"percent": 5})
    plan = Plan(
        source="legacy", target="eks", waves=(Wave(name="w", services=(ServicePlan(service=PAY, acts=(act,)),)),)
    )
    entries = [
        Entry(service=PAY, act=act.id, outcome=Outcome.STARTED, at=1e9),
        Entry(service=PAY, act=act.id, outcome=Outcome.VERDICT, at=1e9 + 5, detail={"reason": reason, "e": 104.25}),
        Entry(service=PAY, act=act.id, outcome=Outcome.UNDONE, at=1e9 + 5.1),
        Entry(service=PAY, act=act.id, outcome=Outcome.DONE, at=1e9 + 9, detail={"reason": "0 of 77 failed"}),
    ]
    states = {PAY: State(service=PAY, phase=Phase.ROLLED_BACK, reason=reason)}
    commands = [Command(seq=1, what=What.RESUME, service=None, by="anna", at=1e9 + 9)]
    silent = {**look(30, 5), "counts": plain_counts(NoData(service=PAY, reason="no waypoint is running"))}
    looks = [*(look(second, 5, bad=second % 2) for second in range(30)), silent]
    return tell(plan, states, entries, looks, commands, now=1e9 + 60)


def test_counts_and_decisions_are_told() -> None:
    told = story()
    assert told.requests == 3000
    assert told.failed == {Side.SOURCE: 0, Side.TARGET: 15}
    assert told.rolled_back == (PAY,)
    page = render(told)
    assert "104.2" in page
    assert "errors 9 of 50" in page
    assert "0 of 77 failed" in page, "an advance is a decision, too, and has its numbers"
    assert "anna" in page
    assert page.count("<svg") == 4


def test_page_is_one_file_that_needs_no_network() -> None:
    page = render(story())
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)


@given(st.text())
def test_no_text_can_become_markup(text: str) -> None:
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            tags.append(tag)

    Tags().feed(render(story(f"<b0rk>{text}")))
    assert "b0rk" not in tags


@given(
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 50), st.integers(0, 50)), max_size=300), st.integers(1, 40)
)
def test_thinning_keeps_every_count_and_mixes_no_weights(rows: list[tuple[int, int, int]], limit: int) -> None:
    points = []
    for second, (weight, source, target) in enumerate(rows):
        point = Point(at=second, weight=weight)
        point.n = {Side.SOURCE: source, Side.TARGET: target}
        point.slow[Side.TARGET] = {100.0: target}
        points.append(point)
    thinned = thin(points, limit)
    for side in Side:
        assert sum(point.n[side] for point in thinned) == sum(point.n[side] for point in points)
    by_weight = {weight: sum(p.n[Side.TARGET] for p in points if p.weight == weight) for weight, _, _ in rows}
    assert {w: sum(p.n[Side.TARGET] for p in thinned if p.weight == w) for w in by_weight} == by_weight


@given(st.floats(1e-6, 1e9))
def test_axes_end_at_a_round_number_close_above(value: float) -> None:
    assert value <= nice(value) * (1 + 1e-9)
    assert nice(value) <= value * 5.01
