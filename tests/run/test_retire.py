"""The last step over two real API servers: the source leaves the path only where nobody calls, and can come back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from landbridge.clients.kinds import DEPLOYMENT, SERVICE, TRAFFICSPLIT
from landbridge.clock import SystemClock
from landbridge.connect import names
from landbridge.errors import LandbridgeError
from landbridge.model.journal import Entry, Outcome, Phase, State
from landbridge.model.plan import Act, ActKind, Plan, ServicePlan, Wave
from landbridge.model.service import ServiceId, Side
from landbridge.observe import callers as calls
from landbridge.run import retire as retiring
from landbridge.run.agenda import agenda, way_back
from landbridge.run.journal import FOLDER, Journal
from landbridge.run.leftovers import Left
from landbridge.run.retire import is_half_done, retire_act
from landbridge.run.switches import Switchboard
from landbridge.translate.adoption import LEAF_OF
from tests.run.conftest import Pair

CLOCK = SystemClock()


def plan_of(*services: ServiceId) -> Plan:
    def act(service: ServiceId, kind: ActKind, **args: object) -> Act:
        return Act(id=f"{service}/{kind.value}", kind=kind, args=args)

    entries = [
        ServicePlan(service=s, acts=(act(s, ActKind.SPLIT), act(s, ActKind.WEIGHT, percent=100, dwell=1)))
        for s in services
    ]
    return Plan(source="legacy", target="eks", waves=(Wave(name="move", services=tuple(entries)),))


class Moved:
    """A service that has moved: at 100 on the source's split, its source at 0, its acts done."""

    def __init__(self, pair: Pair, folder: Path, service: ServiceId, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pair, self.folder, self.service = pair, folder, service
        self.plan = plan_of(service)
        self.total, self.held, self.known = 7, 0, True
        monkeypatch.setattr(calls, "read", self.read)

    async def read(self, _: Any, namespaces: Any) -> dict[str, calls.Pod]:
        """What waypoints would say, which an API server alone does not have."""
        counted = {self.service: self.total} if self.known else {}
        held = {self.service: self.held} if self.known else {}
        return {n: calls.Pod(namespace=n, name="waypoint", total=counted, open=held) for n in namespaces}

    async def prepare(self) -> None:
        source, name, namespace = self.pair.source, self.service.name, self.service.namespace
        marks = {"labels": {**names.labels(), LEAF_OF: name}, "annotations": {"landbridge.dev/state": "adopted"}}
        await source.patch(SERVICE, f"{name}-leaf", {"metadata": marks}, namespace)
        await source.patch(DEPLOYMENT, name, {"spec": {"replicas": 0}}, namespace)
        switches = await Switchboard(source, self.pair.target, token=lambda _: "1", on_expiry="home").of(self.service)
        await switches.prepare()
        await switches.set(await switches.read(), 100)
        done = tuple(act.id for entry in self.plan.waves[0].services for act in entry.acts)
        with self.journal() as journal:
            journal.advance(0, State(service=self.service, phase=Phase.DONE, done=done, weight=100), CLOCK.now())

    def journal(self) -> Journal:
        return Journal(self.folder / FOLDER / "journal.db")

    async def look(self) -> Left:
        (left,) = await retiring.look(
            self.folder, self.plan, self.pair.source, self.pair.target, [self.service], seconds=0.0, clock=CLOCK
        )
        return left

    async def retire(self) -> Left:
        (left,) = await retiring.retire(
            self.folder,
            self.plan,
            self.pair.source,
            self.pair.target,
            [self.service],
            seconds=0.0,
            clock=CLOCK,
            by="ada",
        )
        return left

    async def selector(self) -> Any:
        return (await self.pair.source.get(SERVICE, self.service.name, self.service.namespace))["spec"].get("selector")


@pytest.fixture
async def moved(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Moved:
    made = Moved(pair, tmp_path, await pair.service("web"), monkeypatch)
    await made.prepare()
    return made


@pytest.mark.api
async def test_nobody_calls_so_the_source_leaves_the_path_and_its_objects_stay(moved: Moved) -> None:
    assert await moved.look() == Left(
        service=moved.service, adopted=True, objects=("Deployment web, 0 replicas",), callers=calls.Callers()
    )
    assert await moved.selector() is None
    left = await moved.retire()
    assert (left.adopted, left.refusals) == (False, ())
    source, name, namespace = moved.pair.source, moved.service.name, moved.service.namespace
    assert await moved.selector() == {"app": "web"}
    assert await source.find(SERVICE, f"{name}-leaf", namespace) is None
    assert await source.find(TRAFFICSPLIT, name, namespace) is None
    assert await source.find(DEPLOYMENT, name, namespace) is not None
    assert (await moved.look()).adopted is False
    assert (await moved.retire()).adopted is False


@pytest.mark.api
async def test_the_journal_has_it_and_a_rollback_would_take_it_back_before_the_weight(moved: Moved) -> None:
    await moved.retire()
    act = retire_act(moved.service)
    with moved.journal() as journal:
        lines = journal.entries(act=act.id)
        assert [line.outcome for line in lines] == [Outcome.STARTED, Outcome.NOTE, Outcome.DONE]
        assert {line.by for line in lines} == {"ada"}
        (receipt,) = journal.receipts(act.id)
        assert (receipt.side, receipt.ref.kind) == (Side.SOURCE, "TrafficSplit")
        state = journal.states()[moved.service][1]
        back = way_back(agenda(moved.plan, journal.begun, journal.open), state)
        assert [a.id for a in back] == [act.id]
    assert (moved.folder / "journal.jsonl").read_text().count("/retire") == 4  # the act itself is in one of the lines


@pytest.mark.api
async def test_a_caller_keeps_the_source_in_the_path(moved: Moved) -> None:
    moved.held = 1
    left = await moved.retire()
    assert left.adopted
    assert left.refusals == ("law 1: 1 connections to it are open on the source",)
    assert await moved.selector() is None
    with moved.journal() as journal:
        assert journal.entries(act=retire_act(moved.service).id) == []


@pytest.mark.api
async def test_one_that_died_half_way_is_ended_though_the_waypoint_knows_the_service_no_more(
    moved: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: Any, **__: Any) -> None:
        raise LandbridgeError("the wire was cut")

    with monkeypatch.context() as patched:
        patched.setattr(retiring, "unadopt", dies)
        with pytest.raises(LandbridgeError, match="the wire was cut"):
            await moved.retire()
    moved.known = False
    assert (await moved.look()).may_go
    assert (await moved.retire()).adopted is False
    assert await moved.selector() == {"app": "web"}
    with moved.journal() as journal:
        assert [receipt.ref.kind for receipt in journal.receipts(retire_act(moved.service).id)] == ["TrafficSplit"]


def lines(*outcomes: Outcome, undo: bool = False) -> list[Entry]:
    service = ServiceId("shop", "web")
    return [
        Entry(service=service, act="shop/web/retire", outcome=o, at=0.0, detail={"undo": True} if undo else {})
        for o in outcomes
    ]


def test_only_a_try_that_died_forward_is_half_done() -> None:
    died = lines(Outcome.STARTED, Outcome.NOTE)
    assert is_half_done(died)
    assert is_half_done([*died, *lines(Outcome.FAILED)])
    assert not is_half_done([])
    assert not is_half_done([*died, *lines(Outcome.DONE)])
    assert not is_half_done([*died, *lines(Outcome.DONE), *lines(Outcome.STARTED, Outcome.NOTE, undo=True)])
    assert not is_half_done([*died, *lines(Outcome.STARTED, undo=True), *lines(Outcome.UNDONE)])
    assert is_half_done([*died, *lines(Outcome.STARTED, undo=True), *lines(Outcome.UNDONE), *died])
