"""The leader's duties as a process at a real API server, with real waypoints; the endpoint controller is the test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import pytest
import pytest_asyncio

from landbridge.agent import names
from landbridge.clients.answers import ConflictError, NotFoundError
from landbridge.clients.kubernetes import CONFIGMAP, ENDPOINTSLICE, EVENT, SERVICE, Kubernetes
from landbridge.clock import DeadlineError, wait_for
from landbridge.connect.adopt import adopt, unadopt
from landbridge.errors import DriftError
from landbridge.lab import ApiServer
from landbridge.model.service import Manifest, ServiceId
from tests.agent.bed import CLOCK, Bed, Seat, ask, http_backend

pytestmark = pytest.mark.asyncio(loop_scope="module")
CONTROLLER = "endpointslice-controller.k8s.io"


class Crew:
    """A namespace with two waypoints, and a leader."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.waypoints: list[Seat] = []
        self.leaders: list[Seat] = []

    async def eventually(self, check: Callable[[], Awaitable[Any]], what: str, within: float = 90) -> Any:
        try:
            return await wait_for(check, what=what, within=within, clock=CLOCK)
        except DeadlineError as error:
            told = [f"{await seat.get('/state')}\n{seat.tail()}" for seat in self.leaders]
            raise AssertionError(f"{error}: {' '.join(told)}") from None

    async def ours(self, service: str) -> Manifest | None:
        found = [item for item in await self.bed.slices(service) if names.ours(item)]
        return found[0] if found else None

    async def points_to(self, service: str, seats: list[Seat], within: float = 90) -> Manifest:
        """Wait until our slice of a Service holds exactly these."""
        wanted = {seat.address for seat in seats}

        async def check() -> Manifest | None:
            item = await self.ours(service)
            held = {address for endpoint in (item or {}).get("endpoints") or () for address in endpoint["addresses"]}
            return item if item and held == wanted else None

        found: Manifest = await self.eventually(check, f"{service} points to {sorted(wanted)}", within)
        return found

    async def selector(self, service: str) -> dict[str, str]:
        return dict((await self.bed.get_service(service))["spec"].get("selector") or {})

    async def steps(self, api: ApiServer, name: str) -> list[str]:
        """What was written about a Service from the making of its leaf on, in order; notes on it left out."""
        found: list[str] = []
        for line in api.audit.read_text().splitlines():
            event = json.loads(line)
            ref, verb = event.get("objectRef") or {}, event["verb"]
            ours = ref.get("namespace") == self.bed.namespace and str(ref.get("name", "")).startswith(name)
            if (
                ours
                and ref["resource"] != "events"
                and verb in {"create", "patch", "delete"}
                and event["responseStatus"]["code"] < 400
            ):
                found.append(f"{verb} {ref['resource']} {ref['name']}")
        begin = found.index(f"create services {name}-leaf")
        return [step for step in found[begin:] if step != f"patch services {name}-leaf"]

    async def adopted(self, name: str) -> None:
        await self.bed.adopted(name)
        await self.bed.slice(f"{name}-leaf", f"{self.bed.prefix}.101")
        await self.points_to(name, self.waypoints)

    async def reapply(self, name: str, spec: dict[str, Any]) -> None:
        """What an owner's apply does to the Service."""
        await self.bed.k8s.patch(SERVICE, name, {"spec": spec}, self.bed.namespace, manager="owner")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crew(api: ApiServer, prefix: str) -> AsyncIterator[Crew]:
    async with AsyncExitStack() as stack:
        k8s = await stack.enter_async_context(Kubernetes.connect(api.kubeconfig, name=api.name))
        await stack.enter_async_context(http_backend(f"{prefix}.101", 8080, "old"))
        bed = await stack.enter_async_context(Bed(k8s, api.kubeconfig, prefix))
        crew = Crew(bed)
        seats = [("waypoint", 11), ("waypoint", 12), ("gateway", 20)]
        *crew.waypoints, leader = await asyncio.gather(*(bed.running(role, number) for role, number in seats))
        crew.leaders = [leader]
        await asyncio.gather(*(bed.probe(seat) for seat in crew.waypoints))
        yield crew


