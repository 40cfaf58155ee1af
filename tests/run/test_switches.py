"""The switches of a service as runners really write them, in every order that two runners can meet in.

The routers and the order are the real ones; only the API servers are dictionaries, so that thousands of courses take
seconds. Each request waits until it is its turn; of those that a runner sends at once, the first goes first. One runner
is a survivor that should be dead: it goes on at any moment, while its successor wants something else. One request of a
course may go wrong: answered from the past, carried out without an answer, or carried out much later.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from landbridge.clients.answers import ConflictError, NotFoundError, UnavailableError
from landbridge.clients.kinds import Kind
from landbridge.errors import LandbridgeError
from landbridge.laws import twosided
from landbridge.laws.twosided import Splits, Write
from landbridge.model.service import LINKERD, Manifest, Mesh, ServiceId, Side
from landbridge.run.switches import TwoSided
from landbridge.shift.router import Place
from landbridge.shift.trafficsplit import TRAFFICSPLIT_ROUTER, TrafficSplitRouter
from tests.fakes import FakeClock

WEB = ServiceId("shop", "web")
QUICK = replace(LINKERD, confirms=False)
NAMES = {Side.SOURCE: "legacy", Side.TARGET: "eks"}


@dataclass
class Turn:
    """One request that waits."""

    runner: str
    side: Side
    writes: bool
    go: asyncio.Future[str]


@dataclass
class Cluster:
    """One API server's objects with what they were before, by name; every request of `api` waits for its turn."""

    side: Side
    world: World
    past: dict[str, list[Manifest]] = field(default_factory=dict)

    def now(self, name: str) -> Manifest | None:
        return deepcopy(self.past[name][-1]) if self.past.get(name) else None

    def patch(self, name: str, patch: Mapping[str, Any]) -> Manifest:
        found = self.now(name)
        if found is None:
            raise NotFoundError(name)
        version = patch.get("metadata", {}).get("resourceVersion")
        if version not in {None, found["metadata"]["resourceVersion"]}:
            raise ConflictError(f"{name} is not at {version}")
        after = merged(found, patch)
        after["metadata"]["resourceVersion"] = str(int(found["metadata"]["resourceVersion"]) + 1)
        self.past[name].append(after)
        return deepcopy(after)


@dataclass
class Api:
    """What a router has of a client."""

    cluster: Cluster
    runner: str
    name: str = ""
    clock: FakeClock = field(default_factory=FakeClock)

    async def get(self, kind: Kind, name: str, namespace: str) -> Manifest:
        how = await self.cluster.world.turn(self.runner, self.cluster.side, writes=False)
        versions = self.cluster.past[name]
        return deepcopy(versions[-2] if how == "stale" and len(versions) > 1 else versions[-1])

    async def find(self, kind: Kind, name: str, namespace: str) -> Manifest | None:
        return await self.get(kind, name, namespace) if self.cluster.past.get(name) else None

    async def patch(
        self, kind: Kind, name: str, patch: dict[str, Any], namespace: str, *, version: str = ""
    ) -> Manifest:
        body = json.loads(json.dumps(patch))
        if version:
            body.setdefault("metadata", {})["resourceVersion"] = version
        how = await self.cluster.world.turn(self.runner, self.cluster.side, writes=True)
        if how == "late":
            self.cluster.world.late.append(lambda: self.cluster.patch(name, body))
            raise UnavailableError("no answer")
        written = self.cluster.patch(name, body)
        if how == "lost":
            raise UnavailableError("no answer")
        return written


@dataclass
class World:
    """Both clusters, the requests that wait, the writes that are under way, and the choices of this course."""

    course: Course
    waiting: list[Turn] = field(default_factory=list)
    late: list[Callable[[], object]] = field(default_factory=list)
    clusters: dict[Side, Cluster] = field(default_factory=dict)

    async def turn(self, runner: str, side: Side, *, writes: bool) -> str:
        mine = Turn(runner, side, writes, asyncio.get_running_loop().create_future())
        self.waiting.append(mine)
        return await mine.go

    def splits(self) -> Splits:
        read = {}
        for side, cluster in self.clusters.items():
            (versions,) = cluster.past.values()
            router = TrafficSplitRouter(place(Api(cluster, "nobody"), side, ""), WEB)
            read[side] = router.read(versions[-1])
        return Splits(read[Side.SOURCE], read[Side.TARGET])


