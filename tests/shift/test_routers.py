"""One contract for every router, on a real API server."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from landbridge.clients.kinds import NAMESPACE, SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.errors import DriftError
from landbridge.model.service import BUILTIN, LINKERD, Mesh, ServiceId, Side, Weight
from landbridge.shift.extras import HEADER_ROUTE, SHADOW
from landbridge.shift.router import HOME, ON_EXPIRY, RUN_LEASE, Place, RouterKind, SplitRouter, backends, kept
from landbridge.shift.table import ROUTERS

pytestmark = pytest.mark.api


async def make_service(k8s: Kubernetes) -> ServiceId:
    namespace = f"shift-{uuid.uuid4().hex[:8]}"
    await k8s.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    ports = [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]
    meta = {"name": "web", "namespace": namespace}
    await k8s.create(
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": {"app": "web"}, "ports": ports}}
    )
    return ServiceId(namespace, "web")


BUILT_IN = ("trafficsplit", "httproute")
"""What our own data plane obeys."""
CASES = [(name, BUILTIN if name in BUILT_IN else LINKERD) for name in sorted(ROUTERS)]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1].name}")
def case(request: pytest.FixtureRequest) -> tuple[RouterKind, Mesh]:
    name, mesh = request.param
    return ROUTERS[name], mesh


@pytest.fixture(params=list(Side))
async def router(request: pytest.FixtureRequest, case: tuple[RouterKind, Mesh], k8s: Kubernetes) -> SplitRouter:
    kind, mesh = case
    place = Place(k8s=k8s, side=request.param, other="eks" if request.param is Side.SOURCE else "legacy", mesh=mesh)
    made = kind.make(place, await make_service(k8s))
    assert isinstance(made, SplitRouter)
    return made


async def live(router: SplitRouter) -> dict[str, object]:
    found = await router.place.k8s.get(router.kind, router.name, router.service.namespace)
    return {**found["metadata"].get("annotations", {}), "spec": found["spec"]}


async def test_prepare_brings_everything_home_and_may_be_repeated(router: SplitRouter) -> None:
    first = await router.prepare()
    assert first.prior is None
    assert (await router.get_weight()).percent == 0
    await router.set_weight(await router.get_weight(), 30)
    again = await router.prepare()
    assert again.prior is not None
    assert (await router.get_weight()).percent == 0


async def test_every_percent_can_be_set_and_read(router: SplitRouter) -> None:
    await router.prepare()
    for percent in (1, 5, 50, 99, 100, 0):
        before = await router.get_weight()
        receipt = await router.set_weight(before, percent)
        after = await router.get_weight()
        assert after.percent == percent
        assert after.version == receipt.version != before.version


async def test_somebody_elses_weight_is_drift_and_named(router: SplitRouter) -> None:
    await router.prepare()
    expected = await router.get_weight()
    spec = await router.spec(7, await router.place.k8s.get(router.kind, router.name, router.service.namespace))
    await router.place.k8s.patch(
        router.kind, router.name, {"spec": spec}, router.service.namespace, manager="kubectl-edit"
    )
    with pytest.raises(DriftError, match="7 %, not 0 % as last seen; written by kubectl-edit at"):
        await router.set_weight(expected, 25)
    assert (await router.get_weight()).percent == 7


async def test_a_write_beside_the_weight_is_no_drift(router: SplitRouter) -> None:
    await router.prepare()
    expected = await router.get_weight()
    note = {"metadata": {"labels": {"team": "shop"}}}
    await router.place.k8s.patch(router.kind, router.name, note, router.service.namespace, manager="someone")
    await router.set_weight(expected, 25)
    assert (await router.get_weight()).percent == 25


async def test_a_stale_expectation_is_refused(router: SplitRouter) -> None:
    await router.prepare()
    old = await router.get_weight()
    await router.set_weight(old, 50)
    with pytest.raises(DriftError):
        await router.set_weight(old, 5)
    with pytest.raises(DriftError):
        await router.set_weight(Weight(percent=5, version=""), 10)


async def test_every_write_changes_the_version_even_if_the_weight_is_right(router: SplitRouter) -> None:
    router.place = replace(router.place, token=iter("abc").__next__)
    await router.prepare()
    before = await router.get_weight()
    await router.set_weight(before, 0)
    assert (await router.get_weight()).version != before.version


async def test_finish_takes_the_lease_off_and_restore_puts_all_back(router: SplitRouter) -> None:
    await router.prepare()
    await router.set_weight(await router.get_weight(), 100)
    before = await live(router)
    leased = router.place.mesh.leased  # nobody in a cluster with Linkerd takes a weight home when a runner has died
    assert before.get(RUN_LEASE) == ("landbridge-run" if leased else None)
    assert before.get(ON_EXPIRY) == ("home" if leased else None)
    receipt = await router.finish()
    after = await live(router)
    assert RUN_LEASE not in after
    assert ON_EXPIRY not in after
    assert after[HOME] == ("web-eks" if router.place.side is Side.SOURCE else f"web{router.place.mesh.local}")
    assert after["spec"] == before["spec"]
    await router.restore(receipt)
    assert {k: v for k, v in (await live(router)).items() if k != "landbridge.dev/token"} == {
        k: v for k, v in before.items() if k != "landbridge.dev/token"
    }


def extras(found: dict[str, object]) -> tuple[object, object]:
    return found.get(HEADER_ROUTE), found.get(SHADOW)


async def test_header_and_shadow_are_declared_and_gone_with_home_and_finish(router: SplitRouter) -> None:
    if not router.limits.header_route:
        pytest.skip("only our own waypoints obey it")
    source, target = backends(router.place, router.service)
    chosen = f"source={source} target={target}"
    await router.prepare()
    assert extras(await live(router)) == (chosen, None)
    spec = (await live(router))["spec"]
    off = await router.set_header(on=False)
    shadowed = await router.set_shadow(10)
    assert extras(await live(router)) == (None, f"{target}=10")
    assert (await live(router))["spec"] == spec
    await router.restore(shadowed)
    assert extras(await live(router)) == (None, None)
    await router.restore(off)
    assert extras(await live(router)) == (chosen, None)
    await router.set_shadow(100)
    await router.set_weight(await router.get_weight(), 5)
    assert extras(await live(router)) == (chosen, None), "what has a weight has no shadow"
    with pytest.raises(DriftError, match="a shadow is for 0 %"):
        await router.set_shadow(10)
    await router.set_weight(await router.get_weight(), 0)
    assert extras(await live(router)) == (None, None), "a copy that was rolled back gets nothing any more"
    await router.set_shadow(10)
    await router.prepare()
    assert extras(await live(router)) == (chosen, None)
    await router.set_weight(await router.get_weight(), 100)
    finished = await router.finish()
    assert extras(await live(router)) == (None, None)
    await router.restore(finished)
    assert extras(await live(router)) == (chosen, None)
    await router.set_shadow(0)


async def test_a_write_beside_it_does_not_stop_a_shadow_but_a_stranger_does(router: SplitRouter) -> None:
    await router.prepare()
    await router.get_weight()
    note = {"metadata": {"labels": {"team": "shop"}}}
    await router.place.k8s.patch(router.kind, router.name, note, router.service.namespace, manager="someone")
    await router.set_shadow(10)
    mine = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "helm"}}}
    await router.place.k8s.patch(router.kind, router.name, mine, router.service.namespace, manager="helm")
    with pytest.raises(DriftError, match="not landbridge's"):
        await router.set_shadow(20)
    with pytest.raises(DriftError, match="not landbridge's"):
        await router.set_header(on=False)


async def test_restore_deletes_what_did_not_exist_and_makes_what_did(router: SplitRouter) -> None:
    made = await router.prepare()
    found = await router.place.k8s.get(router.kind, router.name, router.service.namespace)
    await router.restore(made)
    assert await router.place.k8s.find(router.kind, router.name, router.service.namespace) is None
    await router.restore(made)
    await router.restore(replace(made, prior=kept(found)))
    assert (await router.get_weight()).percent == 0


async def test_a_split_of_somebody_else_is_never_touched(router: SplitRouter) -> None:
    manifest = await router._manifest(40)
    del manifest["metadata"]["labels"]
    await router.place.k8s.create(manifest, manager="argocd")
    with pytest.raises(DriftError, match="not landbridge's; written by argocd"):
        await router.prepare()


async def test_http_routes_never_name_a_backend_without_weight(k8s: Kubernetes) -> None:
    service = await make_service(k8s)
    router = ROUTERS["httproute"].make(Place(k8s=k8s, side=Side.SOURCE, other="eks"), service)
    assert isinstance(router, SplitRouter)
    await router.prepare()
    for percent, names in ((0, {"web-leaf"}), (5, {"web-leaf", "web-eks"}), (100, {"web-eks"})):
        await router.set_weight(await router.get_weight(), percent)
        found = await k8s.get(router.kind, router.name, service.namespace)
        rules = found["spec"]["rules"]
        assert [rule["backendRefs"][0]["port"] for rule in rules] == [80, 81]
        assert all({ref["name"] for ref in rule["backendRefs"]} == names for rule in rules)
    assert await k8s.get(NAMESPACE, service.namespace)
    assert await k8s.get(SERVICE, "web", service.namespace)


async def test_a_profile_of_somebody_else_keeps_all_but_its_overrides(k8s: Kubernetes) -> None:
    """3.6: one with routes beats every HTTPRoute, so it is found and respected, and left as it was."""
    service = await make_service(k8s)
    place = Place(k8s=k8s, side=Side.SOURCE, other="eks", mesh=LINKERD)
    router = ROUTERS["serviceprofile"].make(place, service)
    assert isinstance(router, SplitRouter)
    routes = [{"name": "all", "condition": {"pathRegex": "/.*"}, "timeout": "3s"}]
    meta = {"name": router.name, "namespace": service.namespace, "annotations": {"team": "shop"}}
    theirs = {
        "apiVersion": "linkerd.io/v1alpha2",
        "kind": "ServiceProfile",
        "metadata": meta,
        "spec": {"routes": routes},
    }
    await k8s.create(theirs, manager="argocd")
    receipt = await router.prepare()
    await router.set_weight(await router.get_weight(), 25)
    driven = await k8s.get(router.kind, router.name, service.namespace)
    domain = f"{service.namespace}.svc.cluster.local"
    assert driven["spec"]["routes"] == routes
    assert driven["spec"]["dstOverrides"] == [
        {"authority": f"web.{domain}", "weight": 75},
        {"authority": f"web-eks.{domain}", "weight": 25},
    ]
    await router.restore(receipt)
    left = await k8s.get(router.kind, router.name, service.namespace)
    assert left["spec"] == {"routes": routes}
    assert left["metadata"]["annotations"].get("team") == "shop"
    assert "landbridge.dev/drives" not in left["metadata"]["annotations"]
    await router.prepare()
    await router.restore(replace(receipt, prior=None))
    assert (await k8s.get(router.kind, router.name, service.namespace))["spec"] == {"routes": routes}


async def test_an_override_of_somebody_else_is_never_touched(k8s: Kubernetes) -> None:
    service = await make_service(k8s)
    router = ROUTERS["serviceprofile"].make(Place(k8s=k8s, side=Side.SOURCE, other="eks", mesh=LINKERD), service)
    assert isinstance(router, SplitRouter)
    meta = {"name": router.name, "namespace": service.namespace}
    spec = {"dstOverrides": [{"authority": "canary.shop.svc.cluster.local", "weight": "500m"}]}
    theirs = {"apiVersion": "linkerd.io/v1alpha2", "kind": "ServiceProfile", "metadata": meta, "spec": spec}
    await k8s.create(theirs, manager="flagger")
    with pytest.raises(DriftError, match="not landbridge's; written by flagger"):
        await router.prepare()


async def test_what_linkerd_does_not_say_is_not_taken_for_obeyed(k8s: Kubernetes) -> None:
    """The conditions are Linkerd's own, and of the newest generation; the adaptor's profile is compared."""
    service = await make_service(k8s)
    place = Place(k8s=k8s, side=Side.SOURCE, other="eks", mesh=LINKERD)
    made = {name: ROUTERS[name].make(place, service) for name in ("httproute-linkerd", "trafficsplit")}
    route, split = made["httproute-linkerd"], made["trafficsplit"]
    assert isinstance(route, SplitRouter)
    assert isinstance(split, SplitRouter)
    for router in (route, split):
        await router.prepare()
        await router.set_weight(await router.get_weight(), 30)
    assert "has said nothing" in await route.obeyed()
    await tell(route, "True")
    assert await route.obeyed() == ""
    await route.confirm()
    await route.set_weight(await route.get_weight(), 40)
    assert "older generation" in await route.obeyed()
    await tell(route, "False", reason="BackendNotFound")
    assert "BackendNotFound" in await route.obeyed()

    assert "has not written it" in await split.obeyed()
    profile = ROUTERS["serviceprofile"].make(place, service)
    await profile.prepare()
    assert "not {" in await split.obeyed()
    await profile.set_weight(await profile.get_weight(), 30)
    assert await split.obeyed() == ""


async def tell(router: SplitRouter, status: str, reason: str = "Accepted") -> None:
    """As Linkerd's policy controller does."""
    found = await router.place.k8s.get(router.kind, router.name, router.service.namespace)
    about = {"status": status, "reason": reason, "message": "", "lastTransitionTime": "2026-11-21T00:00:00Z"}
    about["observedGeneration"] = found["metadata"]["generation"]
    parent = {
        "parentRef": found["spec"]["parentRefs"][0],
        "controllerName": "linkerd.io/policy-controller",
        "conditions": [{"type": kind, **about} for kind in ("Accepted", "ResolvedRefs")],
    }
    said = {"status": {"parents": [parent]}}
    await router.place.k8s.patch(
        router.kind, router.name, said, router.service.namespace, subresource="status", manager="policy-controller"
    )
