"""Counters to looks: deltas by cursor, whatever pods, scrapes and clocks do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from landbridge.model.look import Count, Cursor, Look, NoData, Reading
from landbridge.model.service import Route, ServiceId, Side
from landbridge.observe.envoy import Scrape, digest

WEB = ServiceId("shop", "web")
ROUTES = [Route(service=WEB, switches=())]
CLUSTERS = {Side.SOURCE: "legacy", Side.TARGET: "eks"}


def counters(
    at: float, leaf: tuple[int, int], other: tuple[int, int], *, side: Side = Side.SOURCE, start: float = 1.0
) -> dict[str, Any]:
    mirror = f"web-{CLUSTERS[side.other]}"
    backends = {
        name: {"total": total, "bad": bad, "active": 0, "slower_ms": {"100": total // 2}}
        for name, (total, bad) in {"web-leaf": leaf, mirror: other}.items()
    }
    weights = {"web-leaf": 75, mirror: 25}
    return {"at": at, "envoy_start": start, "routes": {"shop/web/80": {"weights": weights, "backends": backends}}}


def scrape(uid: str, what: dict[str, Any] | None, *, side: Side = Side.SOURCE, problem: str = "") -> Scrape:
    return Scrape(side=side, namespace="shop", uid=uid, name=f"pod-{uid}", counters=what, problem=problem)


def look(scrapes: list[Scrape], cursor: Cursor, at: float = 10.0) -> Look:
    return digest(ROUTES, scrapes, cursor, at=at, names=CLUSTERS)


def reading(found: Look) -> Reading:
    answer = found.readings[WEB]
    assert isinstance(answer, Reading), answer
    return answer


def test_the_first_look_is_the_baseline_and_the_second_the_difference() -> None:
    first = look([scrape("a", counters(1, (100, 1), (10, 2)))], {})
    assert reading(first).counts == {}
    second = look([scrape("a", counters(2, (150, 1), (30, 5)))], first.cursor)
    assert reading(second).counts == {
        "legacy": {
            Side.SOURCE: Count(n=50, bad=0, buckets={"100": 25}),
            Side.TARGET: Count(n=20, bad=3, buckets={"100": 10}),
        }
    }
    assert not reading(second).restarted


def test_a_waypoint_that_sees_nobody_on_the_target_is_told() -> None:
    def empty(backend: str, side: Side) -> Scrape:
        found = counters(1, (0, 0), (0, 0), side=side)
        found["routes"]["shop/web/80"]["empty"] = [backend]
        return scrape(side.value, found, side=side)

    assert reading(look([empty("web-eks", Side.SOURCE)], {})).unseen == ("pod-source:80",)
    assert reading(look([empty("web-leaf", Side.TARGET)], {})).unseen == ("pod-target:80",)
    assert reading(look([empty("web-leaf", Side.SOURCE), empty("web-legacy", Side.TARGET)], {})).unseen == ()


def test_backends_are_sides_as_each_cluster_sees_them() -> None:
    source, target = counters(1, (0, 0), (0, 0)), counters(1, (0, 0), (0, 0), side=Side.TARGET)
    first = look([scrape("a", source), scrape("b", target, side=Side.TARGET)], {})
    source, target = counters(2, (6, 0), (1, 0)), counters(2, (2, 0), (5, 0), side=Side.TARGET)
    second = reading(look([scrape("a", source), scrape("b", target, side=Side.TARGET)], first.cursor))
    assert {k: {s: c.n for s, c in v.items()} for k, v in second.counts.items()} == {
        "legacy": {Side.SOURCE: 6, Side.TARGET: 1},
        "eks": {Side.SOURCE: 5, Side.TARGET: 2},
    }
    assert second.weights == {"pod-a:80": 25, "pod-b:80": 75}


def test_the_same_answer_again_and_one_overtaken_count_nothing() -> None:
    first = look([scrape("a", counters(1, (10, 0), (0, 0)))], {})
    second = look([scrape("a", counters(2, (30, 0), (0, 0)))], first.cursor)
    for late in (counters(2, (30, 0), (0, 0)), counters(1.5, (20, 0), (0, 0))):
        again = look([scrape("a", late)], second.cursor)
        assert sum(c.n for sides in reading(again).counts.values() for c in sides.values()) == 0
        assert again.cursor == second.cursor


def test_a_restarted_envoy_counts_from_zero_and_says_so() -> None:
    first = look([scrape("a", counters(1, (100, 0), (0, 0)))], {})
    second = reading(look([scrape("a", counters(2, (7, 0), (0, 0), start=9.0))], first.cursor))
    assert second.restarted
    assert second.counts["legacy"][Side.SOURCE].n == 7


def test_a_start_told_late_by_an_envoy_that_has_run_for_long_is_no_restart() -> None:
    """Where nobody has a core to spare an answer takes seconds; a life's counts would be those of one second."""
    first = look([scrape("a", counters(500.0, (900, 0), (100, 0), start=10.0))], {})
    second = look([scrape("a", counters(501.0, (910, 0), (110, 0), start=16.0))], first.cursor)
    assert not reading(second).restarted
    assert reading(second).counts["legacy"][Side.SOURCE].n == 10
    again = look([scrape("a", counters(502.0, (911, 0), (110, 0), start=501.5))], second.cursor)
    assert reading(again).restarted


