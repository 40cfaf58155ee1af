"""The benchmark beside Flagger: what it reads of the load, what it says, and what it puts into the cluster."""

from __future__ import annotations

import asyncio
import importlib
import json
from dataclasses import replace
from typing import Any

import pytest
from benchmarks.flagger import objects, ours, report
from benchmarks.flagger.cases import DOCS, EAGER, FAULTS, LANDBRIDGE, STEPS, Case, End, Rule, Run, cases, read
from benchmarks.flagger.metrics import NAMES, exposition
from benchmarks.flagger.report import Measured
from benchmarks.flagger.theirs import BLIND, halts
from hypothesis import given
from hypothesis import strategies as st

from landbridge.agent.split import declared
from landbridge.translate.adoption import not_adoptable
from landbridge.translate.kubernetes import transform
from landbridge.translate.rules import Keep

RULES = (LANDBRIDGE, DOCS, EAGER)
COUNTS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=40)


def line(at: float, name: str, old: int, new: int, bad: int, other: int) -> dict[str, Any]:
    sides = {side: n for side, n in (("old", old), ("new", new)) if n}
    count = {"requests": old + new + other, "failed": other, "failed_by_broken_copy": bad, "sides": sides}
    return {"line": "second", "seconds": at, "targets": {name: count}}


@given(grown=COUNTS)
def test_a_run_has_the_last_totals_and_the_time_between_first_and_last_answer(
    grown: list[tuple[int, int, int]],
) -> None:
    case, new, bad, other, lines = Case(rule=DOCS, fault=5, number=1), 0, 0, 0, []
    for second, (more_new, more_bad, more_other) in enumerate(grown):
        new, bad, other = new + more_new, bad + min(more_new, more_bad), other + more_other
        lines.append(line(float(second), case.name, 100 * second, new, bad, other))
    run = read(case, End.BACK, lines)
    assert (run.served, run.bad, run.other) == (new, bad, other)
    moving = [second for second, (more, _, _) in enumerate(grown) if more]
    assert run.seconds == (moving[-1] - moving[0] if moving else 0.0)


def test_every_ramp_has_a_name_of_its_own_and_both_have_a_control() -> None:
    found = cases(RULES, FAULTS, 3)
    assert len({case.name for case in found}) == len(found) == 3 * 2 * 3 + 2
    assert {case.rule.flagger for case in found if not case.fault} == {True, False}


def test_flaggers_exposure_is_the_formulas() -> None:
    assert DOCS.expected(200, 50) == 3600  # delivery: 360 at a first weight of 1 %
    assert EAGER.expected(40, 5) == 4
    assert LANDBRIDGE.expected(40, 5) is None


def run(rule: Rule, fault: int, bad: int, end: End | None = None, number: int = 1, other: int = 0) -> Run:
    case = Case(rule=rule, fault=fault, number=number)
    ended = end or (End.BACK if fault else End.ACROSS)
    return Run(case=case, end=ended, requests=1000, served=100, bad=bad, other=other, seconds=60.0)


def measured(*runs: Run) -> Measured:
    return Measured(runs=runs, rules=RULES, faults=FAULTS, rate=40.0, seconds=600.0, cores=2, halts={})


def test_the_goal_is_a_tenth_of_flaggers_at_five_percent() -> None:
    good = report.goal(measured(run(LANDBRIDGE, 5, 7), run(DOCS, 5, 70), run(EAGER, 5, 1)))
    assert good.holds
    assert good.limit == 7.0
    assert not report.goal(measured(run(LANDBRIDGE, 5, 8), run(DOCS, 5, 70))).holds


def test_nothing_measured_and_nothing_rolled_back_keep_no_goal() -> None:
    assert not report.goal(measured()).holds
    assert not report.goal(measured(run(LANDBRIDGE, 5, 0, End.ACROSS), run(DOCS, 5, 70))).holds
    assert not report.goal(measured(run(LANDBRIDGE, 5, 3))).holds


@pytest.mark.parametrize(
    "odd",
    [run(DOCS, 5, 70, End.OPEN), run(DOCS, 50, 70, End.ACROSS), run(EAGER, 0, 0, End.BACK), run(DOCS, 5, 9, other=1)],
)
def test_what_must_not_happen_is_said(odd: Run) -> None:
    assert report.wrong(measured(run(LANDBRIDGE, 5, 3), odd)) != []
    assert report.wrong(measured(run(LANDBRIDGE, 5, 3), run(DOCS, 5, 70), run(EAGER, 0, 0))) == []


def test_flaggers_log_says_why_checks_failed() -> None:
    said = (
        "Halt fd-5-1.bench-flagger advancement error-rate 5.21 > 1",
        "Halt fd-5-1.bench-flagger advancement latency 2.00 > 1",
        "Halt advancement no values found for custom metric: error-rate: no values found",
        "Metric query failed for error-rate: dial tcp",
        "Advance fd-5-1.bench-flagger canary weight 10",
    )
    found = halts(["I1128 klog's own", *(json.dumps({"level": "info", "msg": text}) for text in said)])
    assert found == {"error-rate": 1, "latency": 1, BLIND: 2}
    blind = replace(measured(run(LANDBRIDGE, 5, 3)), halts=found)
    assert report.wrong(blind) == ["2 of Flagger's checks failed for want of values"]


