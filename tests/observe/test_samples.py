"""Raw samples to looks: deltas by cursor, whatever pods, scrapes, resets and clocks do."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.clients.prometheus import Answer, Series
from landbridge.model.look import Count, Cursor, Look, NoData, Reading
from landbridge.model.service import Route, ServiceId, Side
from landbridge.observe.planes import ISTIO, LINKERD, LINKERD_ROUTES, PLANES, Plane
from landbridge.observe.prometheus import selector
from landbridge.observe.samples import Rules, digest, is_bad

WEB = ServiceId("shop", "web")
ROUTES = [Route(service=WEB, switches=())]
CLUSTERS = {Side.SOURCE: "legacy", Side.TARGET: "eks"}
RULES = Rules(plane=LINKERD, silence=60.0)
EMPTY = Answer((), None)
ZERO = 1_700_000_000.0
"""Prometheus' time at second 0 of a test; our clock is a minute ahead of it."""
SKEW = 60.0


def series(
    points: dict[float, float], backend: str = "web-leaf", *, bad: bool = False, pod: str = "a", **more: str
) -> Series:
    labels = {"__name__": "response_total", "direction": "outbound", "dst_namespace": "shop", "dst_service": backend}
    labels |= {"classification": "failure" if bad else "success", "status_code": "500" if bad else "200", "pod": pod}
    return Series(labels | more, tuple((int((ZERO + at) * 1000), value) for at, value in sorted(points.items())))


def look(
    found: list[Series], cursor: Cursor, *, at: float, other: list[Series] | None = None, rules: Rules = RULES
) -> Look:
    answers = {Side.SOURCE: Answer(tuple(found), ZERO + at), Side.TARGET: Answer(tuple(other or ()), ZERO + at)}
    return digest(ROUTES, answers, cursor, rules=rules, names=CLUSTERS, now=ZERO + at + SKEW)


def reading(found: Look) -> Reading:
    answer = found.readings[WEB]
    assert isinstance(answer, Reading), answer
    return answer


def total(found: Look) -> tuple[int, int]:
    if isinstance(found.readings[WEB], NoData):
        return 0, 0
    counts = [c for sides in reading(found).counts.values() for c in sides.values()]
    return sum(c.n for c in counts), sum(c.bad for c in counts)


def test_the_first_look_is_the_baseline_and_the_next_counts_both_sides_and_failures() -> None:
    steady = {0.0: 100.0, 10.0: 150.0, 20.0: 190.0}
    first = look([series({0.0: 100.0}), series({0.0: 7.0}, "web-eks")], {}, at=1)
    assert total(first) == (0, 0)
    found = [series(steady), series({0.0: 7.0, 10.0: 9.0, 20.0: 12.0}, "web-eks"), series({20.0: 3.0}, bad=True)]
    second = reading(look(found, first.cursor, at=21))
    assert second.counts == {"legacy": {Side.SOURCE: Count(n=93, bad=3), Side.TARGET: Count(n=5)}}
    assert not second.restarted


def test_backends_are_sides_as_each_cluster_sees_them() -> None:
    first = look([series({0.0: 0.0})], {}, at=1, other=[series({0.0: 0.0}), series({0.0: 0.0}, "web-legacy")])
    found = look([series({0.0: 0.0, 10.0: 6.0})], first.cursor, at=11,
                 other=[series({0.0: 0.0, 10.0: 2.0}), series({0.0: 0.0, 10.0: 5.0}, "web-legacy")])  # fmt: skip
    assert {k: {s: c.n for s, c in v.items()} for k, v in reading(found).counts.items()} == {
        "legacy": {Side.SOURCE: 6},
        "eks": {Side.TARGET: 2, Side.SOURCE: 5},
    }


def test_duplicated_and_late_answers_count_nothing() -> None:
    new = [series({0.0: 0.0, 10.0: 30.0})]
    first = look([series({0.0: 0.0})], {}, at=1)
    second = look(new, first.cursor, at=11)
    assert total(second) == (30, 0)
    for late in (new, [series({0.0: 0.0})], [series({-10.0: 0.0, 0.0: 0.0})]):
        again = look(late, second.cursor, at=12)
        assert total(again) == (0, 0)
        assert look([series({10.0: 30.0, 20.0: 31.0})], again.cursor, at=21).readings[WEB] == Reading(
            service=WEB, counts={"legacy": {Side.SOURCE: Count(n=1)}}, until=ZERO + 20 + SKEW - 1.0 - 0.0
        )


def test_a_counter_that_went_back_counts_from_zero_and_says_so_also_if_it_has_passed_its_old_value() -> None:
    first = look([series({0.0: 100.0})], {}, at=1)
    found = look([series({0.0: 100.0, 10.0: 7.0, 20.0: 120.0})], first.cursor, at=21)
    assert total(found) == (120, 0)
    assert reading(found).restarted


