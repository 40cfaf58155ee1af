"""Services that a dead runner left with a share: the next one watches them, and an act's watch comes before."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from landbridge.clock import wait_for
from landbridge.model.journal import Outcome, Phase, State, What
from landbridge.model.plan import ActKind, Plan, Wave
from landbridge.model.service import ServiceId, Side
from landbridge.run.agenda import acts_of
from landbridge.run.decide import Ending
from landbridge.run.journal import Journal
from landbridge.run.observer import Observer
from landbridge.run.owners import ClusterOwners
from landbridge.run.switches import Switchboard, TwoSided
from landbridge.run.turns import Job
from tests.run.conftest import Pair
from tests.run.shift import PLAN
from tests.run.test_runner import CLOCK, Running, plan_of
from tests.run.traffic import Traffic

pytestmark = pytest.mark.api


def slower(plan: Plan, service: ServiceId, dwell: float) -> Plan:
    """The plan with one service that dwells longer at each weight."""

    def changed(wave: Wave) -> Wave:
        entries = [
            replace(
                entry,
                acts=tuple(
                    replace(act, args={**act.args, "dwell": dwell})
                    if act.kind is ActKind.WEIGHT and entry.service == service
                    else act
                    for act in entry.acts
                ),
            )
            for entry in wave.services
        ]
        return replace(wave, services=tuple(entries))

    return replace(plan, waves=tuple(map(changed, plan.waves)))


def say(folder: Path, *, bad: dict[ServiceId, float], silent: set[ServiceId]) -> None:
    new = folder / "traffic.new"
    new.write_text(json.dumps({"bad": {str(s): b for s, b in bad.items()}, "silent": [str(s) for s in silent]}))
    new.replace(folder / "traffic.json")


@contextmanager
def runner(pair: Pair, folder: Path, plan: Plan) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "plan.json").write_bytes(PLAN.dump_json(plan))
    (folder / "clusters.json").write_text(json.dumps(pair.kubeconfigs))
    process = subprocess.Popen([sys.executable, "-m", "tests.run.shift", str(folder)], start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def state_of(work: Running, service: ServiceId) -> State | None:
    with work.journal() as book:
        found = book.state(service)
    return found[1] if found else None


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.PAUSED])
async def test_the_next_runner_takes_home_what_a_killed_one_left_with_a_share(
    pair: Pair, tmp_path: Path, phase: Phase
) -> None:
    left, going = await pair.service("left"), await pair.service("going")
    plan = plan_of(left, going, weights=(5, 100), dwell=1.0)
    plan = replace(plan, bounds=replace(plan.bounds, max_hold_dwells=3 if phase is Phase.HELD else 600))
    work = Running(pair, tmp_path, slower(plan, going, 8.0))
    say(tmp_path, bad={}, silent={left})

    async def stands() -> bool:
        state, other = state_of(work, left), state_of(work, going)
        in_shift = other is not None and other.done[-1:] == (f"{going}/pin",)
        return state is not None and state.phase is phase and state.weight == 5 and in_shift

    with runner(pair, tmp_path, work.plan) as first:
        await work.at(left, 5)
        await work.at(going, 5)
        if phase is Phase.PAUSED:
            with work.journal() as book:
                book.command(What.PAUSE, left, "ada", CLOCK.now())
        await work.until(stands)
        os.killpg(first.pid, signal.SIGKILL)
    say(tmp_path, bad={left: 0.3}, silent=set())

    async def home() -> bool:
        state, other = state_of(work, left), state_of(work, going)
        assert other is not None
        assert other.phase is not Phase.DONE, "too late: the other service is across"
        return state is not None and state.phase is Phase.ROLLED_BACK

    with runner(pair, tmp_path, work.plan) as second:
        await work.until(home)
        assert await pair.weights("left") == (0, 0)
        assert await asyncio.to_thread(second.wait, 60) == 5  # the act in hand came to its end as well
    with work.journal() as book:
        verdicts = [e for e in book.entries(left) if e.outcome is Outcome.VERDICT]
        assert book.states()[going][1].phase is Phase.DONE
    assert len(verdicts) == 1
    assert "requests failed on the target" in verdicts[0].detail["reason"]
    assert await pair.weights("going") == (100, 100)


class Watched:
    """An observer over real splits at 5 %, with the journal of one service."""

    def __init__(self, pair: Pair, folder: Path, service: ServiceId) -> None:
        self.plan = plan_of(service, dwell=1.0)
        self.journal = Journal(folder / ".landbridge" / "journal.db")
        self.traffic = Traffic(pair.source, pair.target, CLOCK)
        self.board = Switchboard(pair.source, pair.target, token=lambda _: "1", on_expiry="home")
        owners = ClusterOwners(pair.source, pair.target, self.board)
        self.observer = Observer(self.traffic, self.journal, CLOCK, owners=owners)
        self.service = service

    async def at(self, percent: int) -> TwoSided:
        switches = await self.board.of(self.service)
        await switches.prepare()
        await switches.set(await switches.read(), percent)
        return switches

    def job(self, weight: int) -> Job:
        act = next(act for act in acts_of(self.plan, self.service) if act.kind is ActKind.WEIGHT)
        return Job(
            act=act,
            state=State(service=self.service, phase=Phase.MOVING, weight=weight),
            plan=self.plan,
            receipts=(),
            receipts_of=lambda _: (),
            remember=lambda _: None,
            check=lambda: None,
            say=lambda _: None,
        )

    async def act(self, switches: TwoSided, percent: int = 5, previous: int = 5) -> Ending:
        """What a weight act does with the observer."""
        await self.observer.prepare(self.service)
        live = await switches.read()
        job = self.job(percent)
        result = await self.observer.watch(
            job, switches, live, percent=percent, previous=previous, first=True, dwell=1.0
        )
        return result.ending


@pytest.fixture
async def watched(pair: Pair, tmp_path: Path) -> AsyncIterator[Watched]:
    found = Watched(pair, tmp_path, await pair.service("web"))
    task = asyncio.create_task(found.observer.run())
    try:
        yield found
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        found.journal.close()


async def test_the_watch_of_an_act_replaces_the_one_that_stands(watched: Watched) -> None:
    switches = await watched.at(5)
    assert await watched.observer.stand(watched.job(5), switches, dwell=1.0) == ""
    assert watched.observer.watches[watched.service].standing
    assert await asyncio.wait_for(watched.act(switches), 30) is Ending.DONE
    assert len(watched.observer.watches) == 1


async def test_what_stands_never_replaces_the_watch_of_an_act(watched: Watched) -> None:
    switches = await watched.at(5)
    act = asyncio.create_task(watched.act(switches))

    async def begun() -> bool:
        return watched.service in watched.observer.watches

    await wait_for(begun, what="the watch of the act", within=20, clock=CLOCK)
    own = watched.observer.watches[watched.service]
    assert await watched.observer.stand(watched.job(5), switches, dwell=1.0) == ""
    assert watched.observer.watches[watched.service] is own
    assert await asyncio.wait_for(act, 30) is Ending.DONE


async def test_what_went_the_old_way_before_every_waypoint_obeyed_is_not_held_against_the_share(
    watched: Watched,
) -> None:
    """40 services on two cores: a waypoint was 4 s late, and three requests then were enough to hold for good."""
    switches = await watched.at(100)
    watched.traffic.stuck[watched.service] = 5
    act = asyncio.create_task(watched.act(switches, percent=100))

    async def late() -> bool:
        watch = watched.observer.watches.get(watched.service)
        return watch is not None and watch.share.at is None and CLOCK.now() > watch.started + 2.5

    await wait_for(late, what="looks at a waypoint that is late", within=20, clock=CLOCK)
    assert not act.done()
    watched.traffic.stuck.clear()
    assert await asyncio.wait_for(act, 30) is Ending.DONE


async def test_a_weight_that_somebody_else_wrote_is_not_watched_and_not_cut(watched: Watched) -> None:
    switches = await watched.at(50)
    said = await watched.observer.stand(watched.job(5), switches, dwell=1.0)
    assert said == "the weight is 50 %, not 5 %"
    assert not watched.observer.watches
    assert {side: weight.percent for side, weight in (await switches.read()).items()} == dict.fromkeys(Side, 50)
