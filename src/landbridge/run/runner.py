"""`landbridge run`: takes the lease, launches engine and observer, and carries the plan out to its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from landbridge.clients.answers import NotFoundError
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, SystemClock
from landbridge.errors import AccessError, DriftError, LandbridgeError, RolledBackError, WaitingError
from landbridge.model.journal import Outcome, Phase, State
from landbridge.model.plan import ActKind, Plan
from landbridge.model.service import ServiceId
from landbridge.observe.envoy import EnvoyProvider
from landbridge.observe.guards import Guards
from landbridge.observe.provider import MetricsProvider
from landbridge.run import preflight
from landbridge.run.acts import DRY_RUN, executors
from landbridge.run.agenda import Agenda, Scope, agenda, in_reach, weight_act
from landbridge.run.carrier import Standing, begin, carry_out, end, launched, only_runner, renew_all
from landbridge.run.decide import Do, Ending, Undo
from landbridge.run.engine import Engine
from landbridge.run.expiry import GONE
from landbridge.run.journal import FOLDER, Journal
from landbridge.run.lease import RunLease
from landbridge.run.observer import Observer
from landbridge.run.owners import ClusterOwners
from landbridge.run.switches import Switchboard
from landbridge.run.tools import Tools
from landbridge.run.turns import Event, Executor, Tell, Turns
from landbridge.translate.rules import Rules

LEFT = frozenset({Phase.HELD, Phase.PAUSED, Phase.MOVING, Phase.FAILED})
"""Phases in which a service may stand with a share that nobody watches when its runner has died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How a run ended: every service's state, and what each that is not done waits for."""

    run: str
    resumed: bool
    states: Mapping[ServiceId, State]
    waits: Mapping[ServiceId, str]
    rolled_back: tuple[ServiceId, ...]
    """Those that the judge took home in this attempt."""
    refused: tuple[ServiceId, ...] = ()
    """Those that stopped because a cluster did not let them go on."""

    def error(self) -> LandbridgeError | None:
        """What the exit code says of it; None when everything that was asked for is done."""
        drifted = self._in(Phase.DRIFTED)
        failed = self._in(Phase.FAILED)
        if failed and set(failed) <= set(self.refused):
            return AccessError(
                f"a cluster refused {len(failed)} services: {self._told(failed)}",
                advice="have the rights granted (docs/permissions.md), then `landbridge run` again: it goes on, also "
                "on a way home",
            )
        if failed:
            return LandbridgeError(
                f"{len(failed)} services failed: {self._told(failed)}", advice="mend it, then `landbridge run` again"
            )
        if drifted:
            return DriftError(
                f"{len(drifted)} services were written by somebody else: {self._told(drifted)}",
                advice="`landbridge resume` to go on from what is there, or `landbridge rollback`",
            )
        if self.rolled_back:
            return RolledBackError(
                f"the judge took {len(self.rolled_back)} services home: {self._told(self.rolled_back)}",
                advice="mend the new copy, then `landbridge run` again; `landbridge explain SERVICE` has the numbers",
            )
        if self.waits:
            return WaitingError(
                f"{len(self.waits)} services wait: {self._told(tuple(self.waits))}",
                advice="`landbridge approve`, `resume` or `rollback` the service, then `landbridge run`; `run --wait` "
                "stays and watches until somebody has decided",
            )
        return None

    def _in(self, phase: Phase) -> tuple[ServiceId, ...]:
        return tuple(service for service, state in self.states.items() if state.phase is phase)

    def _told(self, services: tuple[ServiceId, ...]) -> str:
        return "; ".join(f"{s}: {self.waits.get(s) or self.states[s].reason}" for s in services)


