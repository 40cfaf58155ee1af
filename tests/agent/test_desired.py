from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.agent import names, ports
from landbridge.agent.desired import World, gateway, waypoint
from landbridge.agent.links import Link, gateway_endpoint
from landbridge.agent.split import Obeyed, Reason
from landbridge.envoy.render import files
from landbridge.envoy.state import Backend, Endpoint, HeaderRoute, Listener, Shadow
from landbridge.model.service import Manifest, Protocol
from tests.agent.objects import endpoint_slice, leaf, mirror, service, trafficsplit

LINK = Link(cluster="eks", gateways=("10.90.0.12:15443",), identity="spiffe://eks/ns/landbridge/sa/landbridge-gateway")
FAR = endpoint_slice("web-eks", "10.0.0.1", ours=True)
NEAR = endpoint_slice("web-leaf", "10.1.0.1")
SERVICES = (service("web"), leaf("web"), mirror("web"))


def decide(
    *splits: Manifest,
    slices: Any = (NEAR, FAR),
    services: tuple[Manifest, ...] = SERVICES,
    expired: float | None = None,
    now: float = 1000.0,
    last: dict[str, Obeyed] | None = None,
) -> tuple[dict[str, Listener], dict[str, Obeyed]]:
    world = World.of("shop", services, slices, splits)
    listen = ports.plan([item for item in services if names.label(item, names.LEAF_OF)] + [mirror("web")], {}, 0)
    state, obeyed = waypoint("legacy", "shop", world, listen, last or {}, lambda _: expired, now)
    files(state)
    return {item.service: item for item in state.listeners}, obeyed


def sides(listener: Listener) -> dict[str, Backend]:
    return {backend.service: backend for backend in listener.backends}


def test_a_split_becomes_two_sides() -> None:
    listeners, _ = decide(trafficsplit("web", {"web-leaf": 70, "web-eks": 30}, home="web-leaf"))
    found = sides(listeners["web"])
    assert found["web-leaf"].local == (Endpoint(address="10.1.0.1", port=8080),)
    assert (found["web-leaf"].weight, found["web-leaf"].fallback) == (70, True)
    remote = found["web-eks"].remote
    assert remote is not None
    assert remote.sni == "p80.web.shop.eks"
    assert remote.gateways == (Endpoint(address="10.90.0.12", port=15443),)
    assert (found["web-eks"].weight, found["web-eks"].fallback) == (30, False)


def test_home_is_there_as_a_fallback_also_when_its_weight_is_zero() -> None:
    """waypoint.md 13.6: an empty other side must not lose its share."""
    listeners, _ = decide(trafficsplit("web", {"web-eks": 100}, home="web-leaf"))
    found = sides(listeners["web"])["web-leaf"]
    assert (found.weight, found.fallback) == (0, True)


def test_a_side_that_a_split_no_longer_names_stays_for_what_is_on_its_way_there() -> None:
    """An HTTPRoute drops a backend of weight 0; with its clusters gone, two of six ways home lost a request (503)."""
    listeners, _ = decide(trafficsplit("web", {"web-leaf": 100}, home="web-leaf"))
    found = sides(listeners["web"])
    assert (found["web-leaf"].weight, found["web-eks"].weight, found["web-eks"].fallback) == (100, 0, False)


def test_calling_a_mirror_by_name_goes_through_the_gateway() -> None:
    listeners, _ = decide()
    (backend,) = listeners["web-eks"].backends
    assert backend.remote is not None
    assert backend.remote.sni == "p80.web.shop.eks"


def test_the_pods_of_the_apex_itself_serve_when_there_is_no_leaf() -> None:
    services = (service("web", selector={"app": "web"}),)
    world = World.of(
        "shop", services, [endpoint_slice("web", "10.1.0.1"), endpoint_slice("web", "10.0.0.1", ours=True)]
    )
    listen = ports.plan([leaf("web")], {}, 0)
    state, _ = waypoint("legacy", "shop", world, listen, {}, lambda _: None, 0)
    (backend,) = state.listeners[0].backends
    assert backend.local == (Endpoint(address="10.1.0.1", port=8080),), "never our own slice: that would be a loop"