def test_a_start_told_in_whole_seconds_is_no_restart() -> None:
    first = look([scrape("a", counters(1, (100, 0), (0, 0), start=5.9))], {})
    second = look([scrape("a", counters(2, (107, 0), (0, 0), start=5.1))], first.cursor)
    assert not reading(second).restarted
    third = reading(look([scrape("a", counters(3, (109, 0), (0, 0), start=6.6))], second.cursor))
    assert not third.restarted
    assert third.counts["legacy"][Side.SOURCE].n == 2


def test_a_replaced_pod_is_said() -> None:
    first = look([scrape("a", counters(1, (100, 0), (0, 0)))], {})
    second = look([scrape("b", counters(2, (7, 0), (0, 0)))], first.cursor)
    assert reading(second).restarted
    assert set(second.cursor) == {"b"}


def test_one_pod_that_does_not_answer_makes_the_look_no_data_and_nothing_is_lost() -> None:
    both = [scrape("a", counters(1, (10, 0), (0, 0))), scrape("b", counters(1, (10, 0), (0, 0)))]
    first = look(both, {})
    silent = look([scrape("a", counters(2, (20, 0), (0, 0))), scrape("b", None, problem="timeout")], first.cursor)
    assert silent.readings[WEB] == NoData(service=WEB, reason="pod-b: timeout")
    assert silent.cursor == first.cursor
    third = look([scrape(uid, counters(3, (30, 0), (0, 0))) for uid in "ab"], silent.cursor)
    assert reading(third).counts["legacy"][Side.SOURCE].n == 40


def test_a_pod_that_leaves_may_be_silent() -> None:
    first = look([scrape(uid, counters(1, (10, 0), (0, 0))) for uid in "ab"], {})
    leaving = replace(scrape("b", None, problem="gone"), leaving=True)
    second = reading(look([scrape("a", counters(2, (15, 0), (0, 0))), leaving], first.cursor))
    assert second.counts["legacy"][Side.SOURCE].n == 5


def test_no_waypoint_is_no_data() -> None:
    assert look([], {}).readings[WEB] == NoData(service=WEB, reason="no waypoint is running")


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["ok", "ok", "twice", "silent"])), max_size=30))
def test_the_deltas_sum_to_what_the_pod_counted(steps: list[tuple[int, str]]) -> None:
    total, at, seen = 0, 1.0, 0
    cursor = look([scrape("a", counters(at, (0, 0), (0, 0)))], {}).cursor
    for more, how in steps:
        total, at = total + more, at + 1.0
        answer = scrape("a", counters(at, (total, 0), (0, 0)))
        tries = {"ok": [answer], "twice": [answer, answer], "silent": [scrape("a", None, problem="x")]}[how]
        for one in tries:
            found = look([one], cursor)
            cursor = found.cursor
            if isinstance(found.readings[WEB], Reading):
                seen += sum(c.n for sides in reading(found).counts.values() for c in sides.values())
    found = look([scrape("a", counters(at + 1, (total, 0), (0, 0)))], cursor)
    seen += sum(c.n for sides in reading(found).counts.values() for c in sides.values())
    assert seen == total


def copied(at: float, safe: tuple[int, int], copies: tuple[int, int], *, start: float = 1.0) -> dict[str, Any]:
    """Counters with those of copies beside them; the source has had 1000 requests in all."""
    made = counters(at, (1000, 0), (0, 0), start=start)
    beside = counters(at, safe, copies)["routes"]["shop/web/80"]["backends"]
    made["routes"]["shop/web/80"]["shadow"] = beside
    return made


def test_copies_are_read_beside_the_requests_and_never_among_them() -> None:
    first = look([scrape("a", counters(1, (1000, 0), (0, 0)))], {})
    second = look([scrape("a", copied(2, (80, 1), (8, 4)))], first.cursor)
    assert reading(second).shadows == {
        "legacy": {
            Side.SOURCE: Count(n=80, bad=1, buckets={"100": 40}),
            Side.TARGET: Count(n=8, bad=4, buckets={"100": 4}),
        }
    }
    assert all(c.n == 0 for c in reading(second).counts["legacy"].values())
    assert reading(first).shadows == {}
    third = look([scrape("a", copied(3, (80, 1), (10, 4)))], second.cursor)
    assert {side: c.n for side, c in reading(third).shadows["legacy"].items()} == {Side.SOURCE: 0, Side.TARGET: 2}


