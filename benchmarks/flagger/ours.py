"""landbridge's part: its runner carries a plan out that moves each service from one cluster to the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.flagger.cases import STEPS, Case, End
from benchmarks.flagger.objects import FAIL, NAMESPACE, fail_of
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock
from landbridge.errors import LandbridgeError
from landbridge.lab.host.programs import Say
from landbridge.model.journal import Phase
from landbridge.model.plan import Act, ActKind, Bounds, Plan, ServicePlan, Wave
from landbridge.model.service import ServiceId
from landbridge.run.agenda import Scope
from landbridge.run.runner import Summary, run
from landbridge.run.turns import Event
from landbridge.translate.rules import Patch, Rules

DWELL = 60.0
"""Seconds at each weight, as Flagger's interval of 1m."""
CONTROL = 10.0
"""Seconds at each weight where the copy is sound: that ramp goes all the way."""
ROUTER = "httproute"


def service_of(case: Case) -> ServiceId:
    """Its Service."""
    return ServiceId(NAMESPACE, case.name)


def plan(cases: Sequence[Case], source: str, target: str) -> Plan:
    """Adopt and split on both sides; then copy the workload and raise its weight, all services at once (pure)."""
    join = tuple(ServicePlan(service=service_of(case), acts=_join(case)) for case in cases)
    move = tuple(ServicePlan(service=service_of(case), acts=_move(case)) for case in cases)
    return Plan(
        source=source,
        target=target,
        bounds=Bounds(concurrency=len(cases)),
        waves=(Wave(name="join", services=join), Wave(name="wave-1", services=move)),
    )


def _join(case: Case) -> tuple[Act, ...]:
    return (
        _act(case, ActKind.ADOPT, "adopt-source", side="source"),
        _act(case, ActKind.ADOPT, "adopt-target", side="target"),
        _act(case, ActKind.SPLIT, replicas=1, router=ROUTER),
    )


def _move(case: Case) -> tuple[Act, ...]:
    objects = [f"apps/v1 Deployment {NAMESPACE} {case.name}"]
    dwell = DWELL if case.fault else CONTROL
    weights = (_act(case, ActKind.WEIGHT, f"weight-{w}", percent=w, dwell=dwell) for w in (*STEPS, 100))
    return (_act(case, ActKind.COPY, objects=objects), _act(case, ActKind.READY, objects=objects, within=300), *weights)


def _act(case: Case, kind: ActKind, name: str = "", **args: object) -> Act:
    return Act(id=f"{service_of(case)}/{name or kind.value}", kind=kind, args=args)


def rules(cases: Sequence[Case]) -> Rules:
    """What makes the copies new ones: the same variable that a release of Flagger's services sets (pure)."""
    return Rules(
        patches=tuple(
            Patch(
                kind="Deployment",
                name=case.name,
                namespace=NAMESPACE,
                operations=({"op": "add", "path": FAIL, "value": fail_of(case)},),
            )
            for case in cases
        )
    )


@dataclass(frozen=True, kw_only=True)
class Ours:
    """The services that landbridge moves."""

    cases: tuple[Case, ...]
    legacy: Kubernetes
    eks: Kubernetes
    image: str
    folder: Path
    clock: Clock
    say: Say

    async def prepare(self) -> None:
        """Adopted and split, all traffic home: nothing moves yet. Raises LandbridgeError when that fails."""
        summary = await self._run(Scope(last_wave=0))
        if error := summary.error():
            raise error

    async def ramp(self) -> Mapping[Case, End]:
        """Move them all; how each ended."""
        summary = await self._run(None)
        ends = {case: _end(summary, case) for case in self.cases}
        if stuck := [case.name for case, end in ends.items() if end is End.OPEN]:
            raise LandbridgeError(f"landbridge left {', '.join(stuck)}: {summary.error()}", where=str(self.folder))
        return ends

    async def _run(self, scope: Scope | None) -> Summary:
        made = plan(self.cases, self.legacy.name, self.eks.name)
        return await run(
            self.folder,
            lambda: made,
            self.legacy,
            self.eks,
            scope=scope,
            rules=rules(self.cases),
            image=self.image,
            clock=self.clock,
            tell=self._tell,
        )

    def _tell(self, event: Event) -> None:
        if event.text.startswith("weight") or event.kind in {"verdict", "held", "failed", "drift"}:
            self.say(f"  landbridge {event.service.name} {event.kind} {event.text}")


def _end(summary: Summary, case: Case) -> End:
    service = service_of(case)
    state = summary.states.get(service)
    if service in summary.rolled_back:
        return End.BACK
    return End.ACROSS if state and state.phase is Phase.DONE and state.weight == 100 else End.OPEN
