"""Whole runs over two real API servers, with traffic that a provider makes up from the live splits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from landbridge.clients.kinds import DEPLOYMENT, HPA, LEASE, TRAFFICSPLIT
from landbridge.clock import SystemClock, wait_for
from landbridge.errors import DriftError, Exit
from landbridge.model.journal import Phase, What
from landbridge.model.plan import Act, ActKind, Bounds, Plan, ServicePlan, Wave
from landbridge.model.service import ServiceId
from landbridge.run import expiry
from landbridge.run.journal import Journal
from landbridge.run.runner import Summary, rehearse, run
from landbridge.run.status import read_status
from landbridge.run.turns import Event
from tests.run.conftest import Pair
from tests.run.traffic import Traffic

pytestmark = pytest.mark.api
CLOCK = SystemClock()


def plan_of(*services: ServiceId, dwell: float = 2.0, weights: tuple[int, ...] = (5, 50, 95, 100)) -> Plan:
    def act(service: ServiceId, kind: ActKind, name: str = "", **args: object) -> Act:
        return Act(id=f"{service}/{name or kind.value}", kind=kind, args=args)

    def moving(service: ServiceId) -> tuple[Act, ...]:
        before = (act(service, ActKind.READY, within=5), act(service, ActKind.PIN))
        steps = tuple(act(service, ActKind.WEIGHT, f"weight-{w}", percent=w, dwell=dwell) for w in weights)
        return (*before, *steps, act(service, ActKind.FINISH), act(service, ActKind.SOAK, seconds=1))

    join = tuple(ServicePlan(service=s, acts=(act(s, ActKind.SPLIT),)) for s in services)
    move = tuple(ServicePlan(service=s, acts=moving(s)) for s in services)
    leave = tuple(ServicePlan(service=s, acts=(act(s, ActKind.UNPIN),)) for s in services)
    waves = (Wave(name="join", services=join), Wave(name="move", services=move), Wave(name="leave", services=leave))
    return Plan(source="legacy", target="eks", waves=waves, bounds=Bounds(max_hold_dwells=10))


class Running:
    """One migration's folder, its plan and its traffic."""

    def __init__(self, pair: Pair, folder: Path, plan: Plan) -> None:
        self.pair = pair
        self.folder = folder
        self.plan = plan
        self.traffic = Traffic(pair.source, pair.target, CLOCK)
        self.events: list[Event] = []

    async def run(self, *, wait: bool = False) -> Summary:
        return await run(
            self.folder,
            lambda: self.plan,
            self.pair.source,
            self.pair.target,
            provider=self.traffic,
            tell=self.events.append,
            wait=wait,
        )

    def journal(self) -> Journal:
        return Journal(self.folder / ".landbridge" / "journal.db")

    @asynccontextmanager
    async def beside(self, *, wait: bool = False) -> AsyncIterator[asyncio.Task[Summary]]:
        task = asyncio.create_task(self.run(wait=wait))
        try:
            yield task
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def until(self, what: Callable[[], Awaitable[bool]]) -> None:
        await wait_for(what, what="what the test waits for", within=40, clock=CLOCK)

    async def at(self, service: ServiceId, percent: int) -> None:
        async def there() -> bool:
            split = await self.pair.source.find(TRAFFICSPLIT, service.name, service.namespace)
            return split is not None and await self.pair.weights(service.name) == (percent, percent)

        await self.until(there)


async def test_a_service_goes_across_and_home_and_across_again(pair: Pair, tmp_path: Path) -> None:
    web = await pair.service("web")
    work = Running(pair, tmp_path, plan_of(web))
    hpa = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 5}
    for k8s in (pair.source, pair.target):
        await k8s.create(pair.manifest("HorizontalPodAutoscaler", "web", hpa, HPA.api_version))
    summary = await work.run()
    assert summary.error() is None
    assert summary.states[web].phase is Phase.DONE
    assert await pair.weights("web") == (100, 100)
    split = await pair.source.get(TRAFFICSPLIT, "web", pair.namespace)
    assert "landbridge.dev/run-lease" not in split["metadata"]["annotations"]
    assert split["metadata"]["annotations"]["landbridge.dev/home"] == "web-eks"
    assert (await pair.source.get(HPA, "web", pair.namespace))["spec"].get("minReplicas") == 1
    with work.journal() as book:
        book.command(What.ROLLBACK, None, "ada", CLOCK.now())
        said = {e.detail["note"] for e in book.entries() if "note" in e.detail}
        looks = list(book.looks(web))
    assert {look["weight"] for look in looks} == {5, 50, 95, 100}
    assert not said
    summary = await work.run()
    assert summary.error() is None
    assert summary.states[web].phase is Phase.ROLLED_BACK
    assert await pair.weights("web") == (0, 0)
    summary = await work.run()
    assert summary.states[web].phase is Phase.DONE
    assert summary.states[web].attempt == 2
    lease = await pair.source.get(LEASE, "landbridge-run", "landbridge")
    assert lease["spec"]["holderIdentity"] == ""


