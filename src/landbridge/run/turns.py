"""One act of one service: decide, perform, record. What the engine's workflows call, and the journal keeps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from landbridge.clients.answers import UnavailableError
from landbridge.clock import Clock
from landbridge.errors import AccessError, DriftError, LandbridgeError
from landbridge.model.journal import Entry, Outcome, Phase, Receipt, State
from landbridge.model.plan import Act, ActKind, Plan
from landbridge.model.service import ServiceId
from landbridge.run.agenda import Agenda, OpenWave, Scope, agenda
from landbridge.run.decide import STUCK, Decision, Do, Ending, Result, Undo, concerns, decide, learn, obey
from landbridge.run.journal import Journal, JournalError

PATIENCE = 300.0
"""Seconds for which an act is tried again while an API server does not answer."""

_STATE = TypeAdapter(State)
_ACT = TypeAdapter(Act)
_RESULT = TypeAdapter(Result)

OUTCOMES = {
    Ending.DONE: Outcome.DONE,
    Ending.UNDONE: Outcome.UNDONE,
    Ending.BEGUN: Outcome.NOTE,
    Ending.HELD: Outcome.HELD,
    Ending.ROLL_BACK: Outcome.VERDICT,
    Ending.DRIFT: Outcome.DRIFT,
    Ending.FAILED: Outcome.FAILED,
    Ending.REFUSED: Outcome.FAILED,
    Ending.INTERRUPTED: Outcome.NOTE,
}


class InterruptedActError(LandbridgeError):
    """A person gave a command while an act was waiting for something."""


class FenceError(DriftError):
    """The run lease is not ours any more: nothing may be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something worth telling while a run goes on; `kind` is an Outcome's word or `note`."""

    at: float
    service: ServiceId
    act: str
    kind: str
    text: str
    weight: int | None = None


