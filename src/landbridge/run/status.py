"""Where every service stands, as rows: a projection of the journal and the plan, for status, explain and the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from landbridge.judge import JudgeState
from landbridge.judge.state import Totals
from landbridge.model.journal import Entry, Outcome, Phase, State
from landbridge.model.plan import Act, ActKind, Plan
from landbridge.model.service import ServiceId
from landbridge.run.agenda import Agenda, Scope, agenda, open_by_service, open_wave, percent, remaining, way_back
from landbridge.run.burnup import burn_up, moving
from landbridge.run.decide import Do, End, Undo, Wait, decide
from landbridge.run.journal import Journal

USUAL = {
    ActKind.COPY: 3.0,
    ActKind.READY: 20.0,
    ActKind.ADOPT: 5.0,
    ActKind.UNADOPT: 15.0,
    ActKind.HANDOVER: 5.0,
    ActKind.SCALE: 10.0,
}
"""Seconds that an act takes where this run has not shown it yet; others take about one."""

BACK = {ActKind.SCALE: 20.0, ActKind.UNADOPT: 5.0, ActKind.HANDOVER: 5.0, ActKind.WEIGHT: 0.5}
"""Seconds that taking an act back takes where this run has not shown it yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One service: what `status` shows of it. Times in seconds."""

    service: ServiceId
    phase: Phase
    weight: int
    attempt: int
    done: int
    acts: int
    act: str
    """The act in hand or the next one, empty when there is none."""
    reason: str
    """Why it waits or holds, what comes next otherwise."""
    left: float
    """Seconds until it is done, by dwells and by how long acts have taken; without holds."""
    back: float
    """Seconds that the way back would take now."""
    verdict: str
    evidence: float | None
    n_target: int
    bad_target: int
    n_source: int
    bad_source: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """All rows at one moment; `running` says whether a run has begun and not ended in order."""

    at: float
    run: str
    running: bool
    wave: str
    rows: tuple[Row, ...]
    guards: tuple[str, ...] = ()
    """Guards that stand against services, with what each holds."""
    burn_up: tuple[tuple[float, int], ...] = ()
    """(moment, services home on the target): each change since the beginning."""
    moving: int = 0
    """How many services are to get there."""


def read_status(journal: Journal, plan: Plan, now: float) -> Status:
    """The status from what the journal has on the disk; needs no runner and no cluster."""
    states = {service: state for service, (_, state) in journal.states().items()}
    book = agenda(plan, journal.begun, journal.open, Scope())
    for service in book.steps:
        states.setdefault(service, State(service=service, phase=Phase.WAITING))
    gate = open_wave(book, states)
    entries = journal.entries()
    took = durations(entries)
    run: Mapping[str, Any] = journal.fact("run") or {}
    last = journal.last_looks()
    begun = open_by_service(book)
    rows = tuple(
        _row(replace(book, open=begun.get(str(s), {})), states, s, gate, took, last.get(s, {}), now)
        for s in sorted(book.steps)
    )
    wave = plan.waves[gate].name if gate < len(plan.waves) else ""
    running = bool(run) and run["ended"] is None
    guards = tuple(journal.fact("guards") or ()) if running else ()
    return Status(
        at=now,
        run=str(run.get("id", "")),
        running=running,
        wave=wave,
        rows=rows,
        guards=guards,
        burn_up=tuple(burn_up(entries)),
        moving=moving(plan),
    )


def _row(
    book: Agenda,
    states: Mapping[ServiceId, State],
    service: ServiceId,
    gate: int,
    took: Mapping[tuple[str, bool], float],
    look: Mapping[str, Any],
    now: float,
) -> Row:
    state = states[service]
    act, reason = _next(book, states, state, gate, now)
    judge = JudgeState.from_json(look["judge"]) if look.get("judge") else None
    total = judge.total if judge else Totals()
    dwells_at = _dwells_at(book.act(act), state, look)
    watched = dwells_at is not None or (state.phase in {Phase.MOVING, Phase.HELD} and state.weight > 0)
    acts = [step.act for step in book.steps[service]]
    return Row(
        service=service,
        phase=state.phase,
        weight=state.weight if dwells_at is None else dwells_at,
        attempt=state.attempt,
        done=sum(a.id in state.done for a in acts),
        acts=len(acts),
        act=act,
        reason=(watched and look.get("reason")) or reason,
        left=time_left(book, state, took, now),
        back=time_back(book, state, took),
        verdict=str(look.get("verdict", "")),
        evidence=judge.evidence if judge else None,
        n_target=int(total.n_new),
        bad_target=int(total.bad_new),
        n_source=int(total.n_old),
        bad_source=int(total.bad_old),
    )


def _dwells_at(act: Act | None, state: State, look: Mapping[str, Any]) -> int | None:
    """The weight of the act in hand, once it is looked at: the state learns of a weight when its act has ended."""
    begun = act is not None and act.kind is ActKind.WEIGHT and look.get("at", 0.0) > state.step_started
    return percent(act) if act is not None and begun and state.phase is Phase.MOVING else None


def _next(book: Agenda, states: Mapping[ServiceId, State], state: State, gate: int, now: float) -> tuple[str, str]:
    match decide(book, state, states, now, gate):
        case Do(act):
            return act.id, state.reason
        case Undo(act):
            return act.id, f"takes back {act.kind.value}: {state.reason}"
        case Wait(reason=reason) | End(reason=reason):
            return "", reason


def durations(entries: list[Entry]) -> dict[tuple[str, bool], float]:
    """How long kinds of acts took in the mean, by (kind, taken back): from their lines before and after."""
    began: dict[tuple[ServiceId, str], tuple[float, str, bool]] = {}
    sums: dict[tuple[str, bool], tuple[float, int]] = {}
    for entry in entries:
        key = (entry.service, entry.act)
        if entry.outcome is Outcome.STARTED:
            began[key] = (entry.at, str(entry.detail["act"]["kind"]), bool(entry.detail.get("undo")))
        elif entry.outcome in {Outcome.DONE, Outcome.UNDONE} and key in began:
            at, kind, undo = began.pop(key)
            total, n = sums.get((kind, undo), (0.0, 0))
            sums[kind, undo] = (total + entry.at - at, n + 1)
    return {key: total / n for key, (total, n) in sums.items()}


def time_left(book: Agenda, state: State, took: Mapping[tuple[str, bool], float], now: float) -> float:
    """Seconds until everything planned is done for a service, without holds and without waiting for others."""
    if state.phase in {Phase.ROLLED_BACK, Phase.ROLLING_BACK, Phase.DONE}:
        return 0.0
    left = sum(_takes(step.act, took) for step in remaining(book, state))
    waited = now - state.step_started if state.phase is Phase.SOAKING else 0.0
    return max(0.0, left - waited)


def _takes(act: Act, took: Mapping[tuple[str, bool], float]) -> float:
    match act.kind:
        case ActKind.WEIGHT | ActKind.SHADOW:
            return float(act.args.get("dwell", 60.0))
        case ActKind.SOAK:
            return float(act.args.get("seconds", 0.0))
        case kind:
            return took.get((kind.value, False), USUAL.get(kind, 1.0))


def time_back(book: Agenda, state: State, took: Mapping[tuple[str, bool], float]) -> float:
    """Seconds until all traffic of a service would be home, if it were rolled back now."""
    acts = way_back(book, state)
    last = max((i for i, act in enumerate(acts) if act.kind is ActKind.WEIGHT), default=-1)
    return sum(took.get((act.kind.value, True), BACK.get(act.kind, 0.2)) for act in acts[: last + 1])


def explain(journal: Journal, plan: Plan, service: ServiceId, now: float, lines: int = 20) -> dict[str, Any]:
    """Why a service stands where it stands and what comes next: its row, its next acts, its last lines and looks."""
    status = read_status(journal, plan, now)
    row = next(r for r in status.rows if r.service == service)
    head = journal.state(service)
    state = head[1] if head else State(service=service, phase=Phase.WAITING)
    book = agenda(plan, journal.begun, journal.open, Scope())
    return {
        "row": row,
        "next": [step.act for step in remaining(book, state)][:5],
        "back": list(way_back(book, state)),
        "lines": journal.entries(service)[-lines:],
        "looks": journal.last_of(service, lines),
    }
