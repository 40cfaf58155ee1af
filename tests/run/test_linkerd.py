"""A whole run where Linkerd divides traffic: export instead of adoption, law 5's order, both ways.

What of Linkerd shows in the API is done by a stand-in: it mirrors what is exported, and writes profiles from splits as
the SMI adaptor does. It looks at what the profiles say at every turn: that is what would route.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from landbridge.clients.answers import ConflictError, NotFoundError
from landbridge.clients.kinds import CRD, SERVICE, SERVICEPROFILE, TRAFFICSPLIT
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock, wait_for
from landbridge.laws import twosided
from landbridge.laws.twosided import Splits
from landbridge.linkerd.link import EXPORTED
from landbridge.linkerd.versions import PROFILES
from landbridge.model.journal import Phase
from landbridge.model.look import Count, Cursor, Look, Reading
from landbridge.model.manifest import labels_of
from landbridge.model.plan import Act, ActKind, Bounds, Plan, ServicePlan, Wave
from landbridge.model.service import Route, ServiceId, Side
from landbridge.run.runner import Summary, run
from landbridge.run.turns import Event
from tests.linkerd.definitions import profiles
from tests.run.conftest import Pair

pytestmark = pytest.mark.api
CLOCK = SystemClock()


@dataclass
class Linkerd:
    """Both clusters' controllers in one, and the counters of the callers' proxies."""

    pair: Pair
    bad: float = 0.0
    obeys: bool = True
    seen: list[Splits] = field(default_factory=list)

    async def turn(self, service: ServiceId) -> None:
        for k8s, other in self._ends():
            await self._mirror(k8s, other, service)
            if self.obeys:
                await self._obey(k8s, service)
        self.seen.append(Splits(await self.percent(Side.SOURCE, service), await self.percent(Side.TARGET, service)))

    def _ends(self) -> tuple[tuple[Kubernetes, Kubernetes], ...]:
        return ((self.pair.source, self.pair.target), (self.pair.target, self.pair.source))

    async def _mirror(self, k8s: Kubernetes, other: Kubernetes, service: ServiceId) -> None:
        found = await k8s.find(SERVICE, service.name, service.namespace)
        name = f"{service.name}-{k8s.name}"
        if (
            found
            and labels_of(found).get(EXPORTED) == "true"
            and not await other.find(SERVICE, name, service.namespace)
        ):
            await other.create(self.pair.manifest("Service", name, {"ports": [{"port": 80}]}), manager="linkerd")
            await other.create(self.pair.slice(name), manager="linkerd")

    async def _obey(self, k8s: Kubernetes, service: ServiceId) -> None:
        domain = f"{service.namespace}.svc.cluster.local"
        split = await k8s.find(TRAFFICSPLIT, service.name, service.namespace)
        backends = split["spec"]["backends"] if split else []
        overrides = [{"authority": f"{b['service']}.{domain}", "weight": b["weight"]} for b in backends]
        name = f"{service.name}.{domain}"
        found = await k8s.find(SERVICEPROFILE, name, service.namespace)
        if found is None:
            meta = {"name": name, "namespace": service.namespace}
            made = {"apiVersion": SERVICEPROFILE.api_version, "kind": "ServiceProfile", "metadata": meta}
            await k8s.create({**made, "spec": {"dstOverrides": overrides}}, manager="smi-adaptor")
        elif (found["spec"].get("dstOverrides") or []) != overrides:
            patch = {"spec": {"dstOverrides": overrides or None}}
            await k8s.patch(SERVICEPROFILE, name, patch, service.namespace, manager="smi-adaptor")

    async def percent(self, side: Side, service: ServiceId) -> int:
        """What callers of a side get, by the profile; their own copy without one."""
        k8s, other = self._ends()[0] if side is Side.SOURCE else self._ends()[1]
        name = f"{service.name}.{service.namespace}.svc.cluster.local"
        found = await k8s.find(SERVICEPROFILE, name, service.namespace)
        away = f"{service.name}-{other.name}."
        weights = {
            str(o["authority"]): int(o["weight"]) for o in (found or {"spec": {}})["spec"].get("dstOverrides") or ()
        }
        remote = sum(weight for authority, weight in weights.items() if authority.startswith(away))
        return remote if side is Side.SOURCE else 100 - remote

    async def read(self, routes: Sequence[Route], cursor: Cursor) -> Look:
        readings = {}
        for route in routes:
            counts = {}
            for side, name in ((Side.SOURCE, "legacy"), (Side.TARGET, "eks")):
                new = 2000 * await self.percent(side, route.service) // 100
                bad = round(new * self.bad)
                counts[name] = {Side.TARGET: Count(n=new, bad=bad), Side.SOURCE: Count(n=2000 - new)}
            readings[route.service] = Reading(service=route.service, counts=counts)
        return Look(at=CLOCK.now(), cursor={}, readings=readings)

    @asynccontextmanager
    async def running(self, service: ServiceId) -> AsyncIterator[None]:
        async def forever() -> None:
            while True:
                with suppress(ConflictError, NotFoundError):
                    await self.turn(service)
                await CLOCK.sleep(0.05)

        task = asyncio.create_task(forever())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def plan_of(service: ServiceId, *, dwell: float = 1.0) -> Plan:
    def act(kind: ActKind, name: str = "", **args: Any) -> Act:
        return Act(id=f"{service}/{name or kind.value}", kind=kind, args=args)

    join = (
        act(ActKind.EXPORT, "export-target", side="target"),
        act(ActKind.EXPORT, "export-source", side="source"),
        act(ActKind.SPLIT, replicas=2, plane="linkerd", router="trafficsplit", domain="cluster.local"),
    )
    steps = [act(ActKind.WEIGHT, f"weight-{w}", percent=w, dwell=dwell) for w in (25, 100)]
    move = (act(ActKind.READY, within=5), *steps, act(ActKind.FINISH), act(ActKind.SOAK, seconds=0))
    leave = (act(ActKind.UNADOPT, side="target", plane="linkerd"),)
    waves = [("join", join), ("move", move), ("leave", leave)]
    made = tuple(Wave(name=name, services=(ServicePlan(service=service, acts=acts),)) for name, acts in waves)
    return Plan(source="legacy", target="eks", waves=made, bounds=Bounds(max_hold_dwells=10))


async def lay(pair: Pair) -> ServiceId:
    """A Service on the source as it is, and its pods on both sides, which an act before has brought."""
    for k8s in (pair.source, pair.target):
        if await k8s.find(CRD, PROFILES) is None:
            await k8s.create(profiles(), manager="linkerd")

        async def served(k8s: Kubernetes = k8s) -> bool:
            with suppress(NotFoundError):
                await k8s.list(SERVICEPROFILE)
                return True
            return False

        await wait_for(served, what="ServiceProfile served", within=30, clock=CLOCK)
        await k8s.create(pair.deployment("web", 2))
        await pair.ready(k8s, "web", 2)
    await pair.source.create(pair.manifest("Service", "web", {"ports": [{"port": 80}], "selector": {"app": "web"}}))
    return ServiceId(pair.namespace, "web")


async def carry(pair: Pair, folder: Path, plan: Plan, linkerd: Linkerd) -> tuple[Summary, list[Event]]:
    told: list[Event] = []
    done = await run(folder, lambda: plan, pair.source, pair.target, provider=linkerd, tell=told.append)
    return done, told


async def test_a_service_moves_by_linkerd_without_a_loop_at_any_moment(pair: Pair, tmp_path: Path) -> None:
    web, linkerd = await lay(pair), Linkerd(pair)
    async with linkerd.running(web):
        summary, told = await carry(pair, tmp_path, plan_of(web), linkerd)
    assert summary.states[web].phase is Phase.DONE, [(event.act, event.text) for event in told][-6:]
    assert not [splits for splits in linkerd.seen if twosided.is_loop(splits)]
    assert {Splits(0, 0), Splits(25, 100), Splits(100, 100)} <= set(linkerd.seen)
    split = await pair.source.get(TRAFFICSPLIT, "web", web.namespace)
    assert split["spec"] == {"service": "web", "backends": [
        {"service": "web", "weight": 0}, {"service": "web-eks", "weight": 100},
    ]}  # fmt: skip
    assert "landbridge.dev/run-lease" not in split["metadata"]["annotations"]
    assert await pair.target.find(TRAFFICSPLIT, "web", web.namespace) is None
    made = await pair.target.get(SERVICE, "web", web.namespace)
    assert made["spec"]["selector"] == {"app": "web"}
    assert labels_of(made)[EXPORTED] == "true"


async def test_a_bad_copy_goes_home_the_source_first(pair: Pair, tmp_path: Path) -> None:
    web, linkerd = await lay(pair), Linkerd(pair, bad=0.5)
    async with linkerd.running(web):
        summary, _ = await carry(pair, tmp_path, plan_of(web, dwell=5.0), linkerd)
        await linkerd.turn(web)
    assert summary.states[web].phase is Phase.ROLLED_BACK
    assert not [splits for splits in linkerd.seen if twosided.is_loop(splits)]
    assert Splits(25, 100) in linkerd.seen
    assert linkerd.seen[-1] == Splits(0, 0)


async def test_while_the_adaptor_is_down_nothing_is_raised(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The split says 0 and 100, and kubectl too; the profile does not, so the act stops and says so."""
    web, linkerd = await lay(pair), Linkerd(pair)
    plan = plan_of(web)
    only_join = replace(plan, waves=plan.waves[:1])
    async with linkerd.running(web):
        await carry(pair, tmp_path, only_join, linkerd)
        monkeypatch.setattr("landbridge.shift.router.CONFIRM", 1.0)
        linkerd.obeys = False
        summary, told = await carry(pair, tmp_path, plan, linkerd)
    assert summary.states[web].phase is not Phase.DONE
    assert any("is written but not obeyed" in event.text for event in told)
    assert await linkerd.percent(Side.SOURCE, web) == 0