async def test_adoption_waits_for_every_waypoint_and_then_points_to_them(crew: Crew) -> None:
    """waypoint.md 7: a Service is adopted only after each waypoint pod was dialled on the new port."""
    bed = crew.bed
    await bed.service("web", selector={"app": "web"})
    await bed.slice("web", f"{bed.prefix}.101")
    await bed.slice("web-leaf", f"{bed.prefix}.101")
    await bed.service(
        "web-leaf",
        selector={"app": "web"},
        labels={names.LEAF_OF: "web", names.MANAGED_BY: "landbridge"},
        annotations={names.STATE: "adopting"},
    )
    item = await crew.points_to("web", crew.waypoints)
    (port,) = item["ports"]
    assert (port["name"], port["protocol"]) == ("http", "TCP")
    assert names.annotation(await bed.get_service("web-leaf"), names.PORTS) == f'{{"80/TCP": {port["port"]}}}'
    for seat in crew.waypoints:
        assert await ask(seat.address, port["port"]) == "old"
    assert await crew.selector("web") == {"app": "web"}, "setting it to null is connect's, not ours"
    assert len(await bed.slices("web")) == 2, "sweeping is connect's, not ours"


async def test_the_owners_selector_is_set_to_null_again(crew: Crew) -> None:
    """waypoint.md 1: nothing is lost meanwhile, for both kinds of endpoints are valid."""
    bed = crew.bed
    await crew.adopted("cart")
    await crew.reapply("cart", {"selector": {"app": "cart"}})
    await bed.slice("cart", f"{bed.prefix}.101")

    async def restored() -> bool:
        return not await crew.selector("cart") and len(await bed.slices("cart")) == 1

    await crew.eventually(restored, "the selector is null and the controller's slice gone")
    assert await crew.ours("cart")
    assert names.annotation(await bed.get_service("cart-leaf"), names.RESTORED)
    events = await bed.k8s.list(EVENT, bed.namespace)
    assert any(item["reason"] == "OwnerReapplied" and item["involvedObject"]["name"] == "cart" for item in events)


async def test_an_owner_who_replaced_the_service_gets_the_label_back_first(crew: Crew) -> None:
    bed = crew.bed
    await crew.adopted("users")
    gone = {"metadata": {"labels": {names.SKIP_MIRROR: None}}, "spec": {"selector": {"app": "users"}}}
    await bed.k8s.patch(SERVICE, "users", gone, bed.namespace, manager="owner")

    async def restored() -> bool:
        service = await bed.get_service("users")
        return names.label(service, names.SKIP_MIRROR) == "true" and not service["spec"].get("selector")

    await crew.eventually(restored, "label and selector are restored")


async def test_another_selector_goes_to_the_leaf_first(crew: Crew) -> None:
    """waypoint.md 2: the leaf's frozen selector must not empty at an owner's next release."""
    bed = crew.bed
    await crew.adopted("stock")
    green = {"app": "stock", "color": "green"}
    await crew.reapply("stock", {"selector": green})
    await asyncio.gather(*(seat.get("/state") for seat in crew.waypoints))
    assert await crew.selector("stock-leaf") == {"app": "stock"}, "nobody matches it yet"
    await bed.slice("stock", f"{bed.prefix}.102")

    async def moved() -> bool:
        return await crew.selector("stock-leaf") == green

    await crew.eventually(moved, "the leaf has the new selector")
    assert await crew.selector("stock") == green, "not before the leaf has the new endpoints"
    await bed.slice("stock-leaf", f"{bed.prefix}.102")

    async def restored() -> bool:
        return not await crew.selector("stock")

    await crew.eventually(restored, "the selector is null again")


