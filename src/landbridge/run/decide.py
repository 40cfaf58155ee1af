"""What happens next to one service: pure functions of plan, state, ending, commands and time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from landbridge.laws import window
from landbridge.model.journal import Command, Phase, State, What
from landbridge.model.plan import Act, ActKind
from landbridge.model.service import ServiceId
from landbridge.run.agenda import Agenda, done_of, next_step, percent, remaining, shared_by, way_back

RETRY_SECONDS, LONGEST_SECONDS = 2.0, 30.0
"""How long a way back that did not succeed rests before it is tried again: the first time, and at most."""


STUCK = frozenset({Phase.DRIFTED, Phase.FAILED, Phase.PAUSED})
"""Phases of a service that keeps others waiting until a person has looked at it."""


class Ending(StrEnum):
    """How the performing of an act ended."""

    DONE = "done"
    UNDONE = "undone"
    BEGUN = "begun"  # a soak has started
    HELD = "held"
    ROLL_BACK = "roll back"
    DRIFT = "drift"
    FAILED = "failed"
    REFUSED = "refused"  # a cluster does not let us: only a person can change that
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of an act: `weight` is the target's percent now, where the act set one."""

    ending: Ending
    reason: str = ""
    weight: int | None = None
    judge: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Do:
    """Perform this act."""

    act: Act