def test_page_and_document_say_every_run() -> None:
    full = measured(*(run(c.rule, c.fault, 1 + c.number, number=c.number) for c in cases(RULES, FAULTS, 3)))
    page = report.page(full)
    table = [row for row in page.splitlines() if row.startswith(("| landbridge", "| Flagger"))]
    assert len(table) == 3 * 2 + 2
    assert all("2, 3, 4" in row for row in table[:6])
    assert "{" not in page.replace("{{ ", "").split("```")[0]
    assert "{{ interval }}" in page
    assert len(json.loads(json.dumps(report.document(full)))["runs"]) == 20


def test_the_time_covers_every_failing_check_of_the_slowest_rule() -> None:
    assert DOCS.longest >= DOCS.interval * (DOCS.threshold + 2)


def test_the_waypoints_counters_become_prometheus_text() -> None:
    side = {"total": 7, "bad": 2, "active": 0, "fallbacks": 0, "silent": 0, "slower_ms": {"500": 1}}
    route = {"protocol": "http", "weights": {"x-canary": 10}, "backends": {"x-canary": side}}
    text = exposition([{"pod": 'a"b', "namespace": "n", "routes": {"n/x:80": route}}])
    labels = '{namespace="n",pod="a\\"b",route="n/x:80",backend="x-canary"}'
    assert [row for row in text.splitlines() if not row.startswith("#")] == [
        f"{name}{labels} {value}" for name, value in zip(NAMES, (7, 2, 1), strict=True)
    ]
    assert text.endswith("\n")


def test_queries_have_flaggers_variables_and_names_that_are_exported() -> None:
    for _, query, _ in objects.METRICS:
        assert query.count('namespace="{{ namespace }}",backend="{{ target }}-canary"}[{{ interval }}]') == 2
        assert sum(name in query for name in NAMES) == 2


def test_a_route_that_flagger_writes_divides_what_callers_call() -> None:
    case = Case(rule=DOCS, fault=5, number=1)
    spec = objects.canary(case)["spec"]
    refs = [{"name": f"{case.name}-{which}", "port": 80, "weight": w} for which, w in (("primary", 90), ("canary", 10))]
    route = {
        "metadata": {"name": case.name},
        "spec": {"parentRefs": spec["service"]["gatewayRefs"], "rules": [{"backendRefs": refs}]},
    }
    split = declared(objects.called(case), [], [route])
    assert split
    assert split.weights == {80: {f"{case.name}-primary": 90, f"{case.name}-canary": 10}}
    assert (spec["analysis"]["stepWeight"], spec["analysis"]["maxWeight"]) == (STEPS[0], STEPS[-1])
    assert not_adoptable(objects.service(case), neighbours=[objects.canary(case)]) is None


def test_both_make_the_same_new_copy() -> None:
    case = Case(rule=LANDBRIDGE, fault=5, number=2)
    copied = transform(objects.deployment(case, "image"), ours.rules([case]))
    assert isinstance(copied, Keep)
    released = objects.deployment(case, "image", objects.fail_of(case))
    told = [m["spec"]["template"]["spec"]["containers"][0]["env"] for m in (copied.manifest, released)]
    assert told[0] == told[1]
    assert {"name": "FAIL", "value": "0.05"} in told[0]


def test_landbridges_ramp_has_flaggers_weights() -> None:
    made = ours.plan([Case(rule=LANDBRIDGE, fault=f, number=1) for f in (5, 0)], "legacy", "eks")
    for service in made.waves[1].services:
        weights = [act.args["percent"] for act in service.acts if "percent" in act.args]
        assert weights == [*STEPS, 100]


async def test_the_new_copy_fails_its_share_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask(fail: str) -> tuple[int, int]:
        monkeypatch.setenv("FAIL", fail)
        monkeypatch.setenv("NAME", "x")
        server = importlib.reload(importlib.import_module("benchmarks.flagger.server"))
        serving = await asyncio.get_running_loop().create_server(server.Server, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*serving.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\n\r\n" * 400 + b"GET /ready HTTP/1.1\r\nconnection: close\r\n\r\n")
        text = b""
        while text.count(b"\r\n\r\nok") < 401:
            text += await reader.read(65536)
        writer.close()
        serving.close()
        return text.count(b"x-broken-copy: x@new"), text.count(b"x-served-by: new")

    assert await ask("") == (0, 0)
    assert await ask("0") == (0, 401)
    assert (await ask("1")) == (400, 401)
    bad, new = await ask("0.5")
    assert 120 < bad < 280
    assert new == 401
