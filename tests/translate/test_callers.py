"""Whom a waypoint lets in, judged by a reading of NetworkPolicies of its own: address by address, rule by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from landbridge.envoy.callers import chosen
from landbridge.model.service import Manifest
from landbridge.translate.callers import (
    Around,
    Called,
    called_of,
    callers,
    differ,
    entries,
    isolating,
    kept,
    named,
    pods_of,
    read,
    written,
)
from landbridge.translate.networks import texts
from landbridge.translate.policies import MADE, WAYPOINT

SPACES: Mapping[str, dict[str, str]] = {
    "shop": {"kubernetes.io/metadata.name": "shop", "team": "a"},
    "stock": {"kubernetes.io/metadata.name": "stock", "team": "a"},
    "jobs": {"kubernetes.io/metadata.name": "jobs", "team": "b"},
}
NODES = ("10.9.0.1", "10.9.0.2")
STRANGERS = ("10.0.0.77", "10.0.3.9", "192.0.2.1", "10.9.0.1", "10.9.0.2", "fd00::7", "fd00:1::7")
PORT = 8080


class Someone(NamedTuple):
    space: str
    labels: dict[str, str]
    addresses: tuple[str, ...]
    node: str
    named: dict[str, int]
    phase: str = "Running"

    def manifest(self, number: int) -> Manifest:
        ports = [{"name": name, "containerPort": port} for name, port in self.named.items()]
        return {
            "kind": "Pod",
            "metadata": {"name": f"p{number}", "namespace": self.space, "labels": self.labels, "resourceVersion": "1"},
            "spec": {"containers": [{"name": "main", "ports": ports}], "hostNetwork": False},
            "status": {"phase": self.phase, "podIPs": [{"ip": one} for one in self.addresses], "hostIP": self.node},
        }


def selected(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    said = [labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or ():
        has, values = rule["key"] in labels, rule.get("values") or []
        inside = has and labels[rule["key"]] in values
        said.append({"In": inside, "NotIn": not inside, "Exists": has, "DoesNotExist": not has}[rule["operator"]])
    return all(said)


def is_peer(peer: Mapping[str, Any], space: str, address: str, everyone: Sequence[Someone]) -> bool:
    if "ipBlock" in peer:
        where, block = ip_address(address), peer["ipBlock"]
        return where in ip_network(block["cidr"]) and not any(where in ip_network(e) for e in block.get("except") or ())
    for one in everyone:
        if address not in one.addresses or one.phase in {"Succeeded", "Failed"}:
            continue
        spaces = peer.get("namespaceSelector")
        here = one.space == space if spaces is None else selected(spaces, SPACES[one.space])
        if here and ("podSelector" not in peer or selected(peer["podSelector"], one.labels)):
            return True
    return False


def about(entry: Mapping[str, Any], called: Someone, port: int) -> bool:
    if entry.get("protocol", "TCP") != "TCP":
        return False
    match entry.get("port"):
        case None:
            return True
        case str(name):
            return called.named.get(name) == port
        case first:
            return bool(first <= port <= entry.get("endPort", first))


def may_call(made: Sequence[Manifest], everyone: Sequence[Someone], address: str, called: Someone, port: int) -> bool:
    """NetworkPolicy as the API's documentation says it, for one address and one pod."""
    if address in {one.node for one in everyone if one.space == called.space and one.phase == "Running"}:
        return True
    limiting = [
        item
        for item in made
        if "Ingress" in item["spec"].get("policyTypes", ["Ingress"])
        and selected(item["spec"]["podSelector"], called.labels)
    ]
    if not limiting:
        return True
    for item in limiting:
        for rule in item["spec"].get("ingress", []):
            open_port = not rule.get("ports") or any(about(entry, called, port) for entry in rule["ports"])
            peers = rule.get("from")
            if open_port and (not peers or any(is_peer(p, called.space, address, everyone) for p in peers)):
                return True
    return False