def test_a_pod_that_is_new_and_a_first_request_to_the_target_count_from_zero() -> None:
    first = look([series({0.0: 100.0})], {}, at=1)
    old = {0.0: 100.0, 10.0: 100.0, 20.0: 100.0}
    found = look([series(old), series({20.0: 9.0}, pod="b"), series({20.0: 4.0}, "web-eks")], first.cursor, at=21)
    assert {s: c.n for s, c in reading(found).counts["legacy"].items()} == {Side.SOURCE: 9, Side.TARGET: 4}
    assert not reading(found).restarted


def test_series_that_prometheus_had_long_before_but_was_not_asked_for_are_a_baseline() -> None:
    """Labels were changed, or another path leads to it now: its count is not what was done since the last look."""
    first = look([series({float(t): 100.0 for t in range(-60, 1, 10)})], {}, at=1)
    late = series({float(t): 5000.0 for t in range(-60, 11, 10)}, pod="c")
    found = look([series({0.0: 100.0, 10.0: 101.0}), late], first.cursor, at=11)
    assert total(found) == (1, 0)
    assert total(look([replace(late, samples=(*late.samples, (int((ZERO + 20) * 1000), 5002.0)))],
                      found.cursor, at=21)) == (2, 0)  # fmt: skip


def test_a_service_that_is_asked_for_later_begins_with_a_baseline() -> None:
    cart = ServiceId("shop", "cart")
    first = look([series({0.0: 100.0})], {}, at=1)
    answers = {Side.SOURCE: Answer((series({0.0: 900.0, 10.0: 901.0}, "cart"),), ZERO + 11), Side.TARGET: EMPTY}
    routes = [*ROUTES, Route(service=cart, switches=())]
    second = digest(routes, answers, first.cursor, rules=RULES, names=CLUSTERS, now=ZERO + 11 + SKEW)
    assert second.readings[cart] == Reading(
        service=cart, counts={"legacy": {Side.SOURCE: Count()}}, until=ZERO + 10 + SKEW - 1
    )


def test_a_gap_longer_than_what_was_asked_for_is_a_restart_and_counts_nothing_of_it() -> None:
    first = look([series({0.0: 100.0})], {}, at=1)
    found = look([series({500.0: 900.0, 510.0: 903.0})], first.cursor, at=511)
    assert total(found) == (3, 0)
    assert reading(found).restarted


def test_another_replicas_scrapes_are_not_counted_twice() -> None:
    first = look([series({0.0: 0.0, 10.0: 100.0})], {}, at=11)
    other = series({3.0: 30.0, 13.0: 130.0, 23.0: 230.0})
    found = look([other], first.cursor, at=24)
    assert total(found) == (100, 0)
    assert not reading(found).restarted


def test_silence_is_no_data_by_our_clock_and_ends_when_samples_come() -> None:
    found = look([series({0.0: 1.0, 10.0: 2.0})], {}, at=11)
    for at in (30, 71):
        found = look([series({0.0: 1.0, 10.0: 2.0})], found.cursor, at=at)
        assert isinstance(found.readings[WEB], Reading)
    found = look([series({0.0: 1.0, 10.0: 2.0})], found.cursor, at=72)
    assert found.readings[WEB] == NoData(service=WEB, reason="Prometheus has had no new sample for 61 s")
    found = look([series({10.0: 2.0, 80.0: 5.0})], found.cursor, at=81)
    assert total(found) == (3, 0)


def test_no_series_at_all_is_no_data() -> None:
    assert look([], {}, at=1).readings[WEB] == NoData(service=WEB, reason="Prometheus knows no request to it")


def test_a_prometheus_that_does_not_answer_is_no_data_and_nothing_is_lost() -> None:
    first = look([series({0.0: 1.0})], {}, at=1)
    answers: dict[Side, Answer | str] = {Side.SOURCE: "it is down", Side.TARGET: EMPTY}
    silent = digest(ROUTES, answers, first.cursor, rules=RULES, names=CLUSTERS, now=ZERO + 10)
    assert silent.readings[WEB] == NoData(service=WEB, reason="legacy: it is down")
    assert silent.cursor == first.cursor
    assert total(look([series({0.0: 1.0, 10.0: 9.0, 20.0: 12.0})], silent.cursor, at=21)) == (11, 0)


def test_until_is_the_oldest_living_caller_on_our_clock() -> None:
    slow, fast = series({0.0: 1.0, 10.0: 1.0, 20.0: 1.0}), series({5.0: 1.0, 15.0: 1.0, 25.0: 1.0}, pod="b")
    gone = series({-30.0: 1.0, -20.0: 1.0, -10.0: 1.0}, pod="c")
    assert reading(look([slow, fast, gone], {}, at=26)).until == pytest.approx(ZERO + 20 + SKEW - 1.0)


