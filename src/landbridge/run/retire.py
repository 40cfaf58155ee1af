"""The last step: takes the waypoint out of the source's path, service by service, where nobody calls there any more.

Owners go on owning: what they made (Deployments at 0, HPAs, suspended CronJobs) is listed and left to them. Un-adopting
the source is one more act `SERVICE/retire` in the journal, and `landbridge rollback` takes it back like any other.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from landbridge.clients.answers import NotFoundError
from landbridge.clients.kinds import SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clients.several import several
from landbridge.clock import Clock
from landbridge.connect import names
from landbridge.connect.adopt import unadopt
from landbridge.errors import LandbridgeError
from landbridge.laws.retire import Leaving, may_retire
from landbridge.model.journal import Entry, Outcome, Phase, Receipt, State
from landbridge.model.manifest import name_of
from landbridge.model.plan import Act, ActKind, Plan
from landbridge.model.service import ServiceId, Side
from landbridge.observe import callers as calls
from landbridge.run import preflight
from landbridge.run.agenda import Agenda, acts_of, agenda, remaining
from landbridge.run.carrier import only_runner
from landbridge.run.journal import FOLDER, Journal
from landbridge.run.lease import RunLease
from landbridge.run.leftovers import Left, objects_of, objects_of_namespace
from landbridge.run.runner import holder_of
from landbridge.run.switches import Switchboard, TwoSided
from landbridge.run.workloads import endpoints_ready, find_behind
from landbridge.translate.adoption import leaf_name

_ACT = TypeAdapter(Act)
Say = Callable[[str], None]
LOOK_SECONDS = 1.0
LOOKS_AT_ONCE = 500
"""Services looked at at the same time: what they list is asked once for all, so more of them ask no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retiring:
    """What listing and acting have in common; `seconds` is how long callers are watched for."""

    plan: Plan
    book: Agenda
    """As it is when retiring begins; nobody else may act meanwhile."""
    journal: Journal
    source: Kubernetes
    target: Kubernetes
    switchboard: Switchboard
    clock: Clock
    seconds: float
    looks: dict[str, tuple[float, asyncio.Task[dict[str, calls.Pod]]]] = field(default_factory=dict)
    """The last look at each namespace's callers, with its moment."""

    async def look(self, services: Collection[ServiceId]) -> tuple[list[Left], Mapping[str, calls.Pod]]:
        """Everything that is left, and the waypoints' counts as they were when the watching began."""
        ordered = sorted(services)
        found = await several((self._is_in(service) for service in ordered), LOOKS_AT_ONCE)
        adopted = dict(zip(ordered, found, strict=True))
        watched = {service.namespace for service, is_in in adopted.items() if is_in}
        before = await calls.read(self.source, watched)
        if watched:
            await self.clock.sleep(self.seconds)
        after = await calls.read(self.source, watched)
        asked = (self._left(s, calls.callers(before, after, s) if adopted[s] else None) for s in ordered)
        return await several(asked, LOOKS_AT_ONCE), before

    async def _is_in(self, service: ServiceId) -> bool:
        """Whether anything of ours is in the path: a leaf, also one that a try which died half-way has left."""
        if service.name == "*":
            return False
        found = await self.source.together.list(SERVICE, service.namespace)
        return any(name_of(item) == leaf_name(service.name) and names.is_ours(item) for item in found)

    async def _left(self, service: ServiceId, seen: calls.Callers | None) -> Left:
        if service.name == "*":
            return Left(
                service=service, adopted=False, objects=await objects_of_namespace(self.source, service, self.plan)
            )
        objects = tuple(await objects_of(self.source, service))
        if not any(act.kind is ActKind.WEIGHT for act in acts_of(self.plan, service)):
            return Left(service=service, adopted=seen is not None, objects=objects, stays=True)
        if seen is None:
            meshed = await self._meshed(service)
            return Left(service=service, adopted=False, objects=objects, refusals=(meshed,) if meshed else ())
        why = await self._refusals(service, seen)
        return Left(service=service, adopted=True, objects=objects, callers=seen, refusals=why)

    async def _meshed(self, service: ServiceId) -> str:
        """Why a service's switch has to stay where no waypoint counts callers; empty where there is none."""
        plane = self._split_args(service).get("plane")
        if plane is None:
            return ""
        standing = await (await self._switches(service)).standing(Side.SOURCE, self.source)
        if standing is None:
            return ""
        return f"nobody counts its callers with {plane}: when none is left, delete {standing.ref} by hand"

    def _split_args(self, service: ServiceId) -> Mapping[str, Any]:
        return next((act.args for act in acts_of(self.plan, service) if act.kind is ActKind.SPLIT), {})

    async def _refusals(self, service: ServiceId, seen: calls.Callers) -> tuple[str, ...]:
        """Why it has to stay; what was begun before is ended, for the waypoint knows that service no more."""
        if is_half_done(self.journal.entries(act=retire_act(service).id)):
            return ()
        return tuple(map(str, may_retire(await self._leaving(service, seen))))

    async def _leaving(self, service: ServiceId, seen: calls.Callers) -> Leaving:
        head = self.journal.state(service)
        state = head[1] if head else State(service=service, phase=Phase.WAITING)
        step = next(remaining(self.book, state), None)
        at = f"{state.phase.value} at {state.weight} %" + (f", {step.act.id} comes next" if step else "")
        return Leaving(
            done=state.phase is Phase.DONE and step is None,
            standing=f"{at}: {state.reason}" if state.reason else at,
            percent=await self._percent(service),
            pods=await endpoints_ready(self.source, service.namespace, leaf_name(service.name)),
            target=(await find_behind(self.target, service)).health,
            requests=None if seen.unknown else seen.requests,
            open=None if seen.unknown else seen.open,
            seconds=self.seconds,
            unknown=seen.unknown,
        )

    async def _percent(self, service: ServiceId) -> int | None:
        try:
            return (await (await self._switches(service)).routers[Side.SOURCE].get_weight()).percent
        except NotFoundError:
            return None

    async def _switches(self, service: ServiceId) -> TwoSided:
        return await self.switchboard.planned(service, self._split_args(service))

    async def take_all(
        self, found: Sequence[Left], before: Mapping[str, calls.Pod], *, by: str, fence: Callable[[], None], say: Say
    ) -> list[Left]:
        """Un-adopt what may go, as many at a time as services move together, with one more look at all callers each.

        After an error nothing more is begun; it is raised when what had begun has ended.
        """
        errors: list[Exception] = []

        async def one(left: Left) -> Left:
            if errors or not left.may_go:
                return left
            try:
                now = await self._look_again(left.service.namespace)
                after = await self.take(left, calls.callers(before, now, left.service), by=by, fence=fence)
            except Exception as error:  # noqa: BLE001 - raised below
                errors.append(error)
                return left
            if not after.adopted:
                say(f"{left.service} is out of the source's path")
            return after

        ended = await several(map(one, found), self.plan.bounds.concurrency)
        if errors:
            raise errors[0]
        return ended

    async def _look_again(self, namespace: str) -> Mapping[str, calls.Pod]:
        """What the waypoints of a namespace count; who asks within a second is answered together with others."""
        began, look = self.looks.get(namespace, (float("-inf"), None))
        if look is None or self.clock.monotonic() - began >= LOOK_SECONDS:
            look = asyncio.create_task(calls.read(self.source, {namespace}))
            self.looks[namespace] = (self.clock.monotonic(), look)
        return await look

    async def take(self, left: Left, now: calls.Callers, *, by: str, fence: Callable[[], None]) -> Left:
        """Un-adopt one service on the source, if its callers of this moment allow."""
        service, act = left.service, retire_act(left.service)
        if why := await self._refusals(service, now):
            return replace(left, callers=now, refusals=why)
        fence()
        self._write(service, by, Outcome.STARTED, {"act": _ACT.dump_python(act, mode="json")})
        try:
            await self._take_switch(service, by)
            fence()
            adopt = next((a.id for a in acts_of(self.plan, service) if _adopts_source(a)), "")
            await unadopt(self.source, service, self.journal.receipts(adopt), clock=self.clock, side=Side.SOURCE)
        except LandbridgeError as error:
            self._write(service, by, Outcome.FAILED, {"reason": error.what})
            raise
        self._write(service, by, Outcome.DONE, {"reason": "the source is out of the path"})
        return replace(left, adopted=False, callers=now)

    async def _take_switch(self, service: ServiceId, by: str) -> None:
        """The switch first, for nobody would obey it; kept in a receipt, so that a rollback can put it back."""
        switches = await self._switches(service)
        if standing := await switches.standing(Side.SOURCE, self.source):
            self._write(service, by, Outcome.NOTE, {"receipts": 1}, standing)
            await switches.remove(standing)

    def _write(self, service: ServiceId, by: str, outcome: Outcome, detail: dict[str, Any], *kept: Receipt) -> None:
        act, at = retire_act(service).id, self.clock.now()
        entry = Entry(service=service, act=act, outcome=outcome, at=at, by=by, detail=detail, receipts=kept)
        self.journal.append(entry)