def lets_in(rule: Mapping[str, Any], address: str) -> bool:
    """What Envoy does with a rule: a chain for the caller, or none."""
    if "matcher_list" not in rule:
        return bool(rule["on_no_match"]["action"]["typed_config"]["value"] != "nobody")
    (matcher,) = rule["matcher_list"]["matchers"]
    ranges = matcher["predicate"]["single_predicate"]["custom_match"]["typed_config"]["cidr_ranges"]
    networks = [ip_network(f"{one['address_prefix']}/{one['prefix_len']}") for one in ranges]
    return any(ip_address(address) in network for network in networks)


APPS = st.sampled_from(["web", "cart", "job"])
LABELS = st.fixed_dictionaries({"app": APPS}, optional={"tier": st.sampled_from(["front", "back"])})
POD_SELECTORS = st.one_of(
    st.just({}),
    APPS.map(lambda name: {"matchLabels": {"app": name}}),
    st.sampled_from(
        [
            {"matchExpressions": [{"key": "tier", "operator": "Exists"}]},
            {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["front"]}]},
            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["job", "cart"]}]},
            {"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]},
        ]
    ),
)
SPACE_SELECTORS = st.sampled_from(
    [{}, {"matchLabels": {"team": "a"}}, {"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a"]}]}]
)
BLOCKS = st.sampled_from(
    [
        {"cidr": "10.0.0.0/22"},
        {"cidr": "10.0.0.0/22", "except": ["10.0.0.0/26", "10.0.0.64/30"]},
        {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]},
        {"cidr": "10.0.0.4/32"},
        {"cidr": "fd00::/16", "except": ["fd00::/64"]},
        {"cidr": "10.0.0.0/24", "except": ["10.0.0.0/24"]},
    ]
)
PEERS = st.one_of(
    st.fixed_dictionaries({"podSelector": POD_SELECTORS}),
    st.fixed_dictionaries({"namespaceSelector": SPACE_SELECTORS}, optional={"podSelector": POD_SELECTORS}),
    BLOCKS.map(lambda block: {"ipBlock": block}),
)
PORTS = st.sampled_from(
    [
        {"port": PORT},
        {"port": "http"},
        {"port": "metrics"},
        {"port": 8000, "endPort": 9000},
        {"port": 8081, "endPort": 9000},
        {"protocol": "UDP", "port": PORT},
        {"protocol": "TCP"},
    ]
)
RULES = st.fixed_dictionaries({}, optional={"from": st.lists(PEERS, max_size=2), "ports": st.lists(PORTS, max_size=2)})


@st.composite
def some_policies(draw: st.DrawFn) -> list[Manifest]:
    made = []
    for number in range(draw(st.integers(0, 3))):
        spec = {"podSelector": draw(POD_SELECTORS)}
        spec |= draw(
            st.fixed_dictionaries(
                {}, optional={"policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Egress", "Ingress"]])}
            )
        )
        spec |= draw(st.fixed_dictionaries({}, optional={"ingress": st.lists(RULES, max_size=2)}))
        made.append({"kind": "NetworkPolicy", "metadata": {"name": f"n{number}", "namespace": "shop"}, "spec": spec})
    return made


@st.composite
def some_pods(draw: st.DrawFn) -> list[Someone]:
    return [
        Someone(
            space=draw(st.sampled_from(sorted(SPACES))),
            labels=draw(LABELS),
            addresses=(f"10.0.{number % 2}.{number + 1}", f"fd00::{number + 1}"),
            node=draw(st.sampled_from(NODES)),
            named=draw(st.sampled_from([{}, {"http": PORT}, {"http": 9090, "metrics": PORT}])),
            phase=draw(st.sampled_from(["Running", "Running", "Running", "Succeeded"])),
        )
        for number in range(draw(st.integers(1, 7)))
    ]


def around(made: Sequence[Manifest], everyone: Sequence[Someone]) -> Around:
    """As the agent sees it: only what rules name is watched, and pods are cut down."""
    limiting = isolating(made)
    spaces = named(limiting, "shop", SPACES)
    found = {
        space: pods_of(kept(one.manifest(number)) for number, one in enumerate(everyone) if one.space == space)
        for space in spaces
    }
    return Around(namespace="shop", policies=limiting, namespaces=SPACES, pods=found)


def seen(one: Someone) -> Called:
    return called_of(one.labels, one.manifest(0)["spec"])


