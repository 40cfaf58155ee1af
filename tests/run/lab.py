"""What a whole run on real pods needs: joined clusters, an echo service in the source, an account, a plan."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from landbridge.clients.kinds import LEASE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.connect.connect import connect
from landbridge.connect.options import Options
from landbridge.lab import Lab
from landbridge.model.plan import Act, ActKind, Bounds, Plan, ServicePlan, Wave
from landbridge.model.service import ServiceId, Side
from landbridge.run.agenda import Scope, agenda, in_reach
from landbridge.run.journal import Journal
from landbridge.run.preflight import needed
from landbridge.run.rights import Right
from landbridge.run.runner import Summary, run
from landbridge.run.turns import Event
from tests.connect.bed import Bed
from tests.connect.conftest import CLOCK, clients, leave
from tests.run.accounts import Account, account


@dataclass(frozen=True)
class Migration:
    legacy: Kubernetes
    eks: Kubernetes
    bed: Bed
    image: str
    folder: Path
    events: list[Event]
    runners: tuple[Account, ...]
    """Who runs it, in each cluster; the clients above are the administrator's."""
    rights: Mapping[Side, Sequence[Right]]

    @property
    def plan(self) -> Plan:
        return plan_of(self.bed.echo)

    async def run(self, scope: Scope | None = None) -> Summary:
        plan = self.plan
        source, target = (runner.k8s for runner in self.runners)
        return await run(
            self.folder,
            lambda: plan,
            source,
            target,
            scope=scope,
            image=self.image,
            tell=self.events.append,
            clock=CLOCK,
        )

    def journal(self) -> Journal:
        return Journal(self.folder / ".landbridge" / "journal.db")


@pytest.fixture
async def migration(joinable: Lab, tmp_path: Path) -> AsyncIterator[Migration]:
    lab = joinable
    bed = Bed(namespace=f"run-{secrets.token_hex(3)}", image=lab.images["python"])
    async with AsyncExitStack() as stack:
        legacy, eks = clients(lab)
        for k8s in (legacy, eks):
            stack.push_async_callback(k8s.close)
        stack.push_async_callback(leave, bed, legacy, eks)
        for k8s in (legacy, eks):
            await bed.lay(k8s)
        options = Options(namespaces=(bed.namespace,), image=lab.images["landbridge"])
        await legacy.apply(bed.service())
        await asyncio.gather(connect(legacy, eks, options), bed.serve(legacy))
        rights = await needed(legacy, eks, in_reach(agenda(plan_of(bed.echo))))
        runners = []
        for k8s, side in zip((legacy, eks), Side, strict=True):
            await k8s.delete(LEASE, "landbridge-run", "landbridge")  # of an earlier test: it is made anew
            made = await account(k8s, bed.namespace, rights[side], lab.cluster(k8s.name).audit)
            stack.push_async_callback(made.close)
            runners.append(made)
        yield Migration(legacy, eks, bed, lab.images["landbridge"], tmp_path, [], tuple(runners), rights)


def plan_of(service: ServiceId) -> Plan:
    def act(kind: ActKind, name: str = "", **args: object) -> Act:
        return Act(id=f"{service}/{name or kind.value}", kind=kind, args=args)

    deployment = f"apps/v1 Deployment {service.namespace} {service.name}"
    join = (
        act(ActKind.ADOPT, "adopt-source", side="source"),
        act(ActKind.ADOPT, "adopt-target", side="target"),
        act(ActKind.SPLIT, replicas=2),
    )
    move = (
        act(ActKind.COPY, objects=[deployment]),
        act(ActKind.READY, objects=[deployment], within=120),
        act(ActKind.SHADOW, percent=20, dwell=3.0),
        *(act(ActKind.WEIGHT, f"weight-{w}", percent=w, dwell=4.0) for w in (5, 50, 95, 100)),
        act(ActKind.FINISH),
        act(ActKind.SOAK, seconds=3),
    )
    leave = (
        act(ActKind.SCALE, side="source", replicas=0, objects=[deployment], services=[str(service)]),
        act(ActKind.UNADOPT, side="target"),
    )
    waves = {"join": join, "wave-1": move, "leave": leave}
    return Plan(
        source="legacy",
        target="eks",
        bounds=Bounds(max_hold_dwells=10),
        waves=tuple(Wave(name=n, services=(ServicePlan(service=service, acts=a),)) for n, a in waves.items()),
    )
