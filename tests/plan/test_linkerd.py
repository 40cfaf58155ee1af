"""Plans where Linkerd divides traffic: a mechanism for each side, the order of law 5, and what callers get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from landbridge.assess import Facts, assess
from landbridge.errors import BlockedError, DocumentError
from landbridge.model.catalog import Catalog
from landbridge.model.inventory import Inventory
from landbridge.model.plan import Act, ActKind, Plan
from landbridge.model.service import Manifest
from landbridge.plan import dump, load, make
from landbridge.shift.table import ROUTERS
from tests.assess.world import deployment, healthy, inventory, migration, service, thing
from tests.linkerd.world import linkerd

CATALOG = Catalog(routers={name: router.limits for name, router in ROUTERS.items()})
PROMETHEUS = {
    "provider": "prometheus",
    "source": {"url": "http://prometheus.legacy"},
    "target": {"url": "http://prometheus.eks"},
}
META = {"annotations": {"linkerd.io/inject": "enabled"}}


def meshed(objects: list[Manifest], *, source: int = 18, target: int = 20, **has: Any) -> Inventory:
    found = inventory([thing("Namespace", "shop", "", meta=META), *objects])
    return replace(
        found,
        source=replace(found.source, linkerd=linkerd(source, **has)),
        target=replace(found.target, linkerd=linkerd(target, other="legacy", **has)),
    )


def plan_of(world: Inventory, **changed: Any) -> Plan:
    facts = Facts(world, migration(**{"metrics": PROMETHEUS, "steps": (50, 100), **changed}))
    return make(facts, assess(facts), CATALOG)


def acts(plan: Plan) -> dict[str, Act]:
    entries = [entry for wave in plan.waves for entry in wave.services if str(entry.service) == "shop/web"]
    return {act.id.removeprefix("shop/web/"): act for entry in entries for act in entry.acts}


WEB = [deployment("web"), service("web")]
DB = [deployment("web"), service("web", {"name": "tcp-db", "port": 5432})]


def test_services_are_exported_both_ways_and_each_side_has_its_own_mechanism() -> None:
    found = acts(plan_of(meshed(WEB, source=16, target=20)))
    assert list(found)[:3] == ["export-target", "export-source", "split"]
    assert not {ActKind.ADOPT} & {act.kind for act in found.values()}
    assert found["split"].args == {
        "replicas": 2,
        "plane": "linkerd",
        "router": {"source": "httproute-v1beta1", "target": "httproute"},
        "domain": "cluster.local",
    }
    assert "no agent keeps the run's lease here" in found["split"].note
    assert found["unadopt-target"].args == {"side": "target", "plane": "linkerd"}


def test_with_routes_callers_of_both_sides_get_the_same_percent() -> None:
    assert "callers in eks" not in dump(plan_of(meshed(WEB)))


def test_where_splits_chain_the_plan_says_what_callers_of_the_target_get() -> None:
    found = acts(plan_of(meshed(DB)))
    assert found["split"].args["router"] == "trafficsplit"
    assert found["weight-50"].note.startswith("callers in eks go 100 % to the new copy from this step on")
    assert "callers in eks" not in found["weight-100"].note


def test_one_side_that_chains_is_enough() -> None:
    world = meshed(WEB)
    assert world.source.linkerd
    served = {name: versions for name, versions in world.source.linkerd.served.items() if "routes" not in name}
    bare = replace(world.source.linkerd, served=served, adaptor=False)
    found = acts(plan_of(replace(world, source=replace(world.source, linkerd=bare))))
    assert found["split"].args["router"] == {"source": "serviceprofile", "target": "httproute"}
    assert "callers in eks go 100 %" in found["weight-50"].note


def test_a_profile_with_routes_is_used_on_both_sides_for_it_is_copied() -> None:
    spec = {"routes": [{"name": "all"}]}
    profile = thing("ServiceProfile", "web.shop.svc.cluster.local", api="linkerd.io/v1alpha2", spec=spec)
    world = meshed([*WEB, profile])
    known = {**world.target.served, "linkerd.io/ServiceProfile": ("v1alpha2",)}
    found = acts(plan_of(replace(world, target=replace(world.target, served=known))))
    assert found["split"].args["router"] == "serviceprofile"


def test_the_plan_comes_back_from_its_text() -> None:
    for world in (meshed(WEB, source=14), meshed(DB, adaptor=False)):
        plan = plan_of(world)
        assert load(dump(plan)) == plan


def test_a_service_that_somebody_else_divides_is_a_blocker_with_its_advice() -> None:
    theirs = thing("TrafficSplit", "web", api="split.smi-spec.io/v1alpha2", spec={"service": "web", "backends": []})
    with pytest.raises(BlockedError, match="cannot be divided by Linkerd: TrafficSplit shop/web divides"):
        plan_of(meshed([*WEB, theirs]))


def test_without_prometheus_nobody_would_count() -> None:
    with pytest.raises(DocumentError) as refused:
        plan_of(meshed(WEB), metrics={})
    assert "provider: prometheus" in str(refused.value.mistakes[0])


def test_our_own_data_plane_can_be_asked_for_and_is_taken_where_linkerd_is_not_on_both_sides() -> None:
    world = meshed(WEB)
    lonely = replace(world, target=replace(world.target, linkerd=None), source=replace(world.source, objects=tuple(
        item for item in inventory(healthy()).source.objects
    )))  # fmt: skip
    assert "adopt-source" in acts(plan_of(lonely))
    with pytest.raises(BlockedError, match="injected mesh"):
        plan_of(world, dataPlane={"plane": "builtin"})


def test_a_router_that_a_cluster_would_not_take_is_refused() -> None:
    with pytest.raises(BlockedError, match="takes httproute for it, not trafficsplit"):
        plan_of(meshed(WEB), router="trafficsplit")