def test_copies_of_an_earlier_attempt_are_not_counted_again() -> None:
    """A waypoint tells them for as long as its Envoy lives, copied or not."""
    first = look([scrape("a", copied(1, (80, 1), (8, 4)))], {})
    second = look([scrape("a", copied(2, (80, 1), (8, 4)))], first.cursor)
    assert reading(first).shadows == {}
    assert sum(c.n for sides in reading(second).shadows.values() for c in sides.values()) == 0
    again = look([scrape("a", copied(3, (5, 0), (1, 0), start=90.0))], second.cursor)
    assert reading(again).restarted
    assert reading(again).shadows["legacy"][Side.SOURCE].n == 5


def test_copies_that_go_with_their_listener_leave_the_requests_alone() -> None:
    """Seen on pods: 15 s after the last copy their listener had drained, its counters went, and the requests of the
    whole ramp were counted as those of one second at 100 %."""
    first = look([scrape("a", copied(1, (80, 1), (40, 4)) | {"envoy_start": 0.0})], {})
    gone = copied(2, (80, 1), (0, 0))
    gone["routes"]["shop/web/80"]["backends"]["web-leaf"]["total"] += 30
    second = look([scrape("a", gone | {"envoy_start": 0.0})], first.cursor)
    assert not reading(second).restarted
    assert reading(second).counts["legacy"][Side.SOURCE].n == 30
    more = copied(3, (80, 1), (5, 1))
    third = look([scrape("a", more | {"envoy_start": 0.0})], second.cursor)
    assert reading(third).shadows["legacy"][Side.TARGET] == Count(n=5, bad=1, buckets={"100": 2})


def unanswered(at: float, failed: int, target: int) -> dict[str, Any]:
    found = counters(at, (100, 0), (100, 0))
    route = found["routes"]["shop/web/80"]
    route["nobody"] = {"total": failed, "bad": failed, "active": 0}
    route["weights"] = {"web-leaf": 100 - target, "web-eks": target}
    return found


def test_connections_that_nobody_took_are_blamed_on_who_has_most_at_that_moment() -> None:
    """Seen on pods: two of the first minute, drawn for the source, were bad ones of the target when it got half."""
    first = look([scrape("a", unanswered(1, 2, 0))], {})
    second = look([scrape("a", unanswered(2, 2, 95))], first.cursor)
    assert not reading(second).restarted
    assert not any(count.bad for count in reading(second).counts["legacy"].values())
    third = look([scrape("a", unanswered(3, 5, 95))], second.cursor)
    blamed = reading(third).counts["legacy"][Side.TARGET]
    assert (blamed.n, blamed.bad) == (3, 3)
    assert not reading(third).counts["legacy"][Side.SOURCE].n


def test_a_count_that_is_read_short_is_no_restart_and_no_request_is_counted_twice() -> None:
    first = look([scrape("a", counters(1, (100, 0), (50, 0)))], {})
    short = look([scrape("a", counters(2, (98, 1), (50, 0)))], first.cursor)
    assert not reading(short).restarted
    assert not any(count.n or count.bad for count in reading(short).counts["legacy"].values())
    after = look([scrape("a", counters(3, (103, 1), (50, 0)))], short.cursor)
    assert reading(after).counts["legacy"][Side.SOURCE] == Count(n=3, bad=1, buckets={"100": 1})
    anew = look([scrape("a", counters(4, (3, 0), (50, 0)))], after.cursor)
    assert reading(anew).restarted, "a listener that was made anew counts from zero"
    assert reading(anew).counts["legacy"][Side.SOURCE].n == 3


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=12))
def test_short_readings_change_when_requests_are_counted_and_never_how_many(
    steps: list[tuple[int, int, int]],
) -> None:
    total = bad = n = failed = 0
    cursor = look([scrape("a", counters(1, (0, 0), (0, 0)))], {}).cursor
    for at, (more, worse, short) in enumerate([*steps, (0, 0, 0)], start=2):
        total, bad = total + more + worse, bad + worse
        found = look([scrape("a", counters(at, (max(0, total - short), max(0, bad - short)), (0, 0)))], cursor)
        cursor = found.cursor
        count = reading(found).counts.get("legacy", {}).get(Side.SOURCE, Count())
        assert count.bad <= count.n
        n, failed = n + count.n, failed + count.bad
    assert n == total
    assert failed <= bad