async def run(
    folder: Path,
    read_plan: Callable[[], Plan],
    source: Kubernetes,
    target: Kubernetes,
    *,
    scope: Scope | None = None,
    rules: Rules | None = None,
    image: str = "",
    provider: MetricsProvider | None = None,
    guards: Guards | None = None,
    clock: Clock | None = None,
    tell: Tell = lambda _: None,
    wait: bool = False,
) -> Summary:
    """Carry the plan of a migration's folder out, or go on with it; commands are read from the journal meanwhile.

    With `wait` it stays and watches while services wait for a person; else it ends when nothing can go on by itself.

    `read_plan` gives the plan as it is now and the same object while it has not changed. Raises AccessError that
    names every missing right, before anything is written; DriftError for a second runner or a lost lease, JournalError
    and EngineError when the disk refuses: all end the process, and the next run goes on. How the services ended is in
    the Summary, whose `error()` gives the exit code.
    """
    clock = clock or SystemClock()
    kept = folder / FOLDER
    with only_runner(kept, clock), Journal(kept / "journal.db") as journal:
        bounds = read_plan().bounds
        resumed = bool((run_ := journal.fact("run")) and run_["ended"] is None)
        await _may(source, target, agenda(read_plan(), scope=scope), clock, tell)
        lease = RunLease((source, target), holder_of(journal), ttl=bounds.lease_seconds, clock=clock)
        switchboard = Switchboard(source, target, token=lease.token, on_expiry=bounds.on_expiry)
        guards = guards or Guards({}, {}, clock)
        observer = Observer(
            provider or EnvoyProvider(source, target, clock),
            journal,
            clock,
            owners=ClusterOwners(source, target, switchboard),
            guards=guards,
            fence=lease.check,
        )
        tools = Tools(
            source=source,
            target=target,
            switchboard=switchboard,
            observer=observer,
            clock=clock,
            rules=rules or Rules(),
            image=image,
        )
        turns = _turns(journal, read_plan, executors(tools), clock, lease.check, tell, scope)
        engine = Engine(kept, turns, clock, concurrency=bounds.concurrency)
        await engine.prepare()
        async with lease.held(), _noted(journal, clock), _beside(engine, lease.keep()):
            identity = begin(turns)
            await _follow(turns, switchboard, observer)
            await _watch_on(turns, tools)  # before acts that were in hand are taken up: their watches replace these
            async with launched(engine), _beside(engine, observer.run(), guards.run()):
                standings = await carry_out(engine, turns, wait=wait)
            end(journal, clock)
        return _summary(identity, resumed, journal, standings)


@asynccontextmanager
async def _noted(journal: Journal, clock: Clock) -> AsyncIterator[None]:
    """Keep when the lease was given back, for whoever asks later what became of the splits."""
    journal.put(GONE, None)
    try:
        yield
    finally:
        with contextlib.suppress(LandbridgeError):  # a full disk: what went wrong first is told
            journal.put(GONE, clock.now())


async def _may(source: Kubernetes, target: Kubernetes, book: Agenda, clock: Clock, tell: Tell) -> None:
    """AccessError names the rights that are missing; those that a run can do without are told."""
    lacking = await preflight.check(source, target, in_reach(book))
    for service, text in preflight.told(lacking):
        tell(Event(at=clock.now(), service=service, act="", kind="note", text=text))


def _turns(
    journal: Journal,
    read_plan: Callable[[], Plan],
    table: Mapping[ActKind, Executor],
    clock: Clock,
    fence: Callable[[], None],
    tell: Tell,
    scope: Scope | None,
) -> Turns:
    return Turns(
        journal=journal, read_plan=read_plan, executors=table, clock=clock, fence=fence, tell=tell, scope=scope
    )


def holder_of(journal: Journal) -> str:
    """Who holds the lease: this folder on this machine, whichever process it is."""
    name = journal.fact("holder")
    if name is None:
        name = f"landbridge-{socket.gethostname()}-{journal.path.stat().st_ino:x}"
        journal.put("holder", name)
    return str(name)