@dataclass
class Course:
    """A list of choices; those beyond its end are the first ones. `counts` is how many there were each time."""

    choices: list[int]
    counts: list[int] = field(default_factory=list)

    def choose(self, count: int) -> int:
        at = len(self.counts)
        self.counts.append(count)
        return self.choices[at] if at < len(self.choices) else 0


def merged(found: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    base = dict(found) if isinstance(found, dict) else {}
    for key, value in patch.items():
        if value is None:
            base.pop(key, None)
        else:
            base[key] = merged(base.get(key), value)
    return base


def place(api: Api, side: Side, token: str, mesh: Mesh = QUICK) -> Place:
    return Place(k8s=api, side=side, other=NAMES[side.other], token=lambda: token, mesh=mesh)  # type: ignore[arg-type]


def switches(world: World, runner: str, *, chained: bool = True, fenced: bool = True, mesh: Mesh = QUICK) -> TwoSided:
    token = runner if fenced else "0"
    routers = {
        side: TrafficSplitRouter(place(Api(cluster, runner, NAMES[side]), side, token, mesh), WEB)
        for side, cluster in world.clusters.items()
    }
    return TwoSided(service=WEB, routers=routers, kinds=dict.fromkeys(Side, TRAFFICSPLIT_ROUTER), chained=chained)


async def run(two: TwoSided, goal: int, tries: int) -> None:
    """As the acts do it: read, write on condition, and again after a failure."""
    for _ in range(tries):
        try:
            live = await two.read()
            await (two.set(live, goal) if goal else two.home(live))
        except LandbridgeError:
            continue
        return


async def build(course: Course, start: Splits) -> World:
    world = World(course)
    for side in Side:
        cluster = world.clusters[side] = Cluster(side, world)
        router = TrafficSplitRouter(place(Api(cluster, "0"), side, "0"), WEB)
        made = await router._manifest(start[side])
        made["metadata"]["resourceVersion"] = "1"
        cluster.past["web"] = [made]
    return world


async def play(
    course: Course, start: Splits, goals: tuple[int, int], *, faults: int, tries: int, **how: Any
) -> list[Splits]:
    """Every state that one course leads through; the runners are called 1 and 2."""
    world = await build(course, start)
    seen = [world.splits()]
    tasks = [
        asyncio.ensure_future(run(switches(world, str(number), **how), goal, tries=tries))
        for number, goal in enumerate(goals, start=1)
    ]
    await settled()
    while True:
        first = {turn.runner: turn for turn in reversed(world.waiting)}.values()
        options: list[tuple[Turn | Callable[[], object], str]] = [(turn, "now") for turn in first]
        options += [(write, "land") for write in world.late]
        if faults:
            options += [(turn, said) for turn in first for said in (("lost", "late") if turn.writes else ("stale",))]
        if not options:
            break
        chosen, said = options[course.choose(len(options))]
        if isinstance(chosen, Turn):
            faults -= said != "now"
            world.waiting.remove(chosen)
            chosen.go.set_result(said)
        else:
            world.late.remove(chosen)
            land(chosen)
        await settled()
        seen.append(world.splits())
    await asyncio.gather(*tasks)
    return seen


def land(write: Callable[[], object]) -> None:
    try:
        write()
    except LandbridgeError:  # refused: its version is over
        return


async def settled() -> None:
    """Until every runner waits for its turn."""
    loop = asyncio.get_running_loop()
    for _ in range(7):  # callbacks of a future, of a gather around it, and of the task that waits for that
        pause = loop.create_future()
        loop.call_soon(pause.set_result, None)
        await pause


def courses(make: Callable[[Course], Any], most: int = 100_000) -> Iterator[Any]:
    """Every course, depth first: the last choice that has another one is changed, what follows is open again."""
    loop = asyncio.new_event_loop()
    choices: list[int] = []
    try:
        for _ in range(most):
            course = Course(choices)
            yield loop.run_until_complete(make(course))
            taken = [*choices, *([0] * (len(course.counts) - len(choices)))]
            while taken and taken[-1] + 1 >= course.counts[len(taken) - 1]:
                taken.pop()
            if not taken:
                return
            choices = [*taken[:-1], taken[-1] + 1]
        raise AssertionError(f"more than {most} courses")
    finally:
        loop.close()


def search(
    start: Splits, goals: tuple[int, int], *, faults: int = 0, tries: int = 1, **how: Any
) -> tuple[int, set[Splits]]:
    """How many courses there are, and the loops among all their states."""
    count, loops = 0, set()
    for seen in courses(lambda course: play(course, start, goals, faults=faults, tries=tries, **how)):
        count += 1
        loops |= {splits for splits in seen if twosided.is_loop(splits)}
    return count, loops


@pytest.mark.parametrize(
    ("start", "goals"),
    [(Splits(0, 0), (50, 0)), (Splits(50, 100), (0, 75)), (Splits(100, 100), (0, 100)), (Splits(0, 100), (25, 0))],
)
def test_a_survivor_and_its_successor_never_make_a_loop(start: Splits, goals: tuple[int, int]) -> None:
    count, loops = search(start, goals)
    assert count > 50
    assert loops == set()


def test_no_request_that_goes_wrong_makes_one_either() -> None:
    """Old answers, answers that never came, and writes that land when another runner has long written."""
    count, loops = search(Splits(0, 0), (50, 0), faults=1)
    assert count > 1000
    assert loops == set()


def reversed_writes(goal: int, *, leaf: bool = False, raising: bool = True) -> tuple[Write, ...]:
    return WRITES(goal, leaf=leaf, raising=raising)[::-1]


WRITES = twosided.writes


def test_the_search_finds_the_loop_of_every_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides written alike, as leaves may be; runs that cannot be told apart; the law's order turned round."""
    assert search(Splits(0, 0), (50, 0), chained=False)[1]
    assert search(Splits(0, 0), (50, 0), fenced=False)[1]
    monkeypatch.setattr(twosided, "may_write", lambda *_, **__: None)
    monkeypatch.setattr(twosided, "writes", reversed_writes)
    assert search(Splits(0, 0), (50, 0))[1]


def test_a_write_that_would_close_a_loop_is_refused_before_it_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever order somebody thinks of, law 5 is asked of what was read."""
    monkeypatch.setattr(twosided, "writes", reversed_writes)
    assert search(Splits(0, 0), (50, 0))[1] == set()


async def alone(world: World, work: Awaitable[object]) -> None:
    """Nobody else is there: each request has its turn at once."""
    task = asyncio.ensure_future(work)
    while not task.done():
        await settled()
        for turn in world.waiting:
            turn.go.set_result("now")
        world.waiting.clear()
    await task


async def test_the_second_write_waits_until_the_first_is_obeyed() -> None:
    """The adaptor is down: the split says 0 and the profile still routes, so the other side must not turn back."""
    world = await build(Course([]), Splits(0, 0))
    two = switches(world, "1", mesh=LINKERD)
    with pytest.raises(LandbridgeError, match="not obeyed: there is no ServiceProfile"):
        await alone(world, raised(two, 50))
    assert world.splits() == Splits(0, 100)

    world = await build(Course([]), Splits(50, 100))
    with pytest.raises(LandbridgeError, match="not obeyed"):
        await alone(world, sent_home(switches(world, "1", mesh=LINKERD)))
    assert world.splits() == Splits(0, 100)


async def raised(two: TwoSided, percent: int) -> None:
    await two.set(await two.read(), percent)


async def sent_home(two: TwoSided) -> None:
    await two.home(await two.read())


async def test_what_stands_at_a_weight_is_known_for_each_side() -> None:
    world = await build(Course([]), Splits(0, 0))
    assert switches(world, "1").at(25) == {Side.SOURCE: 25, Side.TARGET: 100}
    assert switches(world, "1").at(0) == {Side.SOURCE: 0, Side.TARGET: 0}
    assert switches(world, "1", chained=False).at(25) == dict.fromkeys(Side, 25)
    assert [switch.side for switch in switches(world, "1").route().switches] == [Side.TARGET, Side.SOURCE]
