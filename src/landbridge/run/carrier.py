"""Carries a plan out: starts what can start, until every service is done, at rest, or waits for a person."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import math
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from landbridge.clock import Clock, rfc3339
from landbridge.errors import DriftError
from landbridge.model.journal import State
from landbridge.model.service import ServiceId
from landbridge.run.decide import Do, End, Undo, Wait, renew
from landbridge.run.engine import Engine
from landbridge.run.journal import Journal
from landbridge.run.turns import Turns

TICK = 0.25
"""Seconds between two looks for commands and for moments that have come."""

_STATE = TypeAdapter(State)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where one service stands when a run ends, or at any moment, and what comes next."""

    state: State
    next: str
    until: float | None = None
    starts: bool = False
    """Whether something has just been started, or will start by itself."""


@contextmanager
def only_runner(folder: Path, clock: Clock) -> Iterator[None]:
    """Hold the folder's lock; DriftError (exit 4) names the runner that has it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise DriftError(
                f"another runner carries this plan out: {holder}",
                where=str(folder),
                advice="wait for it to end, or give it commands: landbridge pause, resume, rollback",
            ) from None
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {rfc3339(clock.now())}\n")
        file.flush()
        yield


def begin(turns: Turns) -> str:
    """Take up the run that was interrupted, or begin a new one, which tries again what the last one left; its id."""
    journal, now = turns.journal, turns.clock.now()
    run: dict[str, Any] = journal.fact("run") or {}
    if run and run["ended"] is None:
        journal.put("resumed", int(journal.fact("resumed") or 0) + 1)
        return str(run["id"])
    turns.book()
    with journal.writing():
        number = int(run.get("number", 0)) + 1
        run = {"id": f"run-{number}-{int(now)}", "number": number, "began": now, "ended": None}
        journal.put("run", run)
        if number > 1:
            renew_all(turns)
    return str(run["id"])


def renew_all(turns: Turns) -> None:
    """Take services up again that an earlier run left held, failed, drifted or rolled back."""
    last = max((c.seq for c in turns.journal.commands()), default=0)
    for service, (n, state) in list(turns.heads.items()):
        if not turns.scope.takes(service):
            continue
        fresh = renew(state)
        if fresh != state:
            if fresh.attempt != state.attempt:
                turns.journal.forget_judge(service)
            turns.advance(n + 1, replace(fresh, command_seq=max(last, fresh.command_seq)))


def end(journal: Journal, clock: Clock) -> None:
    """Say that the run came to its end in order, and write the lines for git."""
    journal.put("run", {**(journal.fact("run") or {}), "ended": clock.now()})
    journal.export(journal.path.parent.parent / "journal.jsonl")


@asynccontextmanager
async def launched(engine: Engine) -> AsyncIterator[None]:
    """The engine, running; closed at the end, with what is in hand asked to stop."""
    await engine.launch()
    try:
        yield
    finally:
        engine.turn.closing = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_idle(engine), 10.0 if not engine.failed.done() else 0.1)
        await engine.close()


async def _idle(engine: Engine) -> None:
    while engine.active:
        engine.changed.clear()
        await engine.changed.wait()


async def carry_out(engine: Engine, turns: Turns, *, wait: bool = False) -> dict[ServiceId, Standing]:
    """Keep every service going until nothing can start by itself any more; raise what must end the process.

    With `wait` commands are waited for as long as a service waits for something.
    """
    rounds = Rounds(engine, turns)
    while True:
        engine.changed.clear()
        if engine.failed.done():
            engine.failed.result()
        standings = await rounds.go()
        idle = not engine.active and not any(s.starts for s in standings.values())
        if idle and not (wait and any(s.next for s in standings.values())):
            return standings
        await _pause(engine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How a service stood in this very state; it holds until a moment, or until others or a person change something."""

    state: State
    standing: Standing
    until: float = math.inf


class Rounds:
    """Looks over all services again and again; what cannot have changed since the last time is not worked out anew.

    Of 409 services nearly all wait while 64 are moved, and each act that ends begins a round.
    """

    def __init__(self, engine: Engine, turns: Turns) -> None:
        self._engine = engine
        self._turns = turns
        self._heard = -1
        self._kept: dict[ServiceId, Kept] = {}
        self._mark: tuple[object, ...] = ()

    async def go(self) -> dict[ServiceId, Standing]:
        """Start what can start, at most `concurrency` services at a time; those that have a share come first.

        A service that was started keeps its place until it has to wait: none stands at 5 % while others take their
        turns. While no place is free only commands are heard, and the answer is not complete.
        """
        engine, turns = self._engine, self._turns
        standings: dict[ServiceId, Standing] = {}
        told = self._news()
        for service in sorted(turns.book().steps, key=lambda s: not 0 < turns.heads[s][1].weight < 100):
            if str(service) in engine.active:
                continue
            if not told and len(engine.active) >= engine.concurrency:
                break
            standings[service] = self._rest(service) or await self._look(service)
        return standings

    def _news(self) -> bool:
        """Whether there are commands that were not there at the last round; and what was kept is dropped if stale."""
        turns = self._turns
        before, self._heard = self._heard, turns.journal.last_command()
        mark = (turns.book(), turns.journal.taken_back, turns.gate(), turns.stops, self._heard)
        if mark != self._mark:
            self._kept = {}
        self._mark = mark
        return before != self._heard

    def _rest(self, service: ServiceId) -> Standing | None:
        """How a service stands that is where it was, and has to stay there for now."""
        kept = self._kept.get(service)
        if kept is None or kept.state is not self._turns.heads[service][1] or kept.until <= self._turns.clock.now():
            return None
        return kept.standing

    async def _look(self, service: ServiceId) -> Standing:
        engine, turns = self._engine, self._turns
        decision = turns.next(service)
        n, state = turns.heads[service]
        match decision:
            case Do() | Undo():
                if len(engine.active) < engine.concurrency:
                    await engine.start(service, n, _STATE.dump_python(state, mode="json"))
                return Standing(state=state, next=decision.act.id, starts=True)
            case Wait(until=until):
                standing = Standing(state=state, next=decision.reason, until=until, starts=until is not None)
                if until is not None or decision.gate or decision.person:  # others may be waited for one by one
                    self._kept[service] = Kept(state=state, standing=standing, until=until or math.inf)
                return standing
            case End():
                standing = Standing(state=state, next="")
                self._kept[service] = Kept(state=state, standing=standing)
                return standing


async def _pause(engine: Engine) -> None:
    """Until a workflow ends, the process has to, or a tick has passed."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(engine.changed.wait(), TICK)


def read_json(path: Path, adapter: TypeAdapter[Any]) -> Callable[[], Any]:
    """A reader that reads a JSON document again only when the file has changed."""
    cache: dict[str, Any] = {}

    def read() -> Any:
        stat = path.stat()
        mark = (stat.st_mtime_ns, stat.st_size)
        if cache.get("mark") != mark:
            cache["value"] = adapter.validate_python(json.loads(path.read_text(encoding="utf-8")))
            cache["mark"] = mark
        return cache["value"]

    return read