def test_a_leaf_that_is_being_made_leaves_the_pods_where_they_were() -> None:
    """The other cluster's traffic comes in while the endpoints of a new leaf are still being written."""
    pods, later = endpoint_slice("web", "10.1.0.7"), endpoint_slice("web-leaf", "10.1.0.8")
    young = (service("web", labels={names.EXPORTED: "true"}), leaf("web", state="adopting"))
    old = (young[0], leaf("web"))

    def open_at(services: tuple[Manifest, ...], *slices: Manifest) -> list[str]:
        (export,) = gateway("legacy", services, {"shop": World.of("shop", services, slices)}, []).exports
        return [endpoint.address for endpoint in export.endpoints]

    assert open_at(young, pods) == ["10.1.0.7"]
    assert open_at(young, pods, later) == ["10.1.0.8"]
    assert open_at(old, pods) == []


def test_a_service_that_is_adopted_before_its_pods_exist_is_served_by_the_other_side() -> None:
    """Law 1: some healthy side serves every service at every moment."""
    empty = endpoint_slice("web-leaf")
    _, obeyed = decide(slices=(empty, FAR))
    assert obeyed["web"].at(80) == {"web-eks": 100}
    _, obeyed = decide(slices=(NEAR, FAR))
    assert obeyed["web"].at(80) == {"web-leaf": 100}


TERMS = {"run_lease": "landbridge-run", "on_expiry": "home", "home": "web-leaf"}
HALF = {"web-leaf": 50, "web-eks": 50}


EXTRAS = {"header_route": "source=web-leaf target=web-eks", "shadow": "web-eks=10"}
TRUSTED = endpoint_slice(names.TRUSTED, "10.1.0.9", "10.1.0.8")
ALL_HOME = {"web-leaf": 100, "web-eks": 0}


def test_a_header_is_taken_from_the_pods_of_one_service_and_from_nobody_else() -> None:
    split = trafficsplit("web", ALL_HOME, **TERMS, **EXTRAS)
    forged = endpoint_slice(names.TRUSTED, "10.6.6.6", ours=True)  # an agent writes none of these
    listeners, _ = decide(split, slices=(NEAR, FAR, TRUSTED, forged))
    chosen = HeaderRoute(source="web-leaf", target="web-eks", trusted=("10.1.0.8", "10.1.0.9"))
    assert listeners["web"].header == chosen
    assert listeners["web"].shadow == Shadow(service="web-eks", percent=10)
    assert (listeners["web-eks"].header, listeners["web-eks"].shadow) == (None, None)
    listeners, _ = decide(split)
    assert listeners["web"].header == replace(chosen, trusted=())


def test_an_expired_lease_turns_header_and_shadow_off_also_where_the_weight_stays() -> None:
    for terms in (TERMS, TERMS | {"on_expiry": "stay"}, TERMS | {"home_replicas": "9"}):
        split = trafficsplit("web", ALL_HOME, **terms, **EXTRAS)
        assert decide(split)[0]["web"].shadow is not None
        listeners, _ = decide(split, expired=990)
        assert (listeners["web"].header, listeners["web"].shadow) == (None, None)


def test_ports_that_are_not_http_are_not_copied() -> None:
    split = trafficsplit("web", ALL_HOME, **TERMS, **EXTRAS)
    for name, header, shadow in (("http", True, True), ("grpc", True, False), ("db", False, False)):
        ports_ = [{"name": name, "port": 80, "protocol": "TCP", "targetPort": 8080}]
        services = (service("web", ports=ports_), leaf("web", ports=ports_), mirror("web", ports=ports_))
        listeners, _ = decide(split, services=services, slices=(endpoint_slice("web-leaf", "10.1.0.1", name=name), FAR))
        made = listeners["web"]
        assert (made.header is not None, made.shadow is not None) == (header, shadow), name


def test_an_expired_lease_takes_a_split_home() -> None:
    _, obeyed = decide(trafficsplit("web", HALF, **TERMS), expired=990)
    assert (obeyed["web"].at(80), obeyed["web"].reason) == ({"web-leaf": 100}, Reason.HOME)


def test_but_only_when_home_is_ready_and_sized() -> None:
    """waypoint.md 11 and law 11."""
    empty = endpoint_slice("web-leaf")
    _, obeyed = decide(trafficsplit("web", HALF, **TERMS), expired=990, slices=(empty, FAR))
    assert obeyed["web"].at(80) == HALF
    small = trafficsplit("web", HALF, **TERMS, home_replicas="3")
    _, obeyed = decide(small, expired=990)
    assert obeyed["web"].at(80) == HALF
    grown = endpoint_slice("web-leaf", "10.1.0.1", "10.1.0.2", "10.1.0.3")
    _, obeyed = decide(small, expired=990, slices=(grown, FAR))
    assert obeyed["web"].reason is Reason.HOME