def is_half_done(lines: Sequence[Entry]) -> bool:
    """Whether the last try died in its middle, by an act's lines; a way back that was begun since is none (pure)."""
    starts = [place for place, line in enumerate(lines) if line.outcome is Outcome.STARTED]
    if not starts or lines[starts[-1]].detail.get("undo"):
        return False
    return not any(line.outcome in {Outcome.DONE, Outcome.UNDONE} for line in lines[starts[-1] :])


def retire_act(service: ServiceId) -> Act:
    """The act as the journal has it: an un-adoption of the source, so the way back knows how to undo it."""
    return Act(id=f"{service}/retire", kind=ActKind.UNADOPT, args={"side": Side.SOURCE.value})


def _adopts_source(act: Act) -> bool:
    return act.kind is ActKind.ADOPT and act.args.get("side") == Side.SOURCE.value


def _retiring(
    plan: Plan,
    journal: Journal,
    source: Kubernetes,
    target: Kubernetes,
    *,
    seconds: float,
    clock: Clock,
    token: Callable[[str], str],
) -> Retiring:
    switchboard = Switchboard(source, target, token=token, on_expiry=plan.bounds.on_expiry)
    return Retiring(
        plan=plan,
        book=agenda(plan, journal.begun, journal.open),
        journal=journal,
        source=source,
        target=target,
        switchboard=switchboard,
        clock=clock,
        seconds=seconds,
    )


