"""What is generated is judged by an evaluator of its own: who may call whom, before and after adoption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from landbridge.model.service import Manifest, ServiceId
from landbridge.translate.policies import MADE, NAME, WAYPOINT, Fronted, Network, policies, widened

SPACES = ("shop", "stock", "landbridge")
LISTEN = 20001
PORT = 8080


class Pod(NamedTuple):
    space: str
    labels: Mapping[str, str]


GATEWAY = Pod("landbridge", {"landbridge.dev/role": "gateway"})
CALLERS = [Pod(space, {"app": app}) for space in ("shop", "stock") for app in ("web", "cart", "job")]


def waypoint(space: str) -> Pod:
    return Pod(space, WAYPOINT)


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return (selector.get("matchLabels") or {}).items() <= labels.items()


def ways(item: Manifest) -> set[str]:
    return set(item["spec"].get("policyTypes") or {"Ingress", *(["Egress"] if "egress" in item["spec"] else [])})


def isolating(made: Iterable[Manifest], pod: Pod, way: str) -> list[Manifest]:
    return [
        item
        for item in made
        if item["metadata"]["namespace"] == pod.space
        if way in ways(item) and matches(item["spec"]["podSelector"], pod.labels)
    ]


def passes(made: Iterable[Manifest], pod: Pod, other: Pod, port: int, way: str) -> bool:
    found = isolating(made, pod, way)
    return not found or any(
        rule_passes(item, rule, other, port, "from" if way == "Ingress" else "to")
        for item in found
        for rule in item["spec"].get(way.lower()) or ()
    )


def rule_passes(item: Manifest, rule: Mapping[str, Any], other: Pod, port: int, key: str) -> bool:
    entries = rule.get("ports")
    if entries and not any(
        (e.get("protocol") or "TCP") == "TCP"
        and ("port" not in e or (isinstance(e["port"], int) and e["port"] <= port <= e.get("endPort", e["port"])))
        for e in entries
    ):
        return False
    peers = rule.get(key)
    return not peers or any(is_peer(item, peer, other) for peer in peers)


def is_peer(item: Manifest, peer: Mapping[str, Any], other: Pod) -> bool:
    space = item["metadata"]["namespace"]
    spaces = peer.get("namespaceSelector")
    here = other.space == space if spaces is None else matches(spaces, {NAME: other.space})
    return here and matches(peer.get("podSelector") or {}, other.labels)


def may_call(made: Iterable[Manifest], caller: Pod, called: Pod, port: int) -> bool:
    made = list(made)
    return passes(made, caller, called, port, "Egress") and passes(made, called, caller, port, "Ingress")


def policy(name: str, space: str = "shop", **spec: Any) -> Manifest:
    meta = {"name": name, "namespace": space}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}


def app(name: str) -> dict[str, Any]:
    return {"matchLabels": {"app": name}}


def fronted(name: str, space: str = "shop") -> Fronted:
    return Fronted(id=ServiceId(space, name), pods=({"app": name},), ports=frozenset({PORT, "http"}))


def network(*found: Manifest, services: tuple[Fronted, ...] = (fronted("web"), fronted("cart"))) -> Network:
    spaces = [{"metadata": {"name": name}} for name in SPACES]
    return Network.of(found, spaces, services)


SELECTORS = st.sampled_from([{}, app("web"), app("cart"), app("job")])
PEERS = st.one_of(
    st.fixed_dictionaries({"podSelector": SELECTORS}),
    st.fixed_dictionaries(
        {"namespaceSelector": st.sampled_from([{}, {"matchLabels": {NAME: "stock"}}])},
        optional={"podSelector": SELECTORS},
    ),
)
PORTS = st.lists(
    st.sampled_from([{"port": PORT}, {"protocol": "TCP", "port": 9090}, {"port": 8000, "endPort": 9000}]), max_size=2
)


def rules(key: str) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.fixed_dictionaries({key: st.lists(PEERS, max_size=2), "ports": PORTS}), max_size=2)


@st.composite
def some_policies(draw: st.DrawFn) -> list[Manifest]:
    made = []
    for number in range(draw(st.integers(0, 4))):
        spec: dict[str, Any] = {"podSelector": draw(SELECTORS)}
        spec["policyTypes"] = draw(st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]))
        spec |= {way.lower(): draw(rules("from" if way == "Ingress" else "to")) for way in spec["policyTypes"]}
        made.append(policy(f"p{number}", draw(st.sampled_from(["shop", "stock"])), **spec))
    return made


ADOPTED = (fronted("web"), fronted("cart"), fronted("cart", "stock"))


@settings(max_examples=120)
@given(some_policies())
def test_who_could_call_still_can_and_nobody_is_isolated_who_was_not(before: list[Manifest]) -> None:
    """waypoint.md 4: caller to waypoint with the original callers; waypoint to leaf, gateway, API server, DNS."""
    after = [*before, *policies(network(*before, services=ADOPTED))]
    for service in ADOPTED:
        pod, front = Pod(service.id.namespace, service.pods[0]), waypoint(service.id.namespace)
        for caller in CALLERS:
            if may_call(before, caller, pod, PORT):
                assert may_call(after, caller, front, LISTEN), (caller, service.id)
                assert may_call(after, caller, pod, PORT), "connections from before adoption go on"
        assert passes(after, pod, front, PORT, "Ingress")
        assert passes(after, front, pod, PORT, "Egress")
        assert passes(after, pod, GATEWAY, PORT, "Ingress")
        assert passes(after, front, GATEWAY, 15443, "Egress")
        assert passes(after, front, GATEWAY, 15020, "Ingress"), "the leading agent asks before it adopts"
        assert passes(after, front, Pod("kube-system", {}), 53, "Egress")
        assert passes(after, front, Pod("elsewhere", {}), 6443, "Egress")
    for pod in CALLERS:
        for way in ("Ingress", "Egress"):
            assert bool(isolating(before, pod, way)) == bool(isolating(after, pod, way))


@settings(max_examples=120)
@given(some_policies())
def test_who_could_call_nothing_there_cannot_call_the_waypoint_unless_it_is_said(before: list[Manifest]) -> None:
    found = network(*before, services=ADOPTED)
    after = [*before, *policies(found)]
    said = {service for service, _ in widened(found)}
    for service in ADOPTED:
        pod, front = Pod(service.id.namespace, service.pods[0]), waypoint(service.id.namespace)
        for caller in CALLERS:
            shut = isolating(before, pod, "Ingress") and not any(
                passes(before, pod, caller, port, "Ingress") for port in (PORT, 9090)
            )
            if shut and passes(after, front, caller, LISTEN, "Ingress"):
                assert service.id in said, (caller, service.id)


def test_nothing_is_made_where_nothing_is_isolated() -> None:
    assert policies(network()) == ()
    assert policies(network(policy("other", podSelector=app("job"), ingress=[]))) == ()


def test_default_deny_and_one_that_names_the_caller() -> None:
    """Golden: what people are shown for the most common pair of policies."""
    deny = policy("deny", podSelector={}, policyTypes=["Ingress", "Egress"])
    allow = policy(
        "web", podSelector=app("web"), ingress=[{"from": [{"podSelector": app("job")}], "ports": [{"port": PORT}]}]
    )
    out = policy("job", podSelector=app("job"), policyTypes=["Egress"], egress=[{"to": [{"podSelector": app("web")}]}])
    made = {item["metadata"]["name"]: item for item in policies(network(deny, allow, out, services=(fronted("web"),)))}
    listen = {"protocol": "TCP", "port": 20000, "endPort": 29999}
    assert set(made) == {
        "landbridge-waypoint",
        "landbridge-waypoint-egress",
        "landbridge-leaf-deny",
        "landbridge-egress-job",
    }
    assert made["landbridge-waypoint"]["spec"]["ingress"][0] == {
        "ports": [listen],
        "from": [{"podSelector": app("job")}],
    }
    assert made["landbridge-egress-job"]["spec"]["egress"][0]["ports"] == [listen]
    assert made["landbridge-leaf-deny"]["spec"]["podSelector"] == {}
    assert all(MADE in item["metadata"]["labels"] for item in made.values())
    again = network(deny, allow, out, *made.values(), services=(fronted("web"),))
    assert {item["metadata"]["name"]: item for item in policies(again)} == made, "what was applied changes nothing"


def test_services_of_different_callers_are_told() -> None:
    only_job = policy("web", podSelector=app("web"), ingress=[{"from": [{"podSelector": app("job")}]}])
    only_web = policy("cart", podSelector=app("cart"), ingress=[{"from": [{"podSelector": app("web")}]}])
    assert dict(widened(network(only_job, only_web))) == {
        ServiceId("shop", "web"): "pods app=web",
        ServiceId("shop", "cart"): "pods app=job",
    }
    assert dict(widened(network(only_job))) == {ServiceId("shop", "web"): "everybody"}
    assert not dict(widened(network(only_job, services=(fronted("web"),))))


def test_an_egress_rule_with_a_port_lacks_the_waypoints() -> None:
    by_port = policy(
        "out", "stock", podSelector={}, policyTypes=["Egress"],
        egress=[{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": "http"}]}],
    )  # fmt: skip
    (made,) = policies(network(by_port))
    assert (made["metadata"]["name"], made["metadata"]["namespace"]) == ("landbridge-egress-out", "stock")
    free = policy("out", "stock", podSelector={}, policyTypes=["Egress"], egress=[{}])
    assert policies(network(free)) == ()