def test_home_may_be_the_other_cluster_when_its_mirror_is_ready() -> None:
    away = TERMS | {"home": "web-eks"}
    dead = endpoint_slice("web-eks", "10.0.0.1", ours=True, ready=False)
    _, obeyed = decide(trafficsplit("web", HALF, **away), expired=990, slices=(NEAR, dead))
    assert obeyed["web"].at(80) == HALF
    _, obeyed = decide(trafficsplit("web", HALF, **away), expired=990)
    assert obeyed["web"].at(80) == {"web-eks": 100}


def test_a_split_without_a_lease_never_expires() -> None:
    _, obeyed = decide(trafficsplit("web", HALF, on_expiry="home", home="web-leaf"), expired=990)
    assert obeyed["web"].at(80) == HALF


def test_of_a_mirror_without_its_terms_nothing_is_known() -> None:
    broken = mirror("web")
    broken["metadata"]["annotations"][names.GATEWAYS] = "not json"
    listeners, _ = decide(trafficsplit("web", HALF), services=(service("web"), leaf("web"), broken))
    assert sides(listeners["web"])["web-eks"].local == ()


def test_a_gateway_opens_exactly_what_is_exported() -> None:
    exported = {names.EXPORTED: "true"}
    again = mirror("cart")
    again["metadata"]["labels"][names.EXPORTED] = "true"
    services = [service("web", labels=exported), leaf("web"), service("cart"), again]
    world = World.of("shop", services, [NEAR, endpoint_slice("web", "10.0.0.1", ours=True)])
    state = gateway("legacy", services, {"shop": world}, [LINK])
    assert [item.key for item in state.exports] == ["shop/web/80"]
    assert state.exports[0].endpoints == (Endpoint(address="10.1.0.1", port=8080),), "the leaf, never the apex"
    assert state.allowed == (
        "spiffe://eks/ns/landbridge/sa/landbridge-gateway",
        "spiffe://eks/ns/shop/sa/landbridge-waypoint",
    )
    files(state)


@pytest.mark.parametrize("where", ["leaf", "apex"])
def test_both_ends_of_a_hop_speak_what_people_have_stated(where: str) -> None:
    """The apex says it too: it stays exported when its leaf is gone, and callers over there still send requests."""
    plain = [{"name": "api", "port": 80, "targetPort": 8080}]
    apex = service("web", labels={names.EXPORTED: "true"}, ports=plain)
    own = leaf("web", ports=plain)
    marked = own if where == "leaf" else apex
    marked["metadata"]["annotations"][names.PROTOCOLS] = '{"80": "http"}'
    services = [apex, own] if where == "leaf" else [apex]
    state = gateway("legacy", services, {"shop": World.of("shop", services, [])}, [LINK])
    assert [item.protocol for item in state.exports] == [Protocol.HTTP]
    assert gateway("legacy", [apex], {"shop": World.of("shop", [apex], [])}, [LINK]).exports[0].protocol is (
        Protocol.TCP if where == "leaf" else Protocol.HTTP
    )


def test_gateway_addresses() -> None:
    assert gateway_endpoint("10.0.0.1:443") == Endpoint(address="10.0.0.1", port=443)
    assert gateway_endpoint("[fd00::1]:443") == Endpoint(address="fd00::1", port=443)
    assert gateway_endpoint("gw.example") == Endpoint(address="gw.example", port=15443)


@given(st.permutations([*SERVICES, service("cart"), leaf("cart")]), st.permutations([NEAR, FAR]))
def test_what_is_written_does_not_depend_on_any_order(services: list[Manifest], slices: list[Manifest]) -> None:
    """waypoint.md 9: rendering is byte-stable."""

    def rendered(order: Any) -> Any:
        world = World.of("shop", order, slices, [trafficsplit("web", HALF)])
        listen = ports.plan([leaf("web"), leaf("cart"), mirror("web")], {}, 0)
        return files(waypoint("legacy", "shop", world, listen, {}, lambda _: None, 0)[0])

    assert rendered(services) == rendered([*SERVICES, service("cart"), leaf("cart")])
