from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.agent import names, ports
from landbridge.model.service import Manifest, Protocol
from tests.agent.objects import leaf, mirror, service


def record(have: ports.Allocations) -> Manifest:
    return {"data": {key: ports.text(item) for key, item in have.items()}}


def test_every_port_of_a_service_gets_its_own_waypoint_port() -> None:
    """waypoint.md 3: all ports or none, one waypoint port per (Service, port), never per targetPort."""
    both = [
        {"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"},
        {"name": "tcp-admin", "port": 81, "protocol": "TCP", "targetPort": "web"},
        {"name": "dns", "port": 53, "protocol": "UDP", "targetPort": 53},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP", "targetPort": 53},
    ]
    have = ports.plan([leaf("web", ports=both)], {}, 0)
    assert {key: item.protocol for key, item in have.items()} == {
        "web.80.tcp": Protocol.HTTP,
        "web.81.tcp": Protocol.TCP,
        "web.53.udp": Protocol.UDP,
        "web.53.tcp": Protocol.TCP,
    }
    assert sorted(item.listen for item in have.values()) == [20000, 20001, 20002, 20003]


def test_a_port_is_split_as_people_have_stated() -> None:
    """waypoint.md 9: HTTP only where it is declared, by the Service or in migration.yaml."""
    both = [{"name": "api", "port": 80}, {"name": "http-old", "port": 81}, {"name": "odd", "port": 82}]
    said = leaf("web", ports=both)
    said["metadata"]["annotations"][names.PROTOCOLS] = '{"80": "grpc", "http-old": "tcp"}'
    have = ports.plan([said], {}, 0)
    assert [have[f"web.{port}.tcp"].protocol for port in (80, 81, 82)] == [Protocol.GRPC, Protocol.TCP, Protocol.TCP]


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"80": "quic"}', '{"80": "udp"}'])
def test_what_cannot_be_read_was_not_stated(text: str) -> None:
    said = leaf("web")
    said["metadata"]["annotations"][names.PROTOCOLS] = text
    assert ports.plan([said], {}, 0) == ports.plan([leaf("web")], {}, 0)


def test_what_is_recorded_is_read_back() -> None:
    have = ports.plan([leaf("web", sessionAffinity="ClientIP"), mirror("web")], {}, 0)
    assert ports.read(record(have)) == have
    assert have["web.80.tcp"].affinity
    assert ports.read({"data": {"web.80.tcp": "not json", "x": "{}"}}) == {}
    assert ports.read(None) == {}


def test_listeners_are_immutable_after_adoption() -> None:
    """waypoint.md 9: an owner who renames a port must not change the listener."""
    have = ports.plan([leaf("web")], {}, 0)
    renamed = leaf("web", ports=[{"name": "tcp-web", "port": 80}])
    assert ports.plan([renamed], have, 1) == have


def test_a_port_is_not_reused_until_it_is_drained() -> None:
    have = ports.plan([leaf("web")], {}, 0)
    later = ports.plan([leaf("cart")], have, 100)
    assert later["web.80.tcp"].draining == 100
    assert later["cart.80.tcp"].listen == 20001
    settled = 100 + ports.SETTLE_SECONDS
    assert ports.drained(later, {20000: 3}, settled) == set()
    assert ports.drained(later, {20000: None}, settled) == set(), "a pod that cannot tell may hold connections"
    assert ports.drained(later, {}, settled) == set()
    assert ports.drained(later, {20000: 0}, settled - 1) == set(), "somebody's kube-proxy may still send there"
    assert ports.drained(later, {20000: 0}, settled) == {"web.80.tcp"}
    assert ports.drained(later, {20000: 3}, 101 + ports.DRAIN_SECONDS) == {"web.80.tcp"}


def test_a_service_that_comes_back_while_it_drains_keeps_its_port() -> None:
    have = ports.plan([leaf("web")], {}, 0)
    drained = ports.plan([], have, 100)
    assert ports.plan([leaf("web")], drained, 101) == have
    assert ports.plan([], drained, 200)["web.80.tcp"].draining == 100, "the drain began once"


def test_the_annotation_says_what_connect_reads() -> None:
    have = ports.plan([leaf("web"), leaf("cart")], {}, 0)
    assert json.loads(ports.notes(have)["cart"]) == {"80/TCP": 20000}
    assert json.loads(ports.notes(have)["web"]) == {"80/TCP": 20001}


def test_a_record_that_is_lost_or_spoilt_closes_no_listener() -> None:
    have = ports.plan([leaf("web"), leaf("cart")], {}, 0)
    assert ports.hold(None, have) == have
    spoilt = record(have)
    spoilt["data"]["web.80.tcp"] = "x"
    assert ports.hold(spoilt, have) == have
    del spoilt["data"]["web.80.tcp"]
    assert set(ports.hold(spoilt, have)) == {"cart.80.tcp"}, "what was taken out is given up"


def test_a_lost_record_is_recalled_from_the_leaves() -> None:
    before = ports.plan([leaf("web"), leaf("cart"), leaf("api")], {}, 0)
    left = [leaf("web"), leaf("cart"), mirror("web")]
    for item in left[:2]:
        service_name = item["metadata"]["name"].removesuffix("-leaf")
        item["metadata"]["annotations"][names.PORTS] = ports.notes(before).get(service_name, "{}")
    after = ports.plan(left, ports.recall(left), 1)
    assert after["web.80.tcp"] == before["web.80.tcp"]
    assert after["cart.80.tcp"] == before["cart.80.tcp"]
    left[0]["metadata"]["annotations"][names.PORTS] = "[]"
    assert set(ports.recall(left)) == {"cart.80.tcp"}


names_of = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), unique=True)


@given(st.lists(names_of, max_size=8))
def test_ports_are_never_shared_and_never_move(history: list[list[str]]) -> None:
    have: dict[str, ports.Allocation] = {}
    for step, present in enumerate(history):
        after = ports.plan([leaf(name) for name in present], have, step + 1)
        numbers = [item.listen for item in after.values()]
        assert len(set(numbers)) == len(numbers)
        assert all(after[key].listen == item.listen for key, item in have.items())
        assert {key for key, item in after.items() if not item.draining} == {f"{name}.80.tcp" for name in present}
        assert ports.read(record(after)) == after
        have = after


def test_a_service_without_ports_needs_none() -> None:
    assert ports.plan([service("headless", ports=[])], {}, 0) == {}