@dataclass(frozen=True, slots=True)
class Undo:
    """Take this act back."""

    act: Act


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing to do now: until a moment, until others are further, or until a person says so.

    `gate`: others have to finish the open wave first.
    """

    reason: str
    until: float | None = None
    person: bool = False
    gate: bool = False


@dataclass(frozen=True, slots=True)
class End:
    """Nothing left to do in this run."""

    reason: str


Decision = Do | Undo | Wait | End


def concerns(command: Command, service: ServiceId) -> bool:
    """Whether a command is meant for a service."""
    return command.service is None or command.service == service


def obey(book: Agenda, state: State, commands: Iterable[Command]) -> State:
    """The state after the commands that it has not seen yet, in their order."""
    for command in sorted(commands, key=lambda c: c.seq):
        if command.seq > state.command_seq and concerns(command, state.service):
            state = replace(_obey(book, state, command), command_seq=command.seq)
    return state


def _obey(book: Agenda, state: State, command: Command) -> State:
    match command.what:
        case What.PAUSE if state.phase in {Phase.WAITING, Phase.MOVING, Phase.SOAKING, Phase.HELD}:
            return replace(state, phase=Phase.PAUSED, reason=f"paused by {command.by}")
        case What.RESUME if state.phase in {Phase.PAUSED, Phase.HELD, Phase.DRIFTED, Phase.FAILED}:
            return _go_on(state)
        case What.APPROVE:
            return _approve(book, state, command)
        case What.ROLLBACK if state.phase is not Phase.ROLLED_BACK:
            return turn_back(book, state, f"asked by {command.by}")
        case _:
            return state


def turn_back(book: Agenda, state: State, reason: str) -> State:
    """The state of a service that goes home; one that has begun nothing is home already."""
    phase = Phase.ROLLING_BACK if way_back(book, state) else Phase.ROLLED_BACK
    return replace(state, phase=phase, reason=reason, step_started=0.0, homeward=False, tries=0)


def _go_on(state: State) -> State:
    """Take up a service that stopped; one that stopped on its way home goes on home."""
    phase, reason = (Phase.ROLLING_BACK, state.reason) if state.homeward else (Phase.MOVING, "")
    return replace(state, phase=phase, reason=reason, step_started=0.0, homeward=False, tries=0)


def approval(name: str) -> str:
    """The mark in `State.done` that a person approved a wave or an act."""
    return f"approved:{name}"


def _approve(book: Agenda, state: State, command: Command) -> State:
    step = next_step(book, state)
    if step is None:
        return state
    if state.phase is Phase.HELD and step.act.id in book.open:
        # a judge that holds is overruled; any other act is done after all, with the approval in its hands
        mark = step.act.id if step.act.kind in {ActKind.WEIGHT, ActKind.SHADOW} else approval(step.act.id)
        done = (*state.done, mark)
        return replace(state, phase=Phase.MOVING, done=done, reason=f"approved by {command.by}", step_started=0.0)
    wave = book.plan.waves[step.wave]
    if wave.approval and approval(wave.name) not in state.done:
        return replace(state, done=(*state.done, approval(wave.name)))
    return state


def decide(book: Agenda, state: State, peers: Mapping[ServiceId, State], now: float, gate: int) -> Decision:
    """The next deed for a service; `gate` is the open wave (see `agenda.open_wave`)."""
    match state.phase:
        case Phase.ROLLING_BACK:
            return _decide_back(book, state, now)
        case Phase.ROLLED_BACK:
            return End(state.reason or "rolled back")
        case Phase.HELD | Phase.PAUSED | Phase.DRIFTED | Phase.FAILED:
            return Wait(reason=state.reason or state.phase.value, person=True)
        case Phase.WAITING | Phase.MOVING | Phase.SOAKING | Phase.DONE:
            return _decide_on(book, state, peers, now, gate)


def _decide_back(book: Agenda, state: State, now: float) -> Decision:
    acts = way_back(book, state)
    if not acts:
        return End(state.reason or "rolled back")
    if now < state.step_started:
        return Wait(reason=state.reason, until=state.step_started)
    return Undo(acts[0])


def _decide_on(book: Agenda, state: State, peers: Mapping[ServiceId, State], now: float, gate: int) -> Decision:
    step = next_step(book, state)
    if step is None:
        return End("done" if state.phase is Phase.DONE else "nothing to do in this run")
    wave = book.plan.waves[step.wave]
    if step.wave > gate:
        return _behind(book, peers, gate)
    if wave.approval and approval(wave.name) not in state.done:
        return Wait(reason=f"wave {wave.name} needs an approval", person=True)
    if (opens := _opens(book, state, step.wave, now)) > now:
        return Wait(reason=f"wave {wave.name} begins {wave.window}: open from {_moment(opens)}", until=opens)
    late = [str(other) for other in step.after if not _settled(peers.get(other))]
    if late and step.act.kind in {ActKind.WEIGHT, ActKind.SHADOW} and state.weight == 0:
        return Wait(reason=f"after {', '.join(late)}")
    if staying := [s for s in _named(shared_by(step.act)) if s in peers and not _across(peers[s])]:
        return _stay(staying, peers)
    until = state.step_started + float(step.act.args.get("seconds", 0))
    if state.phase is Phase.SOAKING and step.act.kind is ActKind.SOAK and now < until:
        return Wait(reason="soaking", until=until)
    return Do(step.act)


def _opens(book: Agenda, state: State, wave: int, now: float) -> float:
    """When a service may begin its wave; what has begun there goes on, for half a move is no place to stay."""
    hours = window.parse(book.plan.waves[wave].window)
    if hours is None:
        return now
    begun = done_of(book, state) | {act for act, of in book.open.items() if of == str(state.service)}
    mine = {step.act.id for step in book.steps.get(state.service, ()) if step.wave == wave}
    return now if mine & begun else hours.opens(now)


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%a %Y-%m-%d %H:%M UTC")


def _named(names: Iterable[str]) -> list[ServiceId]:
    return [ServiceId.parse(name) for name in names]


def _across(peer: State) -> bool:
    return peer.weight == 100 and peer.phase is not Phase.ROLLING_BACK


def _stay(services: list[ServiceId], peers: Mapping[ServiceId, State]) -> Decision:
    """Workloads shared with services that are not on the target keep their size."""
    names = ", ".join(map(str, services))
    if all(peers[s].phase is Phase.ROLLED_BACK for s in services):
        return End(f"the source keeps its size for {names}")
    return Wait(reason=f"after {names}")


def _behind(book: Agenda, peers: Mapping[ServiceId, State], gate: int) -> Wait:
    name = book.plan.waves[gate].name
    stuck = [
        str(p.service)
        for p in peers.values()
        if p.phase in STUCK and (step := next_step(book, p)) is not None and step.wave <= gate
    ]
    told = f": {', '.join(stuck)}" if stuck else ""
    return Wait(reason=f"wave {name} is not finished{told}", person=bool(stuck), gate=True)


def _settled(peer: State | None) -> bool:
    """Whether one that others wait for is home on the target or at rest."""
    if peer is None or peer.phase not in {Phase.WAITING, Phase.MOVING, Phase.PAUSED}:
        return True
    return peer.weight == 100


def learn(book: Agenda, state: State, deed: Do | Undo, result: Result, now: float) -> State:
    """The state after an act has been performed or taken back."""
    judge = state.judge if result.judge is None else result.judge
    weight = state.weight if result.weight is None else result.weight
    state = replace(state, judge=judge, weight=weight)
    match deed:
        case Do(act):
            return _learn_done(book, state, act, result, now)
        case Undo(act):
            return _learn_undone(book, state, act, result, now)


def _learn_done(book: Agenda, state: State, act: Act, result: Result, now: float) -> State:
    match result.ending:
        case Ending.DONE | Ending.UNDONE:
            state = replace(state, done=(*(d for d in state.done if d != act.id), act.id))
            return replace(state, phase=_phase_after(book, state, act), reason="", step_started=now)
        case Ending.BEGUN:
            return replace(state, phase=Phase.SOAKING, reason=result.reason, step_started=now)
        case Ending.ROLL_BACK:
            return turn_back(_with_open(book, state.service, act), state, result.reason)
        case Ending.INTERRUPTED:
            return replace(state, phase=Phase.MOVING if state.phase is Phase.WAITING else state.phase)
        case Ending.HELD:
            return replace(state, phase=Phase.HELD, reason=result.reason)
        case Ending.DRIFT:
            return replace(state, phase=Phase.DRIFTED, reason=result.reason)
        case Ending.FAILED | Ending.REFUSED:
            return replace(state, phase=Phase.FAILED, reason=result.reason)


def _phase_after(book: Agenda, state: State, act: Act) -> Phase:
    step = next(remaining(_with_open(book, state.service, act), state), None)
    if step is None:
        return Phase.DONE
    here = next((s.wave for s in book.steps.get(state.service, ()) if s.act.id == act.id), step.wave)
    return Phase.WAITING if step.wave > here and state.weight == 0 else Phase.MOVING


def _with_open(book: Agenda, service: ServiceId, act: Act) -> Agenda:
    """The agenda that also knows the act just ended as begun."""
    return replace(book, begun={**book.begun, act.id: act}, open={**book.open, act.id: str(service)})


def _learn_undone(book: Agenda, state: State, act: Act, result: Result, now: float) -> State:
    match result.ending:
        case Ending.UNDONE | Ending.DONE:
            return _forget(book, state, act)
        case Ending.DRIFT:
            return replace(state, phase=Phase.DRIFTED, reason=result.reason, homeward=True)
        case Ending.REFUSED:
            return replace(state, phase=Phase.FAILED, reason=result.reason, homeward=True)
        case Ending.INTERRUPTED:
            return state
        case Ending.HELD | Ending.FAILED | Ending.BEGUN | Ending.ROLL_BACK:
            rest = min(LONGEST_SECONDS, RETRY_SECONDS * 2.0 ** min(state.tries, 10))
            return replace(state, reason=result.reason, step_started=now + rest, tries=state.tries + 1)


def _forget(book: Agenda, state: State, act: Act) -> State:
    gone = {act.id}
    if act.kind is ActKind.WEIGHT:  # one write took every weight home
        known = {i: book.act(i) for i in (*state.done, *book.open)}
        mine = {i for i, of in book.open.items() if of == str(state.service)} | set(state.done)
        gone |= {i for i in mine if (a := known[i]) is not None and a.kind is ActKind.WEIGHT}
    state = replace(state, done=tuple(d for d in state.done if d not in gone), step_started=0.0, tries=0)
    left = way_back(replace(book, open={o: of for o, of in book.open.items() if o not in gone}), state)
    return state if left else replace(state, phase=Phase.ROLLED_BACK)


def renew(state: State) -> State:
    """The state with which a new run takes up a service that an earlier run left: what failed is tried again."""
    match state.phase:
        case Phase.ROLLED_BACK:
            return replace(
                state, phase=Phase.WAITING, attempt=state.attempt + 1, judge={}, reason="", weight=0, step_started=0.0
            )
        case Phase.HELD | Phase.DRIFTED | Phase.FAILED:
            return _go_on(state)
        case _:
            return state


def percent_of(act: Act) -> int | None:
    """The percent of a weight act; None for others."""
    return percent(act) if act.kind is ActKind.WEIGHT else None