Tell = Callable[[Event], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One act in hand: what it has to know and how it speaks to the journal."""

    act: Act
    state: State
    plan: Plan
    receipts: tuple[Receipt, ...]
    """What an interrupted try, or the act that is now taken back, had replaced."""
    receipts_of: Callable[[str], tuple[Receipt, ...]]
    """Receipts of another act, by its id."""
    remember: Callable[[Sequence[Receipt]], None]
    """Journal receipts; to be called before the first write."""
    check: Callable[[], None]
    """Raise FenceError when the lease is lost, InterruptedActError when a person wants something else."""
    say: Callable[[str], None]

    @property
    def service(self) -> ServiceId:
        """Whose act it is."""
        return self.state.service


class Executor:
    """How one kind of act is done, checked and taken back; each may be repeated at any time."""

    __slots__ = ()

    async def do(self, job: Job) -> Result:
        """Perform; conditional on what was last seen."""
        raise NotImplementedError(job.act.kind)

    async def check(self, job: Job) -> str:
        """Why what was done does not hold (any more); empty when it holds, or when there is nothing to look at."""
        del job
        return ""

    async def undo(self, job: Job) -> Result:
        """Put back what the receipts say; here for acts that changed nothing."""
        del job
        return Result(ending=Ending.UNDONE)


class Turns:
    """The three recorded steps of every workflow, over one journal."""

    def __init__(
        self,
        *,
        journal: Journal,
        read_plan: Callable[[], Plan],
        executors: Mapping[ActKind, Executor],
        clock: Clock,
        fence: Callable[[], None] = lambda: None,
        tell: Tell = lambda _: None,
        scope: Scope | None = None,
    ) -> None:
        self.journal = journal
        self.executors = executors
        self.clock = clock
        self.fence = fence
        self.tell = tell
        self.scope = scope or Scope()
        self.closing = False
        self._read_plan = read_plan
        self._book: Agenda | None = None
        self._gate = OpenWave()
        self.heads: dict[ServiceId, tuple[int, State]] = journal.states()
        self._states: dict[ServiceId, State] = {service: state for service, (_, state) in self.heads.items()}
        self.stops = 0
        """How often a service stopped or went on again: it is told to all who wait for its wave."""

    def book(self) -> Agenda:
        """The plan as it is on the disk now, with what the journal knows."""
        plan = self._read_plan()
        if self._book is None or self._book.plan is not plan:
            self._book = agenda(plan, self.journal.begun, self.journal.open, self.scope)
            for service in self._book.steps:
                if service not in self.heads:
                    self.advance(0, State(service=service, phase=Phase.WAITING))
        return self._book

    def states(self) -> dict[ServiceId, State]:
        """Where every service stands, kept up to date."""
        return self._states

    def next(self, service: ServiceId) -> Decision:
        """What a service should do now, its commands obeyed; a changed state is journalled."""
        book = self.book()
        n, state = self.heads[service]
        obeyed = obey(book, state, self.journal.commands(state.command_seq))
        if obeyed != state:
            if replace(obeyed, command_seq=state.command_seq) != state:
                note = self._entry(obeyed, "", Outcome.NOTE, {"phase": obeyed.phase.value, "reason": obeyed.reason})
                self.advance(n + 1, obeyed, note)
                self._tell(obeyed, "", "note", f"{obeyed.phase.value}: {obeyed.reason}".rstrip(": "))
            else:
                self.advance(n + 1, obeyed)
        return decide(book, obeyed, self.states(), self.clock.now(), self.gate())

    def gate(self) -> int:
        """The last wave whose acts may start."""
        return self._gate.find(self.book(), self.states(), self.journal.taken_back)

    def advance(self, n: int, state: State, *entries: Entry) -> None:
        """Journal state number `n` of a service with its lines."""
        self.journal.advance(n, state, self.clock.now(), entries)
        before = self._states.get(state.service, state)
        self.stops += before.phase in STUCK or state.phase in STUCK
        self.heads[state.service] = (n, state)
        self._states[state.service] = state
        self._gate.note(state.service)

    async def decide(self, service: str, n: int, state: dict[str, Any]) -> dict[str, Any]:
        """Recorded step 1: the act to perform, or nothing when the service has moved on or has to wait."""
        del state  # the journal's is the same, or newer
        name = ServiceId.parse(service)
        if self.closing or self.heads[name][0] != n:
            return {}
        match self.next(name):
            case (Do() | Undo()) as deed if self.heads[name][0] == n:
                return {
                    "deed": "do" if isinstance(deed, Do) else "undo",
                    "act": _ACT.dump_python(deed.act, mode="json"),
                }
            case _:
                return {}

    async def perform(self, service: str, n: int, decision: dict[str, Any]) -> dict[str, Any]:
        """Recorded step 2: perform the act; done again after a crash."""
        name = ServiceId.parse(service)
        if self.heads[name][0] != n:
            return {}
        job = self.job(self.heads[name][1], _ACT.validate_python(decision["act"]))
        undo = decision["deed"] == "undo"
        self.journal.append(
            self._entry(
                job.state, job.act.id, Outcome.STARTED, {"act": decision["act"]} | ({"undo": True} if undo else {})
            )
        )
        self._tell(job.state, job.act.id, "started", ("take back " if undo else "") + job.act.kind.value)
        executor = self.executors[job.act.kind]
        result = await self._carry_out(job, executor.undo if undo else partial(_do_and_check, executor))
        answer: dict[str, Any] = _RESULT.dump_python(result, mode="json")
        return answer

    async def _carry_out(self, job: Job, function: Callable[[Job], Awaitable[Result]]) -> Result:
        end = self.clock.monotonic() + PATIENCE
        while True:
            try:
                self.fence()
                return await function(job)
            except (JournalError, FenceError):
                raise
            except InterruptedActError as why:
                return Result(ending=Ending.INTERRUPTED, reason=why.what)
            except UnavailableError as error:
                if self.clock.monotonic() >= end:
                    return Result(ending=Ending.FAILED, reason=_told(error))
                job.say(f"{error.what}; trying again")
                await self.clock.sleep(1.0)
                if self._wanted(job.state):
                    return Result(ending=Ending.INTERRUPTED, reason="a command came")
            except DriftError as error:
                return Result(ending=Ending.DRIFT, reason=_told(error))
            except AccessError as error:
                return Result(ending=Ending.REFUSED, reason=_told(error))
            except LandbridgeError as error:
                return Result(ending=Ending.FAILED, reason=_told(error))
            except Exception as error:  # noqa: BLE001 - a defect in one act must not end the run of all services
                return Result(ending=Ending.FAILED, reason=f"defect: {type(error).__name__}: {error}")

    async def record(self, service: str, n: int, decision: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """Recorded step 3: journal the ending and the next state, and say whether to go on at once."""
        name = ServiceId.parse(service)
        if self.heads[name][0] == n and result:
            act = _ACT.validate_python(decision["act"])
            deed: Do | Undo = Do(act) if decision["deed"] == "do" else Undo(act)
            ended = _RESULT.validate_python(result)
            state = learn(self.book(), self.heads[name][1], deed, ended, self.clock.now())
            detail = {
                "ending": ended.ending.value,
                "reason": ended.reason,
                "weight": state.weight,
                "attempt": state.attempt,
            }
            self.advance(n + 1, state, self._entry(state, act.id, OUTCOMES[ended.ending], detail))
            self._tell(state, act.id, OUTCOMES[ended.ending].value, ended.reason or ended.ending.value)
        n_now, state = self.heads[name]
        if self.closing or n_now != n + 1 or not isinstance(self.next(name), Do | Undo) or self.heads[name][0] != n + 1:
            return {}
        following: dict[str, Any] = _STATE.dump_python(state, mode="json")
        return following

    def job(self, state: State, act: Act) -> Job:
        """What an act of a service has to know, and how it speaks to the journal."""

        def remember(receipts: Sequence[Receipt]) -> None:
            if receipts:
                self.journal.append(self._entry(state, act.id, Outcome.NOTE, {"receipts": len(receipts)}, receipts))

        def check() -> None:
            self.fence()
            if why := self._wanted(state):
                raise InterruptedActError(why)

        def say(text: str) -> None:
            self._tell(state, act.id, "note", text)

        return Job(
            act=act,
            state=state,
            plan=self.book().plan,
            receipts=self.journal.receipts(act.id),
            receipts_of=self.journal.receipts,
            remember=remember,
            check=check,
            say=say,
        )

    def _wanted(self, state: State) -> str:
        """Why the act in hand should stop: the run ends, or a command that would change the service's state."""
        if self.closing:
            return "the run is ending"
        commands = [c for c in self.journal.commands(state.command_seq) if concerns(c, state.service)]
        obeyed = obey(self.book(), state, commands)
        return f"{obeyed.phase.value}: {obeyed.reason}" if obeyed.phase is not state.phase else ""

    def _entry(
        self, state: State, act: str, outcome: Outcome, detail: Mapping[str, Any], receipts: Sequence[Receipt] = ()
    ) -> Entry:
        return Entry(
            service=state.service,
            act=act,
            outcome=outcome,
            at=self.clock.now(),
            detail=detail,
            receipts=tuple(receipts),
        )

    def _tell(self, state: State, act: str, kind: str, text: str) -> None:
        self.tell(Event(at=self.clock.now(), service=state.service, act=act, kind=kind, text=text, weight=state.weight))


async def _do_and_check(executor: Executor, job: Job) -> Result:
    result = await executor.do(job)
    why = await executor.check(job) if result.ending is Ending.DONE else ""
    return replace(result, ending=Ending.HELD, reason=f"done, but {why}") if why else result


def _told(error: LandbridgeError) -> str:
    where = f" ({error.where})" if error.where else ""
    return f"{error.what}{where}" + (f"; {error.advice}" if error.advice else "")
