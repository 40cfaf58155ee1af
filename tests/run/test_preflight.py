"""Whole runs by an account that has the plan's roles and nothing else, over two real API servers and their audit logs.

What needs pods (adopting, counters, connections past the waypoint) is in test_lab.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from landbridge.clients.kinds import CLUSTERROLE, DEPLOYMENT, HPA, LEASE, SECRET, TRAFFICSPLIT
from landbridge.clock import SystemClock, wait_for
from landbridge.errors import AccessError, Exit
from landbridge.lab import ApiServer
from landbridge.model.journal import Phase, What
from landbridge.model.plan import Act, ActKind, Bounds, Plan, ServicePlan, Wave
from landbridge.model.service import ServiceId, Side
from landbridge.run.agenda import Scope, agenda, in_reach
from landbridge.run.journal import Journal
from landbridge.run.preflight import check, missing, needed
from landbridge.run.retire import retire
from landbridge.run.rights import Right
from landbridge.run.runner import run
from landbridge.run.turns import Event
from tests.run.accounts import WRITES, Account, account, granted, without
from tests.run.conftest import Pair
from tests.run.test_rights import act
from tests.run.test_runner import plan_of
from tests.run.traffic import Traffic

pytestmark = pytest.mark.api
CLOCK = SystemClock()
RBAC = "rbac.authorization.k8s.io/v1"
OBJECTS: Sequence[tuple[str, str, dict[str, Any]]] = (
    ("v1", "ServiceAccount", {}),
    ("v1", "Secret", {"data": {"password": "aHVudGVyMg=="}}),
    ("v1", "ConfigMap", {"data": {"greeting": "hello"}}),
    (
        RBAC,
        "Role",
        {"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]},
    ),
)


def binding(namespace: str) -> dict[str, object]:
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "app"}
    return {"roleRef": ref, "subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": namespace}]}


async def lay(pair: Pair) -> ServiceId:
    """On the source: a service with an autoscaler, what is around it, a worker, a schedule; its copy stands."""
    web = await pair.service("web")
    space, source = pair.namespace, pair.source
    for version, kind, body in (*OBJECTS, (RBAC, "RoleBinding", binding(space))):
        await source.create({"apiVersion": version, "kind": kind, "metadata": meta(space, "app"), **body})
    wide = {"rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]}
    await source.create({"apiVersion": RBAC, "kind": "ClusterRole", "metadata": {"name": f"{space}-wide"}, **wide})
    pod = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "shop:1"}]}}
    nightly = {"schedule": "0 3 1 1 *", "jobTemplate": {"spec": {"template": pod}}}
    await source.create({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": meta(space, "app"), "spec": nightly})
    await source.create(pair.deployment("worker", 1))
    ready = {"replicas": 1, "readyReplicas": 1, "observedGeneration": 99}  # of what is scaled later as well
    await source.patch(DEPLOYMENT, "worker", {"status": ready}, space, subresource="status")
    scaled = {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}, "maxReplicas": 5}
    for k8s in (source, pair.target):
        await k8s.create(pair.manifest("HorizontalPodAutoscaler", "web", scaled, HPA.api_version))
    return web


def meta(namespace: str, name: str) -> dict[str, str]:
    return {"name": name, "namespace": namespace}


def whole(pair: Pair, web: ServiceId) -> Plan:
    """Every kind of act that needs no pods, with an object of every kind that is treated differently."""
    space, every = pair.namespace, ServiceId(pair.namespace, "*")
    around = [f"{version} {kind} {space} app" for version, kind, _ in OBJECTS]
    around += [f"{RBAC} RoleBinding {space} app", f"v1 Namespace - {space}", f"batch/v1 CronJob {space} app"]
    worker, deployment = f"apps/v1 Deployment {space} worker", f"apps/v1 Deployment {space} web"
    hpa = f"autoscaling/v2 HorizontalPodAutoscaler {space} web"
    ground = [
        act(ActKind.COPY, every, objects=[f"{RBAC} ClusterRole - {space}-wide"]),
        act(ActKind.COPY, every, objects=around, replicas=0),
        act(ActKind.COPY, every, objects=[worker], replicas=0),
    ]
    move = [
        act(ActKind.READY, web, objects=[deployment]),
        act(ActKind.PIN, web, objects=[hpa], replicas={hpa: 2}),
        *(act(ActKind.WEIGHT, web, percent=w, dwell=1.0) for w in (5, 95, 100)),
        act(ActKind.FINISH, web),
        act(ActKind.SOAK, web, seconds=0),
    ]
    leave = [
        act(ActKind.HANDOVER, every, objects=[f"batch/v1 CronJob {space} app"]),
        act(ActKind.SCALE, every, side="source", replicas=0, objects=[worker]),
        act(ActKind.SCALE, every, side="target", replicas=1, objects=[worker]),
        act(ActKind.UNPIN, web, objects=[hpa]),
    ]
    waves = {"ground": ground, "join": [act(ActKind.SPLIT, web, replicas=2)], "wave-1": move, "leave": leave}
    made = tuple(_wave(name, acts) for name, acts in waves.items())
    return Plan(source="legacy", target="eks", waves=made, bounds=Bounds(max_hold_dwells=30))


def _wave(name: str, acts: list[tuple[ServiceId, Act]]) -> Wave:
    mine: dict[ServiceId, list[Act]] = {}
    for owner, each in acts:
        of = mine.setdefault(owner, [])
        of.append(replace(each, id=f"{owner}/{name}-{each.kind.value}-{len(of)}"))
    return Wave(name=name, services=tuple(ServicePlan(service=o, acts=tuple(of)) for o, of in mine.items()))


@asynccontextmanager
async def accounts(
    pair: Pair, servers: tuple[ApiServer, ApiServer], wanted: Mapping[Side, Sequence[Right]]
) -> AsyncIterator[list[Account]]:
    made = []
    for admin, server, rights_ in zip((pair.source, pair.target), servers, wanted.values(), strict=True):
        await admin.delete(LEASE, "landbridge-run", "landbridge")
        made.append(await account(admin, pair.namespace, rights_, server.audit))
    try:
        yield made
    finally:
        for each in made:
            await each.close()
        await pair.source.delete(CLUSTERROLE, f"{pair.namespace}-wide")
        await pair.target.delete(CLUSTERROLE, f"{pair.namespace}-wide")


async def test_the_rights_are_enough_and_each_is_used(
    pair: Pair, api_pair: tuple[ApiServer, ApiServer], tmp_path: Path
) -> None:
    """Across and home; without `escalate`, for the account holds itself what the copied Role grants."""
    web = await lay(pair)
    plan = whole(pair, web)
    all_ = await needed(pair.source, pair.target, in_reach(agenda(plan)))
    wanted = {**all_, Side.TARGET: without(all_[Side.TARGET], ("escalate", "roles"))}
    told: list[Event] = []
    made_up = Traffic(pair.source, pair.target, CLOCK)
    async with accounts(pair, api_pair, wanted) as mine:
        for phase in (Phase.DONE, Phase.ROLLED_BACK):
            summary = await run(tmp_path, lambda: plan, mine[0].k8s, mine[1].k8s, provider=made_up, tell=told.append)
            assert summary.error() is None, summary
            assert {state.phase for state in summary.states.values()} == {phase}
            with Journal(tmp_path / ".landbridge" / "journal.db") as journal:
                journal.command(What.ROLLBACK, None, "ada", CLOCK.now())
        used = {side: await each.used() for side, each in zip(Side, mine, strict=True)}
    said = f"may not escalate roles.rbac.authorization.k8s.io (app) in {pair.namespace} of eks: the copy is refused, un"
    assert [event.text[: len(said)] for event in told if "may not" in event.text] == [said, said], "once a run"
    assert (await pair.target.get(SECRET, "app", pair.namespace))["data"] == OBJECTS[1][2]["data"]
    unseen = {("get", "pods/proxy", "moves")}  # there are no waypoints to ask: the traffic here is made up
    inside = {  # the API server asks itself: no audit log has them
        ("escalate", "clusterroles.rbac.authorization.k8s.io", "cluster"),
        ("bind", "roles.rbac.authorization.k8s.io", "moves"),
        ("bind", "clusterroles.rbac.authorization.k8s.io", "moves"),
    }
    assert used[Side.SOURCE] == granted(wanted[Side.SOURCE]) - unseen
    assert used[Side.TARGET] == granted(wanted[Side.TARGET]) - unseen - inside


async def test_a_refusal_on_the_way_home_ends_with_7_and_goes_on_when_it_is_granted(
    pair: Pair, api_pair: tuple[ApiServer, ApiServer], tmp_path: Path
) -> None:
    web = await pair.service("web")
    plan = plan_of(web, weights=(5, 100), dwell=1.0)
    plan = replace(plan, bounds=replace(plan.bounds, max_hold_dwells=2))
    silent = Traffic(pair.source, pair.target, CLOCK, silent={web})
    wanted = await needed(pair.source, pair.target, in_reach(agenda(plan)))
    back = Scope(services=frozenset(), last_wave=-1)
    async with accounts(pair, api_pair, wanted) as mine:
        clusters = (mine[0].k8s, mine[1].k8s)
        assert (await run(tmp_path, lambda: plan, *clusters, provider=silent)).states[web].phase is Phase.HELD
        (role,) = [item for item in mine[0].made if item["kind"] == "Role" and _space(item) == pair.namespace]
        less = [{**rule, "verbs": ["get", "list"]} for rule in role["rules"]]
        await pair.source.apply({**role, "rules": less})
        with Journal(tmp_path / ".landbridge" / "journal.db") as journal:
            journal.command(What.ROLLBACK, web, "ada", CLOCK.now())
        summary = await run(tmp_path, lambda: plan, *clusters, scope=back, provider=silent)
        error = summary.error()
        assert summary.states[web].phase is Phase.FAILED
        assert isinstance(error, AccessError)
        assert error.exit_code is Exit.ACCESS
        assert "permission" in error.what
        await pair.source.apply(role)

        async def granted_again() -> bool:
            return not await missing(mine[0].k8s, list(wanted[Side.SOURCE]))

        await wait_for(granted_again, what="the roles known to the API server", within=20, clock=CLOCK)
        summary = await run(tmp_path, lambda: plan, *clusters, provider=silent)
    assert summary.error() is None
    assert summary.states[web].phase is Phase.ROLLED_BACK
    assert await pair.weights("web") == (0, 0)


def _space(item: Mapping[str, Any]) -> str:
    return str(item["metadata"].get("namespace", ""))


async def test_what_is_missing_is_named_before_anything_is_written(
    pair: Pair, api_pair: tuple[ApiServer, ApiServer], tmp_path: Path
) -> None:
    web = await lay(pair)
    plan = whole(pair, web)
    wanted = await needed(pair.source, pair.target, in_reach(agenda(plan)))
    taken = {
        Side.SOURCE: without(wanted[Side.SOURCE], ("get", "secrets"), ("create", "leases")),
        Side.TARGET: without(wanted[Side.TARGET], ("get", "pods/proxy"), ("escalate", "roles")),
    }
    told: list[Event] = []
    async with accounts(pair, api_pair, taken) as mine:
        with pytest.raises(AccessError) as caught:
            await run(tmp_path, lambda: plan, mine[0].k8s, mine[1].k8s, tell=told.append)
        error, space = caught.value, pair.namespace
        assert error.exit_code is Exit.ACCESS
        assert error.what.splitlines() == [
            "rights are missing (3):",
            "  legacy: create leases.coordination.k8s.io in landbridge (the run lease, the first time)",
            f"  legacy: get secrets (app) in {space} (what is copied)",
            f"  eks: get pods/proxy in {space} (their counters, each second)",
        ]
        assert error.where == "legacy, eks"
        assert "landbridge run --roles" in error.advice
        for each in mine:
            assert not [event for event in await each.events() if event["verb"] in WRITES]
        assert [lacking.resource for lacking in await missing(mine[1].k8s, wanted[Side.TARGET])] == [
            "pods/proxy",
            "roles",
        ]
        stay = agenda(plan, scope=Scope(services=frozenset(), last_wave=-1))
        with pytest.raises(AccessError, match=r"missing \(1\)"):  # the way home asks for the lease alone
            await check(mine[0].k8s, mine[1].k8s, in_reach(stay))
        with pytest.raises(AccessError, match=r"legacy: create leases"):
            await retire(tmp_path, plan, mine[0].k8s, mine[1].k8s, [web], seconds=0, clock=CLOCK, by="ada")
    assert await pair.target.find(TRAFFICSPLIT, "web", pair.namespace) is None
    assert told == []