async def test_changed_ports_are_reported_and_not_restored(crew: Crew) -> None:
    bed = crew.bed
    await crew.adopted("orders")
    ports = [{"name": "http", "port": 80, "targetPort": 9090}]
    await crew.reapply("orders", {"selector": {"app": "orders"}, "ports": ports})

    async def reported() -> str:
        return names.annotation(await bed.get_service("orders-leaf"), names.DRIFT)

    assert "9090" in await crew.eventually(reported, "drift is reported")
    assert await crew.selector("orders") == {"app": "orders"}
    await crew.reapply("orders", {"selector": None, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]})

    async def cleared() -> bool:
        return not names.annotation(await bed.get_service("orders-leaf"), names.DRIFT)

    await crew.eventually(cleared, "the report goes when the ports are back")


async def test_who_is_not_ready_leaves_and_the_last_one_is_held(crew: Crew) -> None:
    """waypoint.md 13.5: never an empty slice."""
    first, second = crew.waypoints
    await crew.adopted("pay")
    await crew.bed.probe(first, ready=False)
    item = await crew.points_to("pay", [second], within=10)
    await crew.bed.probe(second, ready=False)
    await crew.bed.slice(
        "pay-leaf", f"{crew.bed.prefix}.101", f"{crew.bed.prefix}.102"
    )  # something to see it has looked

    async def looked() -> bool:
        return "held" in str((await crew.leaders[0].get("/state"))["duties"]["waiting"])

    await crew.eventually(looked, "the leader says that it holds")
    assert (await crew.ours("pay") or {})["metadata"]["resourceVersion"] == item["metadata"]["resourceVersion"]
    await asyncio.gather(*(crew.bed.probe(seat) for seat in crew.waypoints))
    await crew.points_to("pay", crew.waypoints)


async def test_a_new_leader_changes_nothing_by_arriving(crew: Crew) -> None:
    await crew.adopted("notices")
    before = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in await all_ours(crew)}
    old = crew.leaders[0]
    new = await crew.bed.running("gateway", 21)
    crew.leaders.append(new)
    await new.until(lambda s: s["synced"], "the second agent is there")
    assert not (await new.get("/state"))["leading"]
    assert old.agent is not None
    old.agent.terminate()
    await new.until(lambda s: s["leading"] and not s["duties"]["waiting"], "the second leads and has looked", within=15)
    after = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in await all_ours(crew)}
    assert after == before
    crew.leaders = [new]
    await crew.adopted("later")


async def test_giving_a_service_back_waits_for_its_own_endpoints_and_then_drains(crew: Crew) -> None:
    """waypoint.md 1 and 5: restore, wait for its slices, delete ours, drain; the port is free only after that."""
    bed = crew.bed
    await crew.adopted("back")
    port = (await crew.points_to("back", crew.waypoints))["ports"][0]["port"]
    _, writer = await asyncio.open_connection(crew.waypoints[0].address, port)
    await bed.k8s.patch(SERVICE, "back-leaf", {"metadata": {"annotations": {names.STATE: "releasing"}}}, bed.namespace)
    await crew.adopted("other")
    assert await crew.ours("back"), "held: nobody else answers"
    await bed.slice("back", f"{bed.prefix}.101")

    async def gone() -> bool:
        return await crew.ours("back") is None

    await crew.eventually(gone, "our slice is gone")
    await bed.k8s.delete(SERVICE, "back-leaf", bed.namespace)

    async def record() -> str:
        found = await bed.k8s.get(CONFIGMAP, names.PORT_RECORD, bed.namespace)
        return str((found["data"] or {}).get("back.80.tcp", ""))

    async def drains() -> bool:
        return "draining" in await record()

    await crew.eventually(drains, "the port drains")
    assert await ask(crew.waypoints[1].address, port) == "old", "the listener stays while somebody holds on"
    writer.close()

    async def free() -> bool:
        return not await record()

    await crew.eventually(free, "the port is free")

    async def closed() -> bool:
        try:
            _, writer = await asyncio.open_connection(crew.waypoints[1].address, port)
        except OSError:
            return True
        writer.close()
        return False

    await crew.eventually(closed, "the listener is gone")