def test_slower_than_each_bound() -> None:
    def bucket(le: str, points: dict[float, float]) -> Series:
        return series(points, __name__="response_latency_ms_bucket", le=le)

    before = [series({0.0: 10.0}), bucket("100", {0.0: 8.0}), bucket("+Inf", {0.0: 10.0})]
    first = look(before, {}, at=1)
    after = [series({0.0: 10.0, 10.0: 30.0}), bucket("100.0", {0.0: 8.0, 10.0: 23.0}),
             bucket("+Inf", {0.0: 10.0, 10.0: 30.0}), bucket("strange", {10.0: 1.0})]  # fmt: skip
    found = reading(look(after, first.cursor, at=11))
    assert found.counts["legacy"][Side.SOURCE] == Count(n=20, buckets={"100": 5})


def test_strata_are_callers_as_the_data_has_them() -> None:
    rules = replace(RULES, strata=("deployment",))
    pair = [series({0.0: 0.0}, deployment="front"), series({0.0: 0.0}, deployment="cron")]
    first = look(pair, {}, at=1, rules=rules)
    grown = [series({0.0: 0.0, 10.0: 3.0}, deployment="front"), series({0.0: 0.0, 10.0: 4.0}, deployment="cron")]
    found = reading(look(grown, first.cursor, at=11, rules=rules))
    assert {k: v[Side.SOURCE].n for k, v in found.counts.items()} == {"legacy/front": 3, "legacy/cron": 4}


@given(st.integers(0, 2**32), st.lists(st.sampled_from(["look", "twice", "fail", "late"]), max_size=20))
def test_the_deltas_sum_to_what_was_counted_whenever_one_looks(seed: int, hows: list[str]) -> None:
    """Three callers' pods, two sides, scraped at moments of their own; answers come twice, late or not at all."""
    rng = random.Random(seed)
    grown = {(pod, backend, bad): [(0.0, 0.0)] for pod in "abc" for backend in ("web", "web-eks") for bad in (0, 1)}
    for pod in "abc":
        at = rng.uniform(0, 10)
        while at < 400:
            at += 10.0
            for (whose, _, _), points in grown.items():
                if whose == pod:
                    points.append((at, points[-1][1] + rng.randrange(5)))

    def scraped(at: float, since: float) -> list[Series]:
        """Series appear with their first count above 0, as counters in programs do; one silence more is asked for."""
        found = []
        for (pod, backend, bad), points in grown.items():
            seen = {when: value for when, value in points if since - 60 < when <= at and (value > 0 or when == 0)}
            if seen:
                found.append(series(seen, backend, bad=bool(bad), pod=pod))
        return found

    cursor, last = look(scraped(0.0, 0.0), {}, at=1).cursor, 0.0
    seen = [0, 0]
    for at, how in enumerate([*hows, "look"], 1):
        now = at * 19.0
        if how == "fail":
            continue
        for moment in {"look": [now], "twice": [now, now], "late": [now, last]}[how]:
            found = look(scraped(moment, last), cursor, at=now)
            cursor = found.cursor
            seen = [a + b for a, b in zip(seen, total(found), strict=True)]
        last = now
    end = {key: [value for when, value in points if when <= last][-1] for key, points in grown.items()}
    assert seen == [sum(end.values()), sum(value for (_, _, bad), value in end.items() if bad)]


@pytest.mark.parametrize(
    ("plane", "labels", "bad"),
    [
        (LINKERD, {"classification": "failure"}, True),
        (LINKERD, {"classification": "success", "status_code": "404"}, False),
        (LINKERD_ROUTES, {"http_status": "503", "error": ""}, True),
        (LINKERD_ROUTES, {"http_status": "", "error": "REQUEST_TIMEOUT"}, True),
        (LINKERD_ROUTES, {"grpc_status": "UNAVAILABLE", "error": ""}, True),
        (LINKERD_ROUTES, {"grpc_status": "NOT_FOUND", "error": ""}, False),
        (ISTIO, {"response_code": "500"}, True),
        (ISTIO, {"response_code": "200", "grpc_response_status": "14"}, True),
        (ISTIO, {"response_code": "200", "grpc_response_status": "5"}, False),
        (ISTIO, {"response_code": "1500"}, False),
    ],
)
def test_what_each_plane_calls_bad(plane: Plane, labels: dict[str, Any], bad: bool) -> None:
    assert is_bad(labels, plane.bad) is bad


@pytest.mark.parametrize("plane", PLANES.values(), ids=list(PLANES))
def test_one_selector_names_everything(plane: Plane) -> None:
    text = selector(plane, [WEB, ServiceId("pay", "cards")], Side.SOURCE, CLUSTERS, {"cluster": 'a"b\\c'})
    assert text.startswith("{")
    assert text.endswith("}")
    assert all(name in text for name in (*plane.requests, *plane.latency))
    assert '=~"cards|cards-eks|cards-leaf|web|web-eks|web-leaf"' in text
    assert "web-legacy" not in text
    assert '"pay|shop"' in text
    assert r'cluster="a\"b\\c"' in text
