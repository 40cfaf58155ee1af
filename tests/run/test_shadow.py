"""Runs over two real API servers with copies before the first weight."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from landbridge.clients.kinds import LEASE, TRAFFICSPLIT
from landbridge.clock import SystemClock, wait_for
from landbridge.model.journal import Phase, What
from landbridge.model.look import COPIES, read_counts
from landbridge.model.plan import Act, ActKind, Plan
from landbridge.model.service import ServiceId
from tests.run.conftest import Pair
from tests.run.test_runner import Running, plan_of

pytestmark = pytest.mark.api
CLOCK = SystemClock()
HEADER, SHADOW = "landbridge.dev/header-route", "landbridge.dev/shadow"


def with_shadow(plan: Plan, service: ServiceId, dwell: float = 2.0) -> Plan:
    copies = Act(id=f"{service}/shadow", kind=ActKind.SHADOW, args={"percent": 20, "dwell": dwell})
    join, move, *rest = plan.waves

    def acts(old: tuple[Act, ...]) -> tuple[Act, ...]:
        first = next(i for i, act in enumerate(old) if act.kind is ActKind.WEIGHT)
        return (*old[:first], copies, *old[first:])

    services = tuple(replace(e, acts=acts(e.acts)) if e.service == service else e for e in move.services)
    return replace(plan, waves=(join, replace(move, services=services), *rest))


async def notes(pair: Pair, service: ServiceId) -> list[dict[str, str]]:
    found = [await k8s.get(TRAFFICSPLIT, service.name, service.namespace) for k8s in (pair.source, pair.target)]
    return [split["metadata"]["annotations"] for split in found]


async def test_copies_are_judged_before_the_first_weight_and_a_worse_copy_reaches_no_user(
    pair: Pair, tmp_path: Path
) -> None:
    pay, web = await pair.service("pay"), await pair.service("web")
    plan = with_shadow(with_shadow(plan_of(pay, web, weights=(50, 100)), pay), web)
    work = Running(pair, tmp_path, plan)
    work.traffic.bad = {pay: 0.3}
    summary = await work.run()
    assert summary.rolled_back == (pay,)
    assert summary.states[web].phase is Phase.DONE
    assert "copies failed on the target" in summary.states[pay].reason
    assert await pair.weights("pay") == (0, 0)
    with work.journal() as book:
        looks = list(book.looks(pay))
        assert {look["weight"] for look in looks} == {0}, "no user was ever sent there"
        assert any(stratum.startswith(COPIES) for look in looks for stratum in look["counts"])
        assert not any(read_counts(look["counts"]) for look in looks), "copies are nobody's requests"
        weights = [look["weight"] for look in book.looks(web)]
        assert weights == sorted(weights)
        assert set(weights) == {0, 50, 100}
    for found in (*await notes(pair, pay), *await notes(pair, web)):
        assert SHADOW not in found
        assert HEADER not in found  # rolled back, or finished


async def test_a_service_without_safe_requests_goes_on_and_a_dead_runner_leaves_its_lease_to_turn_copies_off(
    pair: Pair, tmp_path: Path
) -> None:
    web = await pair.service("web")
    work = Running(pair, tmp_path, with_shadow(plan_of(web, weights=(50, 100)), web, dwell=600.0))

    async def copying() -> bool:
        return work.traffic.copied > 0

    async with work.beside():
        await wait_for(copying, what="copies", within=60, clock=CLOCK)
    for found in await notes(pair, web):
        assert found["landbridge.dev/run-lease"] == "landbridge-run", "which the agents see running out"
    work.traffic.unsafe = {web}
    work.plan = with_shadow(plan_of(web, weights=(50, 100)), web)
    summary = await work.run()
    assert summary.states[web].phase is Phase.DONE
    with work.journal() as book:
        said = [entry.detail.get("reason", "") for entry in book.entries() if entry.act == f"{web}/shadow"]
    assert any("the copies decide nothing: no request" in text for text in said)


async def test_a_person_takes_a_service_home_while_it_is_copied(pair: Pair, tmp_path: Path) -> None:
    web = await pair.service("web")
    work = Running(pair, tmp_path, with_shadow(plan_of(web), web, dwell=600.0))

    async def copying() -> bool:
        return work.traffic.copied > 0

    async with work.beside() as task:
        await wait_for(copying, what="copies", within=60, clock=CLOCK)
        assert [found[SHADOW] for found in await notes(pair, web)] == ["web-eks=20", "web-leaf=20"]
        assert all(HEADER in found for found in await notes(pair, web))
        with work.journal() as book:
            book.command(What.ROLLBACK, web, "ada", CLOCK.now())
        summary = await asyncio.wait_for(asyncio.shield(task), 120)
    assert summary.states[web].phase is Phase.ROLLED_BACK
    assert not any({SHADOW, HEADER} & set(found) for found in await notes(pair, web))
    assert await pair.weights("web") == (0, 0)
    assert await pair.source.find(LEASE, "landbridge-run", "landbridge") is not None