@asynccontextmanager
async def _beside(engine: Engine, *work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Tasks that run as long as the plan is carried out; one that fails ends the process through the engine."""
    tasks = [asyncio.create_task(_or_fail(engine, each)) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for each in work:  # one that was cancelled before it began would complain
            each.close()


async def _or_fail(engine: Engine, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except LandbridgeError as error:
        engine.fail(error)
    except Exception as error:  # noqa: BLE001 - without observer or lease nothing may go on
        engine.fail(LandbridgeError(f"defect: {type(error).__name__}: {error}", advice="please report it"))


async def _follow(turns: Turns, switchboard: Switchboard, observer: Observer) -> None:
    """Services that stand split at weight 0 are listened to from the start."""
    book = turns.book()
    for service, state in turns.states().items():
        acts = [act for act in map(book.act, state.done) if act is not None and act.kind is ActKind.SPLIT]
        if state.weight == 0 and acts:
            switches = await switchboard.planned(service, acts[0].args)
            observer.follow(switches.route(), book.plan)


async def _watch_on(turns: Turns, tools: Tools) -> None:
    """Services that an earlier runner left with a share are observed at once: they may have to go home."""
    book = turns.book()
    for state in turns.states().values():
        act = weight_act(book, state) if 0 < state.weight < 100 and state.phase in LEFT and not state.homeward else None
        if act is None or (state.phase is Phase.MOVING and tools.observer.crossed(state.service)):
            continue  # its act ends with what the judge has said before the crash
        job = turns.job(state, act)
        try:
            dwell = float(act.args.get("dwell", 60.0))
            why = await tools.observer.stand(job, await tools.switches(job), dwell=dwell)
        except (NotFoundError, DriftError) as error:
            why = error.what
        if why and state.phase is not Phase.MOVING:  # else its act looks at what is there
            job.say(f"is not watched: {why}")


def _summary(identity: str, resumed: bool, journal: Journal, standings: Mapping[ServiceId, Standing]) -> Summary:
    states = {service: standing.state for service, standing in standings.items()}
    back = [s for s, state in states.items() if state.phase is Phase.ROLLED_BACK and _by_judge(journal, state)]
    waits = {s: standing.next for s, standing in standings.items() if standing.next}
    refused = [s for s, state in states.items() if state.phase is Phase.FAILED and _was_refused(journal, s)]
    return Summary(
        run=identity,
        resumed=resumed,
        states=states,
        waits=waits,
        rolled_back=tuple(back),
        refused=tuple(refused),
    )


def _was_refused(journal: Journal, service: ServiceId) -> bool:
    endings = [e.detail.get("ending") for e in journal.entries(service) if e.outcome is Outcome.FAILED]
    return endings[-1:] == [Ending.REFUSED.value]


def _by_judge(journal: Journal, state: State) -> bool:
    entries = journal.entries(state.service)
    return any(e.outcome is Outcome.VERDICT and e.detail.get("attempt") == state.attempt for e in entries)


async def rehearse(
    folder: Path,
    read_plan: Callable[[], Plan],
    *,
    scope: Scope | None = None,
    clock: Clock | None = None,
    tell: Tell = lambda _: None,
) -> dict[ServiceId, State]:
    """A dry run: the same decisions over the same plan, from where the services stand, with executors that only tell.

    Writes to a journal of its own, which is thrown away; waits for nothing, also not for a window.
    """
    clock = clock or SystemClock()
    with TemporaryDirectory() as place, Journal(Path(place) / "journal.db") as journal:
        turns = _turns(journal, _at_any_hour(read_plan), DRY_RUN, clock, lambda: None, tell, scope)
        real = folder / FOLDER / "journal.db"
        if real.exists():
            with Journal(real) as before:
                for _, state in before.states().values():  # a dry run does not wait for a soak or a retry
                    turns.advance(0, replace(state, step_started=0.0))
                journal.begun, journal.open = dict(before.begun), dict(before.open)
        turns.book()
        renew_all(turns)
        while await _rehearse_round(turns):
            pass
        return turns.states()


def _at_any_hour(read_plan: Callable[[], Plan]) -> Callable[[], Plan]:
    """The plan without its windows; the same object while it has not changed."""
    kept: list[tuple[Plan, Plan]] = []

    def read() -> Plan:
        plan = read_plan()
        if not kept or kept[0][0] is not plan:
            kept[:] = [(plan, replace(plan, waves=tuple(replace(wave, window="") for wave in plan.waves)))]
        return kept[0][1]

    return read


async def _rehearse_round(turns: Turns) -> bool:
    moved = False
    for service in turns.book().steps:
        deed = turns.next(service)
        n, _ = turns.heads[service]
        if isinstance(deed, Do | Undo):
            decision = await turns.decide(str(service), n, {})
            result = await turns.perform(str(service), n, decision)
            await turns.record(str(service), n, decision, result)
            moved = True
    return moved