async def test_a_broken_copy_is_taken_home_and_the_others_go_on(pair: Pair, tmp_path: Path) -> None:
    pay, web = await pair.service("pay"), await pair.service("web")
    work = Running(pair, tmp_path, plan_of(pay, web))
    work.traffic.bad[pay] = 0.2
    summary = await work.run()
    assert summary.rolled_back == (pay,)
    error = summary.error()
    assert error is not None
    assert error.exit_code is Exit.ROLLED_BACK
    assert summary.states[web].phase is Phase.DONE
    assert await pair.weights("pay") == (0, 0)
    with work.journal() as book:
        verdicts = [look for look in book.looks(pay) if look["verdict"] == "roll back"]
    assert len(verdicts) == 1
    assert "requests failed on the target" in verdicts[0]["reason"]
    work.traffic.bad.clear()
    assert (await work.run()).states[pay].phase is Phase.DONE


async def test_a_foreign_weight_stops_the_service_and_names_the_writer(pair: Pair, tmp_path: Path) -> None:
    web = await pair.service("web")
    work = Running(pair, tmp_path, plan_of(web, dwell=30))
    async with work.beside() as task:
        await work.at(web, 5)
        split = await pair.source.get(TRAFFICSPLIT, "web", pair.namespace)
        for backend in split["spec"]["backends"]:
            backend["weight"] = 50
        spec = {"spec": {"backends": split["spec"]["backends"]}}
        await pair.source.patch(TRAFFICSPLIT, "web", spec, pair.namespace, manager="kubectl-edit")
        summary = await task
    assert summary.states[web].phase is Phase.DRIFTED
    error = summary.error()
    assert isinstance(error, DriftError)
    assert "kubectl-edit" in error.what


async def test_silence_holds_and_then_waits_for_a_person(pair: Pair, tmp_path: Path) -> None:
    web = await pair.service("web")
    work = Running(pair, tmp_path, plan_of(web, weights=(5, 95, 100), dwell=1.0))
    work.plan = replace(work.plan, bounds=replace(work.plan.bounds, max_hold_dwells=3))
    work.traffic.silent.add(web)
    summary = await work.run()
    assert summary.states[web].phase is Phase.HELD
    assert "no data" in summary.states[web].reason
    error = summary.error()
    assert error is not None
    assert error.exit_code is Exit.WAITING
    assert await pair.weights("web") == (5, 5)
    work.traffic.silent.clear()
    work.plan = replace(work.plan, bounds=replace(work.plan.bounds, max_hold_dwells=30))
    assert (await work.run()).states[web].phase is Phase.DONE


async def test_a_run_that_waits_stays_and_watches_until_a_person_has_decided(pair: Pair, tmp_path: Path) -> None:
    web = await pair.service("web")
    work = Running(pair, tmp_path, plan_of(web, weights=(5, 95, 100), dwell=1.0))
    work.plan = replace(work.plan, bounds=replace(work.plan.bounds, max_hold_dwells=3))
    work.traffic.silent.add(web)
    async with work.beside(wait=True) as task:

        async def held() -> bool:
            with work.journal() as book:
                found = book.state(web)
            return found is not None and found[1].phase is Phase.HELD

        await work.until(held)
        looks = work.traffic.looks

        async def watched() -> bool:
            return work.traffic.looks > looks + 2

        await work.until(watched)
        assert not task.done()
        with work.journal() as book:
            assert expiry.find(book, work.plan, read_status(book, work.plan, CLOCK.now()).rows) is not None
            book.command(What.ROLLBACK, web, "ada", CLOCK.now())
        summary = await task
    assert summary.states[web].phase is Phase.ROLLED_BACK
    assert summary.error() is None
    with work.journal() as book:
        assert book.fact(expiry.GONE) is not None
        assert expiry.find(book, work.plan, read_status(book, work.plan, CLOCK.now()).rows) is None


async def test_a_waypoint_that_does_not_obey_holds_the_weight(pair: Pair, tmp_path: Path) -> None:
    """waypoint.md 13.10: disagreement between waypoints is a failed share check."""
    web = await pair.service("web")
    work = Running(pair, tmp_path, plan_of(web, weights=(50, 95, 100), dwell=1.0))
    work.plan = replace(work.plan, bounds=replace(work.plan.bounds, max_hold_dwells=3))
    work.traffic.stuck[web] = 0
    summary = await work.run()
    assert summary.states[web].phase is Phase.HELD
    assert "waypoint waypoint-eks obeys 0 %, not 50 %" in summary.states[web].reason
    assert await pair.weights("web") == (50, 50)


