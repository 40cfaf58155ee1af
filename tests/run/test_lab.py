"""A whole run on real pods: one service under load goes across, home, and across again; nothing fails.

It is carried out by an account with the plan's roles and nothing else; the audit logs say that it used them all.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from landbridge.clients.kinds import DEPLOYMENT, ENDPOINTSLICE, LEASE, SERVICE, TRAFFICSPLIT
from landbridge.clients.kubernetes import Kubernetes
from landbridge.connect.adopt import is_adopted
from landbridge.connect.connect import connect
from landbridge.connect.options import Options
from landbridge.lab import Lab
from landbridge.model.journal import Phase, What
from landbridge.model.plan import Act, ActKind, Bounds, Plan, ServicePlan, Wave
from landbridge.model.service import ServiceId, Side
from landbridge.run.agenda import Scope, agenda, in_reach
from landbridge.run.journal import Journal
from landbridge.run.preflight import needed
from landbridge.run.rights import Right
from landbridge.run.runner import Summary, run
from landbridge.run.status import read_status
from landbridge.run.turns import Event
from tests.connect.bed import Bed, growth
from tests.connect.conftest import CLOCK, clients, leave
from tests.run.accounts import Account, account, granted

pytestmark = [pytest.mark.lab, pytest.mark.xdist_group("run")]


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

    async def run(self, scope: Scope | None = None) -> Summary:
        plan = plan_of(self.bed.echo)
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
        await connect(legacy, eks, Options(namespaces=(bed.namespace,), image=lab.images["landbridge"]))
        await legacy.apply(bed.service())
        await bed.serve(legacy)
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
        *(act(ActKind.WEIGHT, f"weight-{w}", percent=w, dwell=6.0) for w in (5, 50, 95, 100)),
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


async def test_across_home_and_across_again_without_a_failed_request(migration: Migration) -> None:
    bed, legacy, eks = migration.bed, migration.legacy, migration.eks
    assert (await migration.run(Scope(last_wave=0))).error() is None
    # callers that connected before the adoption would bypass the waypoint and keep the source from shrinking
    await bed.call(legacy, rate=100)
    before = await bed.counts(legacy)
    summary = await migration.run()
    assert summary.error() is None, [event.text for event in migration.events][-20:]
    assert summary.states[bed.echo].phase is Phase.DONE
    assert (await legacy.get(DEPLOYMENT, "echo", bed.namespace))["spec"]["replicas"] == 0
    assert not await is_adopted(eks, bed.echo)
    assert await is_adopted(legacy, bed.echo)
    assert await eks.find(TRAFFICSPLIT, "echo", bed.namespace) is None
    slices = await eks.list(ENDPOINTSLICE, bed.namespace, labels="kubernetes.io/service-name=echo")
    assert not [s for s in slices if "landbridge" in s["metadata"]["name"]]

    with migration.journal() as journal:
        row = read_status(journal, plan_of(bed.echo), CLOCK.now()).rows[0]
        assert (row.phase, row.weight, row.done, row.acts) == (Phase.DONE, 100, 13, 13)
        assert row.n_target > 0
        assert row.back > 0
        journal.command(What.ROLLBACK, None, "ada", CLOCK.now())
    summary = await migration.run()
    assert summary.states[bed.echo].phase is Phase.ROLLED_BACK
    assert (await legacy.get(DEPLOYMENT, "echo", bed.namespace))["spec"]["replicas"] == 2
    assert await is_adopted(eks, bed.echo)

    summary = await migration.run()
    assert summary.error() is None, [event.text for event in migration.events][-20:]
    assert (await eks.get(SERVICE, "echo", bed.namespace))["spec"]["selector"] == {"app": "echo"}
    found = growth(before, await bed.counts(legacy))
    assert found["sent"] > 3000
    said = [f"{event.at:.1f} {event.act} {event.kind} {event.text}" for event in migration.events]
    assert (found.get("failed", 0), found.get("tcp_failed", 0)) == (0, 0), "\n".join([str(found), *said])
    for side, runner in zip(Side, migration.runners, strict=True):
        assert await runner.used() == granted(migration.rights[side]), side