async def look(
    folder: Path,
    plan: Plan,
    source: Kubernetes,
    target: Kubernetes,
    services: Collection[ServiceId],
    *,
    seconds: float,
    clock: Clock,
) -> list[Left]:
    """What is left on the source and what holds it there; only reads."""
    with Journal(folder / FOLDER / "journal.db") as journal:
        made = _retiring(plan, journal, source, target, seconds=seconds, clock=clock, token=lambda _: "")
        return (await made.look(services))[0]


async def retire(
    folder: Path,
    plan: Plan,
    source: Kubernetes,
    target: Kubernetes,
    services: Collection[ServiceId],
    *,
    seconds: float,
    clock: Clock,
    by: str,
    say: Say = lambda _: None,
) -> list[Left]:
    """Un-adopt on the source what may go, and say what is left.

    Raises AccessError for rights that are missing, before anything is written; DriftError while a run is going on, for
    one writer alone may act (law 4). Safe to repeat.
    """
    kept_in = folder / FOLDER
    with only_runner(kept_in, clock), Journal(kept_in / "journal.db") as journal:
        await preflight.check(
            source, target, ((service, retire_act(service)) for service in services if service.name != "*")
        )
        lease = RunLease((source, target), holder_of(journal), ttl=plan.bounds.lease_seconds, clock=clock)
        made = _retiring(plan, journal, source, target, seconds=seconds, clock=clock, token=lease.token)
        async with _kept(lease):
            found, before = await made.look(services)
            result = await made.take_all(found, before, by=by, fence=lease.check, say=say)
        journal.export(folder / "journal.jsonl")
        return result


@asynccontextmanager
async def _kept(lease: RunLease) -> AsyncIterator[None]:
    """The lease, held and renewed for as long as the block lasts."""
    async with lease.held():
        task = asyncio.create_task(lease.keep())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, LandbridgeError):
                await task
