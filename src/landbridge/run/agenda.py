"""What a service still has to do, and which wave is open: pure questions to a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from landbridge.model.journal import Phase, State
from landbridge.model.plan import Act, ActKind, Plan, ServicePlan, Wave
from landbridge.model.service import ServiceId, Side

MOVING_KINDS = frozenset(
    {
        ActKind.SHADOW,
        ActKind.WEIGHT,
        ActKind.FINISH,
        ActKind.SOAK,
        ActKind.SCALE,
        ActKind.UNADOPT,
        ActKind.UNPIN,
        ActKind.HANDOVER,
    }
)
"""A wave with one of these moves something; the waves before prepare, and prepare for everybody."""

RESTING = frozenset({Phase.HELD, Phase.ROLLED_BACK})
"""Phases in which a service does not keep the next wave waiting."""

STOPPED = frozenset({Phase.DRIFTED, Phase.FAILED})
"""Phases in which a service does not keep the next wave waiting, unless its wave was one that prepares."""

WAY_BACK = (
    ActKind.HANDOVER,  # the target's consumers off first (law 8)
    ActKind.UNPIN,
    ActKind.SCALE,  # the source at full size before traffic returns to it
    ActKind.UNADOPT,  # the target's callers can be turned round again
    ActKind.FINISH,  # the source is home again
    ActKind.WEIGHT,
    ActKind.SHADOW,
    ActKind.SOAK,
    ActKind.PIN,
    ActKind.READY,
)
"""The order in which a rollback undoes acts; copy, adopt and split stay, for a next attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Which services this run moves: None means all; waves after `last_wave` are left alone."""

    services: frozenset[ServiceId] | None = None
    last_wave: int | None = None

    def takes(self, service: ServiceId) -> bool:
        """Whether the service is to be moved (the waves that prepare are for all)."""
        return self.services is None or service in self.services or service.name == "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One act of a service at its place in the plan."""

    wave: int
    act: Act
    after: tuple[ServiceId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Agenda:
    """A plan turned round: the steps of each service, and every act ever begun, by id."""

    plan: Plan
    steps: Mapping[ServiceId, tuple[Step, ...]]
    planned: Mapping[str, Act] = field(default_factory=dict)
    begun: Mapping[str, Act] = field(default_factory=dict)
    open: Mapping[str, str] = field(default_factory=dict)
    """Acts that were begun and not taken back, with their service: what a rollback has to look at."""
    first_move: int = 0
    scope: Scope = Scope()

    def act(self, act_id: str) -> Act | None:
        """The act as it was begun, or as the plan has it now."""
        if act_id in self.begun:
            return self.begun[act_id]
        return self.planned.get(act_id)


def agenda(
    plan: Plan,
    begun: Mapping[str, Act] | None = None,
    unfinished: Mapping[str, str] | None = None,
    scope: Scope | None = None,
) -> Agenda:
    """Turn a plan round; `begun` holds acts of the journal, which a newer plan may no longer know."""
    steps: dict[ServiceId, list[Step]] = {}
    for index, wave in enumerate(plan.waves):
        for entry in wave.services:
            made = [Step(wave=index, act=act, after=entry.after) for act in entry.acts]
            steps.setdefault(entry.service, []).extend(made)
    return Agenda(
        plan=plan,
        steps={service: tuple(of) for service, of in steps.items()},
        planned={step.act.id: step.act for of in steps.values() for step in of},
        begun={} if begun is None else begun,
        open={} if unfinished is None else unfinished,
        first_move=next((i for i, wave in enumerate(plan.waves) if _moves(wave)), len(plan.waves)),
        scope=scope or Scope(),
    )


def _moves(wave: Wave) -> bool:
    return any(act.kind in MOVING_KINDS for entry in wave.services for act in entry.acts)


def service_plans(plan: Plan, service: ServiceId) -> tuple[ServicePlan, ...]:
    """The entries of one service over all waves."""
    return tuple(entry for wave in plan.waves for entry in wave.services if entry.service == service)


def acts_of(plan: Plan, service: ServiceId) -> tuple[Act, ...]:
    """All acts of one service in their order."""
    return tuple(act for entry in service_plans(plan, service) for act in entry.acts)


def percent(act: Act) -> int:
    """The target's percent that a weight act sets, or the percent that a shadow copies."""
    return int(act.args["percent"])


def done_of(book: Agenda, state: State) -> frozenset[str]:
    """What is done for a service and was not taken back, also not by the way back of another one."""
    return frozenset(d for d in state.done if d in book.open or d not in book.begun)


def remaining(book: Agenda, state: State) -> Iterator[Step]:
    """The steps that are not done; a weight below one already passed counts as done (an edited plan), and a shadow."""
    done = done_of(book, state)
    passed = [act for act in map(book.act, done) if act is not None and act.kind is ActKind.WEIGHT]
    top = max(map(percent, passed), default=-1)
    for step in book.steps.get(state.service, ()):
        late = step.act.kind is ActKind.WEIGHT and percent(step.act) <= top
        late |= step.act.kind is ActKind.SHADOW and top > 0
        if step.act.id not in done and not late:
            yield step


def next_step(book: Agenda, state: State) -> Step | None:
    """The first step that is not done, if this run may do it."""
    step = next(remaining(book, state), None)
    return step if step is not None and _in_scope(book, state.service, step) else None


def _in_scope(book: Agenda, service: ServiceId, step: Step) -> bool:
    if book.scope.last_wave is not None and step.wave > book.scope.last_wave:
        return False
    return step.wave < book.first_move or book.scope.takes(service)


def in_reach(book: Agenda) -> Iterator[tuple[ServiceId, Act]]:
    """Every act that this run may come to, with whose it is."""
    for service, steps in book.steps.items():
        yield from ((service, step.act) for step in steps if _in_scope(book, service, step))


def open_wave(book: Agenda, states: Mapping[ServiceId, State]) -> int:
    """The last wave whose acts may start: every wave before it is done or at rest for all of its services."""
    return min((_blocks(book, state) for state in states.values()), default=len(book.plan.waves))


class OpenWave:
    """The same for a run, which asks before and after each of thousands of acts: only what is new is looked at.

    `mark` says that acts were taken back, which may concern the states of other services too.
    """

    def __init__(self) -> None:
        self._of: tuple[Agenda, int] | None = None
        self._known: dict[ServiceId, int] = {}
        self._waves: Counter[int] = Counter()
        self._new: set[ServiceId] = set()

    def note(self, service: ServiceId) -> None:
        """A service has another state than before."""
        self._new.add(service)

    def find(self, book: Agenda, states: Mapping[ServiceId, State], mark: int = 0) -> int:
        """The last wave whose acts may start."""
        if self._of is None or self._of[0] is not book or self._of[1] != mark:
            self._of, self._known, self._waves, self._new = (book, mark), {}, Counter(), set(states)
        while self._new:
            self._learn(book, states[self._new.pop()])
        return min(self._waves, default=len(book.plan.waves))

    def _learn(self, book: Agenda, state: State) -> None:
        before = self._known.get(state.service)
        now = self._known[state.service] = _blocks(book, state)
        if before is not None:
            self._waves[before] -= 1
            if not self._waves[before]:
                del self._waves[before]
        self._waves[now] += 1


def _blocks(book: Agenda, state: State) -> int:
    step = next_step(book, state)
    if step is None or state.phase in RESTING:
        return len(book.plan.waves)
    if state.phase in STOPPED and step.wave >= book.first_move:
        return len(book.plan.waves)
    return step.wave


def way_back(book: Agenda, state: State) -> tuple[Act, ...]:
    """The acts to undo for a rollback, in the order of law 8; an act that was only begun is one of them.

    Services that share workloads share the act that scaled the source down: any of them takes it back.
    """
    ids = [i for i, service in book.open.items() if service == str(state.service)]
    if ids:
        ids += [i for i in book.open if i not in ids and str(state.service) in shared_by(book.act(i))]
    acts = [act for act in map(book.act, ids) if act is not None and act.kind in WAY_BACK]
    weights = [act for act in acts if act.kind is ActKind.WEIGHT]
    others = [act for act in acts if act.kind is not ActKind.WEIGHT]
    if weights:  # one write takes every weight home
        others.append(max(weights, key=percent))
    return tuple(sorted(others, key=lambda act: (_rank(act), act.id)))


def open_by_service(book: Agenda) -> dict[str, dict[str, str]]:
    """What `way_back` looks at for each service, by its name: one pass for all, where one each would be n²."""
    found: dict[str, dict[str, str]] = {}
    for act_id, service in book.open.items():
        for name in {service, *shared_by(book.act(act_id))}:
            found.setdefault(name, {})[act_id] = service
    return found


def weight_act(book: Agenda, state: State) -> Act | None:
    """The act that set the weight at which a service stands, whether it was done or only begun."""
    mine = [act_id for act_id, service in book.open.items() if service == str(state.service)]
    acts = (book.act(act_id) for act_id in (*mine, *state.done))
    return next((a for a in acts if a and a.kind is ActKind.WEIGHT and percent(a) == state.weight), None)


def shared_by(act: Act | None) -> tuple[str, ...]:
    """The services in front of the workloads that an act scales."""
    return tuple(act.args.get("services", ())) if act is not None and act.kind is ActKind.SCALE else ()


def _rank(act: Act) -> int:
    """The place on the way back; workers started on the target are consumers, which go off first."""
    if act.kind is ActKind.SCALE and act.args.get("side") == Side.TARGET.value:
        return 0
    return WAY_BACK.index(act.kind)
