"""The arithmetic of the benchmarks: quantiles, sums of loads, limits and what does not hold."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from benchmarks.figures import Figure, Tally, quantile, quantile_of, together
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import flips, gateway, inventory, rollback, weights

VALUES = st.lists(st.integers(0, 1000), min_size=1, max_size=300)
SHARES = st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0])
TALLIES = st.lists(
    st.builds(
        Tally,
        outcomes=st.dictionaries(st.sampled_from(["200", "503", "reset"]), st.integers(1, 100)),
        micros=st.dictionaries(st.integers(0, 5000).map(float), st.integers(1, 100)),
        seconds=st.floats(0.1, 10),
    ),
    min_size=1,
    max_size=5,
)


def tally(micros: Mapping[float, int], failed: int = 0) -> Tally:
    ended = {"200": sum(micros.values()) - failed, "503": failed}
    return Tally(outcomes={how: count for how, count in ended.items() if count}, micros=micros, seconds=2.0)


@given(values=VALUES, share=SHARES)
def test_a_quantile_is_the_least_value_that_covers_its_share(values: list[int], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6
    assert sum(value < found for value in values) < share * len(values)
    assert quantile_of(Counter(values), share) == found


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (100, 99), (101, 100), (200, 198), (1000, 990)])
def test_the_99th_percentile_by_nearest_rank(count: int, rank: int) -> None:
    assert quantile(range(1, count + 1), 0.99) == rank


def test_no_sample_keeps_no_limit() -> None:
    nothing = quantile([], 0.99)
    assert math.isnan(nothing)
    assert not Figure(benchmark="x", what="y", value=nothing, limit=1.0).holds


@given(value=st.floats(0, 1e6), limit=st.floats(0, 1e6))
def test_a_figure_holds_up_to_its_limit_and_says_so(value: float, limit: float) -> None:
    figure = Figure(benchmark="x", what="y", value=value, unit="ms", limit=limit)
    assert figure.holds == (value <= limit) == figure.document()["holds"]
    assert ("DOES NOT HOLD" in figure.line()) != figure.holds


@given(TALLIES)
def test_rounds_together_lose_nothing(tallies: list[Tally]) -> None:
    whole = together(tallies)
    assert whole.requests == sum(each.requests for each in tallies)
    assert whole.failed == sum(each.failed for each in tallies)
    assert sum(whole.micros.values()) == sum(sum(each.micros.values()) for each in tallies)
    assert whole.seconds == pytest.approx(sum(each.seconds for each in tallies))


@pytest.mark.parametrize(("slowest", "holds"), [(0.090, True), (0.091, False)])
def test_a_rollback_may_take_three_times_both_peers(slowest: float, *, holds: bool) -> None:
    times = rollback.Times(rollback=[0.010] * 97 + [slowest] * 3, api=[0.020] * 100, envoy=[0.010] * 100)
    last = rollback.figures(times)[-1]
    assert last.limit == pytest.approx(90.0)
    assert last.holds is holds


@pytest.mark.parametrize(("micros", "holds"), [(2200.0, True), (2201.0, False)])
def test_our_way_across_may_be_a_tenth_slower(micros: float, *, holds: bool) -> None:
    part = {"test bed": tally({100.0: 100}), "ours": tally({1000.0: 98, micros: 2}), "by hand": tally({2000.0: 100})}
    ratio = gateway.figures([part, part], 2)[-1]
    assert ratio.value == pytest.approx(micros / 2000)
    assert ratio.holds is holds


def test_parts_of_a_busy_machine_do_not_count_and_too_few_quiet_ones_are_told() -> None:
    calm = {"test bed": tally({100.0: 100}), "ours": tally({1000.0: 100}), "by hand": tally({1000.0: 100})}
    busy = calm | {"test bed": tally({100.0: 90, 9000.0: 10}), "ours": tally({5000.0: 100})}
    ratio = gateway.figures([calm, busy], 1)[-1]
    assert (ratio.value, ratio.holds) == (1.0, True)
    told = gateway.figures([calm, busy], 2)[-1]
    assert told.value == 5.0
    assert "BUSY" in told.why


@pytest.mark.parametrize(
    ("failed", "executed", "written", "broken"),
    [
        (0, 100, 20, set()),
        (1, 100, 20, {"failed requests"}),
        (0, 101, 20, {"requests executed twice or never"}),
        (0, 100, 18, {"time from one change to the next"}),
    ],
)
def test_a_failed_or_doubled_request_or_rare_changes_break_the_weights(
    failed: int, executed: int, written: int, broken: set[str]
) -> None:
    changes = weights.Changes(written=written, seconds=2.0, obeyed=written)
    counted = {"local": executed - 40, "remote": 40}
    found = list(weights.figures(100, tally({500.0: 100}, failed), counted, changes))
    assert {figure.what for figure in found if not figure.holds} == broken


def test_requests_that_were_never_made_break_the_weights() -> None:
    changes = weights.Changes(written=20, seconds=2.0, obeyed=20)
    found = list(weights.figures(200, tally({500.0: 100}), {"local": 100}, changes))
    assert [figure.what for figure in found if not figure.holds] == ["requests missing"]


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({}, set()),
        ({"failed": 1}, {"failed requests"}),
        ({"legacy": (499, 500, 1)}, {"requests that crossed more than once"}),
        ({"legacy": (500, 501, 0)}, {"requests missing or executed twice"}),
        ({"legacy": (500, 499, 0)}, {"requests missing or executed twice"}),
        ({"legacy": (1000, 0, 0)}, {"sides that never served their own, or never across"}),
        ({"flips": 9}, {"missing flips"}),
        ({"controls": 3}, {"controls not counted as crossing twice"}),
        ({"seconds": 2.1}, {"requests/s short of 500 from a side"}),
    ],
)
def test_what_breaks_the_flips(change: dict[str, Any], broken: set[str]) -> None:
    load = tally({500.0: 1000}, change.get("failed", 0))
    slower = replace(load, seconds=change.get("seconds", 2.0))
    run = flips.Run(
        flips=change.get("flips", 10),
        seconds=2.0,
        obeyed=[0.1] * 20,
        crossed={"legacy": change.get("legacy", (500, 500, 0)), "eks": (300, 700, 0)},
        controls=change.get("controls", 4),
    )
    found = list(flips.figures(10, run, [load, slower]))
    assert {figure.what for figure in found if not figure.holds} == broken


@pytest.mark.parametrize(("seconds", "holds"), [(1.5, True), (1.51, False)])
def test_the_plan_may_take_half_as_long_again_as_the_list(seconds: float, *, holds: bool) -> None:
    times = [(1.2, 0.6, 9.0), (1.0, 0.5, seconds), (3.0, 0.7, 1.2)]
    turns = [{"list": (a, 10_000), "rested": (b, 10_000), "plan": (c, 1)} for a, b, c in times]
    *_, ratio, rested = inventory.figures(turns)
    assert (ratio.holds, ratio.value) == (holds, seconds)
    assert ratio.why == "median of 3 turns; of the quickest 1.20"
    assert (rested.value, rested.limit) == (1.2 / 0.5, None)