async def test_adoption_goes_step_by_step_and_tells_what_ports_speak(crew: Crew, api: ApiServer) -> None:
    """waypoint.md 1 and 9: the order that loses nothing, and a port without a name is split as people have stated."""
    bed = crew.bed
    await bed.service("spoken", selector={"app": "spoken"}, ports=[{"port": 80, "targetPort": 8080}])
    for name in ("spoken", "spoken-leaf"):
        await bed.slice(name, f"{bed.prefix}.101", name="")

    async def control() -> None:
        """The endpoint controller: a Service with a selector has a slice."""
        while True:
            if await crew.selector("spoken"):
                with suppress(ConflictError, NotFoundError):
                    await bed.slice("spoken", f"{bed.prefix}.101", name="")
            await CLOCK.sleep(0.05)

    service = ServiceId(bed.namespace, "spoken")
    (prior, _) = await adopt(bed.k8s, service, other="eks", clock=CLOCK, protocols={"80": "http"})
    assert prior.prior is not None
    assert prior.prior["spec"] == {"selector": {"app": "spoken"}}
    item = await crew.points_to("spoken", crew.waypoints)
    seat = crew.waypoints[0]
    assert await ask(seat.address, item["ports"][0]["port"]) == "old"
    route = (await seat.get("/counters"))["routes"][f"{bed.namespace}/spoken/80"]
    assert (route["protocol"], route["backends"]["spoken-leaf"]["total"]) == ("http", 1)
    assert await crew.steps(api, "spoken") == [
        "create services spoken-leaf",
        "create endpointslices spoken-landbridge-ipv4",
        "patch services spoken",  # skip-mirror, waited for on the Endpoints object
        "patch services spoken",  # the selector becomes null
        "delete endpointslices spoken-abcde",
    ]
    controller = asyncio.create_task(control())
    await unadopt(bed.k8s, service, (prior,), clock=CLOCK, keep_export=True)
    apex = await bed.get_service("spoken")
    assert names.annotation(apex, names.PROTOCOLS), "still exported: who calls from over there sends requests"
    await adopt(bed.k8s, service, other="eks", clock=CLOCK)
    assert names.annotation(await bed.get_service("spoken-leaf"), names.PROTOCOLS) == '{"80": "http"}'
    await unadopt(bed.k8s, service, (prior,), clock=CLOCK)
    controller.cancel()
    apex = await bed.get_service("spoken")
    assert apex["spec"]["selector"] == {"app": "spoken"}
    assert not {names.PROTOCOLS, names.SKIP_MIRROR, names.EXPORTED} & {
        *(apex["metadata"].get("labels") or {}),
        *(apex["metadata"].get("annotations") or {}),
    }


async def test_who_keeps_endpoints_for_an_adopted_service_is_named(crew: Crew) -> None:
    """waypoint.md 1: what is listed again afterwards and is not ours is drift."""
    bed = crew.bed
    await bed.service("kept", selector={"app": "kept"})
    for name in ("kept", "kept-leaf"):
        await bed.slice(name, f"{bed.prefix}.101")

    async def keep() -> None:
        while True:
            with suppress(ConflictError, NotFoundError):
                await bed.slice("kept", f"{bed.prefix}.101", by="stranger.example", suffix="by-hand")
            await CLOCK.sleep(0.05)

    stranger = asyncio.create_task(keep())
    try:
        with pytest.raises(DriftError, match="somebody else keeps endpoints for"):
            await adopt(bed.k8s, ServiceId(bed.namespace, "kept"), other="eks", clock=CLOCK)
    finally:
        stranger.cancel()


async def all_ours(crew: Crew) -> list[Manifest]:
    label = f"{names.SLICE_MANAGED_BY}={names.SLICE_MANAGER}"
    return await crew.bed.k8s.list(ENDPOINTSLICE, crew.bed.namespace, labels=label)