DENY = {"kind": "NetworkPolicy", "metadata": {"name": "deny", "namespace": "shop"}, "spec": {"podSelector": {}}}


@settings(max_examples=600, deadline=None)
@given(some_policies(), some_pods(), st.lists(LABELS, min_size=1, max_size=3))
@example([DENY], [], [{"app": "web"}])
def test_an_address_is_let_in_exactly_when_the_policies_allow_it(
    made: list[Manifest], everyone: list[Someone], labels: list[dict[str, str]]
) -> None:
    """waypoint.md 4, for all of a Service's pods: who may call each of them."""
    behind = [Someone("shop", mine, (f"10.1.0.{n}",), NODES[0], {"http": PORT}) for n, mine in enumerate(labels)]
    everyone = [*everyone, *behind]
    known = around(made, everyone)
    for port in (PORT, "http"):
        rule = chosen(texts(callers(known, [seen(one) for one in behind], port)), http=False)
        for address in {*STRANGERS, *(one for someone in everyone for one in someone.addresses)}:
            wanted = all(may_call(made, everyone, address, one, PORT) for one in behind)
            assert lets_in(rule, address) == wanted, (address, port)


@settings(max_examples=200, deadline=None)
@given(some_policies(), some_pods(), st.lists(st.tuples(LABELS, st.sampled_from([PORT, 9090])), min_size=2, max_size=3))
def test_pods_that_are_not_called_apart_have_the_same_callers(
    made: list[Manifest], everyone: list[Someone], told: list[tuple[dict[str, str], int]]
) -> None:
    behind = [Someone("shop", mine, (f"10.1.0.{n}",), NODES[0], {"http": port}) for n, (mine, port) in enumerate(told)]
    everyone = [*everyone, *behind]
    if not differ(made, [seen(one) for one in behind], "http"):
        for address in {*STRANGERS, *(one for someone in everyone for one in someone.addresses)}:
            assert len({may_call(made, everyone, address, one, one.named["http"]) for one in behind}) == 1


def test_a_named_port_that_is_another_number_in_each_pod_is_told() -> None:
    by_number = policy(ingress=[{"from": [{"podSelector": {}}], "ports": [{"port": 8080}]}])
    by_name = policy(ingress=[{"from": [{"podSelector": {}}], "ports": [{"port": "http"}]}])
    pods = [Called(labels={"app": "web"}, ports={"http": 8080}), Called(labels={"app": "web"}, ports={"http": 9090})]
    assert differ([by_number], pods, "http")
    assert not differ([by_name], pods, "http")
    assert not differ([by_number], pods[:1], "http")


def policy(**spec: Any) -> Manifest:
    meta = {"name": "web", "namespace": "shop"}
    return {"kind": "NetworkPolicy", "metadata": meta, "spec": {"podSelector": {"matchLabels": {"app": "web"}}, **spec}}


def test_what_was_made_for_waypoints_says_nothing_about_callers_and_waypoints_are_none() -> None:
    made = policy(ingress=[])
    made["metadata"]["labels"] = {MADE: "waypoint"}
    assert isolating([made]) == ()
    front = Someone("shop", dict(WAYPOINT), ("10.0.0.1",), NODES[0], {}).manifest(0)
    (pod,) = pods_of([front])
    assert (pod.addresses, pod.node) == ((), (NODES[0],))


def test_a_block_that_cannot_be_read_lets_nobody_in() -> None:
    odd = policy(ingress=[{"from": [{"ipBlock": {"cidr": "everywhere"}}]}])
    assert callers(Around(namespace="shop", policies=(odd,)), [Called(labels={"app": "web"})], 80) == frozenset()


@pytest.mark.parametrize("text", ["", "[", "{}", '[{"labels": 1}]', '[{"ports": {}}]', "[1]"])
def test_an_annotation_that_says_nothing_names_no_pods(text: str) -> None:
    assert read(text) == ()


def test_pods_are_written_and_read_again() -> None:
    pods = (Called(labels={"app": "web"}, ports={"http": 8080}), Called(labels={"app": "web", "track": "b"}))
    assert read(written(entries(pods))) == pods
    assert written(()) == ""