async def test_a_new_image_holds_until_it_is_ready_and_judged_again(pair: Pair, tmp_path: Path) -> None:
    web = await pair.service("web")
    work = Running(pair, tmp_path, plan_of(web, weights=(5, 95, 100), dwell=6.0))
    work.plan = replace(work.plan, bounds=replace(work.plan.bounds, max_hold_dwells=10))
    async with work.beside() as task:
        await work.at(web, 5)
        container = [{"name": "main", "image": "shop:2"}]
        template = {"spec": {"template": {"spec": {"containers": container}}}}
        await pair.target.patch(DEPLOYMENT, "web", template, pair.namespace)
        await work.until(_said(work, "new image or template on the target"))
        await wait_for(_held(work, web), what="a hold for the replicas", within=20, clock=CLOCK)
        assert await pair.weights("web") == (5, 5)
        await pair.ready(pair.target, "web", 2)
        assert (await task).states[web].phase is Phase.DONE


def _said(work: Running, text: str) -> Callable[[], Awaitable[bool]]:
    async def said() -> bool:
        return any(text in event.text for event in work.events)

    return said


def _held(work: Running, service: ServiceId) -> Callable[[], Awaitable[bool]]:
    async def held() -> bool:
        with work.journal() as book:
            return any("0 of 2 replicas ready" in look["reason"] for look in book.looks(service))

    return held


async def test_pause_stays_and_a_rollback_in_mid_shift_goes_home(pair: Pair, tmp_path: Path) -> None:
    web = await pair.service("web")
    work = Running(pair, tmp_path, plan_of(web, dwell=30))
    async with work.beside() as task:
        await work.at(web, 5)
        with work.journal() as book:
            book.command(What.PAUSE, web, "ada", CLOCK.now())
        summary = await task
    assert (summary.states[web].phase, summary.states[web].weight) == (Phase.PAUSED, 5)
    assert await pair.weights("web") == (5, 5)
    with work.journal() as book:
        book.command(What.ROLLBACK, web, "ada", CLOCK.now())
    summary = await work.run()
    assert summary.states[web].phase is Phase.ROLLED_BACK
    assert summary.error() is None
    assert await pair.weights("web") == (0, 0)


async def test_traffic_goes_home_only_to_a_source_at_full_size(pair: Pair, tmp_path: Path) -> None:
    web = await pair.service("web")
    work = Running(pair, tmp_path, plan_of(web, dwell=30))
    async with work.beside() as task:
        await work.at(web, 5)
        await pair.ready(pair.source, "web", 1)
        with work.journal() as book:
            book.command(What.ROLLBACK, web, "ada", CLOCK.now())
        await work.until(_said(work, "the source has 1 of 2 replicas ready"))
        assert await pair.weights("web") == (5, 5)
        await pair.ready(pair.source, "web", 2)
        assert (await task).states[web].phase is Phase.ROLLED_BACK
    assert await pair.weights("web") == (0, 0)


async def test_a_target_too_small_is_held_before_any_traffic(pair: Pair, tmp_path: Path) -> None:
    web = await pair.service("web")
    await pair.ready(pair.target, "web", 1)
    work = Running(pair, tmp_path, plan_of(web))
    summary = await work.run()
    assert summary.states[web].phase is Phase.HELD
    assert summary.waits[web] == "the target has 1 of 2 replicas ready"


async def test_a_stolen_lease_ends_the_run_and_nothing_is_written_any_more(pair: Pair, tmp_path: Path) -> None:
    web = await pair.service("web")
    work = Running(pair, tmp_path, plan_of(web, dwell=60))
    work.plan = replace(work.plan, bounds=replace(work.plan.bounds, lease_seconds=3.0))
    async with work.beside() as task:
        await work.at(web, 5)
        thief = {"spec": {"holderIdentity": "somebody", "leaseTransitions": 99}}
        await pair.target.patch(LEASE, "landbridge-run", thief, "landbridge", manager="thief")
        with pytest.raises(DriftError, match="held by somebody"):
            await task
    assert await pair.weights("web") == (5, 5)
    await pair.target.delete(LEASE, "landbridge-run", "landbridge")


async def test_a_dry_run_tells_everything_and_writes_nothing(pair: Pair, tmp_path: Path) -> None:
    web = await pair.service("web")
    told: list[Event] = []
    states = await rehearse(tmp_path, lambda: plan_of(web), tell=told.append)
    assert states[web].phase is Phase.DONE
    texts = [event.text for event in told if event.kind == "note"]
    assert "would set 5 % and watch for 2.0 s" in texts
    assert await pair.source.find(TRAFFICSPLIT, "web", pair.namespace) is None
    assert not (tmp_path / ".landbridge").exists()
