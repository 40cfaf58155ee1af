"""Names that are too long, and where gateways are: host names, several addresses, node ports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from landbridge.agent.links import addresses_of, by_address, gateway_endpoint
from landbridge.agent.resolver import EVERY, Resolver
from landbridge.clock import SystemClock
from landbridge.connect.link import addresses
from landbridge.connect.manifests import gateway
from landbridge.connect.options import Options
from landbridge.envoy.state import Backend, Listener, Remote, Waypoint
from landbridge.model.mirror import LONGEST, is_shortened, mirror_name
from landbridge.model.service import Protocol, ServiceId, Side
from landbridge.observe.samples import backend_names
from tests.fakes import FakeClock

labels = st.from_regex(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True).filter(lambda name: len(name) <= LONGEST)


@given(labels, labels, labels)
def test_a11_every_mirror_has_a_name_that_a_service_may_have(one: str, two: str, cluster: str) -> None:
    name = mirror_name(one, cluster)
    assert len(name) <= LONGEST
    assert name[0].isalpha()
    assert name[-1].isalnum()
    assert (name == f"{one}-{cluster}") is not is_shortened(one, cluster)
    assert name == mirror_name(one, cluster)
    assert (mirror_name(two, cluster) == name) is (one == two)


def test_a11_routers_and_metrics_use_the_same_short_name() -> None:
    service = ServiceId("shop", "a" * 60)
    found = backend_names([service], Side.SOURCE, {Side.SOURCE: "legacy", Side.TARGET: "eks"})
    assert found["shop", mirror_name("a" * 60, "eks")] == (service, Side.TARGET)
    assert mirror_name("a" * 60, "eks") == "a" * 50 + "-1c1c6462-eks"


class Dns:
    """What DNS says at the moment; None: it does not answer."""

    def __init__(self, *found: str) -> None:
        self.found: Sequence[str] | None = found

    async def __call__(self, host: str) -> Sequence[str]:
        if self.found is None:
            raise OSError("temporary failure in name resolution")
        return self.found


def resolver(dns: Dns, told: list[str] | None = None) -> Resolver:
    return Resolver(FakeClock(), lambda: (told if told is not None else []).append("changed"), dns)


async def test_a01_an_address_that_changes_is_followed_without_a_restart() -> None:
    dns, told = Dns("10.0.0.1"), list[str]()
    found = resolver(dns, told)
    assert found("gw.example") == ()
    await found.refresh()
    assert found("gw.example") == ("10.0.0.1",)
    dns.found = ("10.0.0.2",)
    await found.refresh()
    assert found("gw.example") == ("10.0.0.2",)
    await found.refresh()
    assert told == ["changed", "changed"], "nothing is told that did not change"
    assert EVERY <= 30


async def test_a02_a_name_with_three_addresses_gives_three() -> None:
    found = resolver(Dns("10.0.0.3", "10.0.0.1", "10.0.0.2"))
    gateways = [gateway_endpoint("gw.example:15443"), gateway_endpoint("192.0.2.7:30443")]
    assert [item.address for item in addresses_of(gateways, found)] == ["gw.example", "192.0.2.7"]
    await found.refresh()
    assert [(item.address, item.port) for item in addresses_of(gateways, found)] == [
        ("10.0.0.1", 15443),
        ("10.0.0.2", 15443),
        ("10.0.0.3", 15443),
        ("192.0.2.7", 30443),
    ]


async def test_a02_envoy_gets_every_address() -> None:
    found = resolver(Dns("10.0.0.1", "10.0.0.2"))
    found("gw.example")
    await found.refresh()
    over = Remote(sni="p80.web.shop.eks", gateways=(gateway_endpoint("gw.example"),), identity="spiffe://x/y")
    here = Backend(service="web-leaf", weight=1, local=())
    listener = Listener(
        namespace="shop",
        service="web",
        port=80,
        listen=20000,
        protocol=Protocol.HTTP,
        backends=(here, Backend(service="web-eks", weight=1, remote=over)),
    )
    state = by_address(Waypoint(cluster="legacy", namespace="shop", listeners=(listener,)), found)
    remote = state.listeners[0].backends[1].remote
    assert remote is not None
    assert [item.address for item in remote.gateways] == ["10.0.0.1", "10.0.0.2"]
    assert state.listeners[0].backends[0] is here


@pytest.mark.parametrize("answer", [None, ()])
async def test_a07_a_dns_failure_keeps_the_last_addresses_and_recovers_by_itself(answer: Any) -> None:
    dns = Dns("10.0.0.1")
    found = resolver(dns)
    found("gw.example")
    await found.refresh()
    dns.found = answer
    await found.refresh()
    assert found("gw.example") == ("10.0.0.1",)
    assert "gw.example cannot be resolved" in found.problems["gw.example"]
    dns.found = ("10.0.0.9",)
    await found.refresh()
    assert found("gw.example") == ("10.0.0.9",)
    assert found.problems == {}


async def test_a07_a_name_that_was_never_resolved_is_left_to_envoy() -> None:
    found = resolver(Dns())
    found("gw.example")
    await found.refresh()
    assert [item.address for item in addresses_of([gateway_endpoint("gw.example")], found)] == ["gw.example"]


def node(*addresses: tuple[str, str], ready: str = "True") -> dict[str, Any]:
    told = [{"type": kind, "address": address} for kind, address in addresses]
    return {"metadata": {}, "status": {"conditions": [{"type": "Ready", "status": ready}], "addresses": told}}


def test_a18_a_node_port_is_dialled_by_its_own_number_and_not_the_services() -> None:
    service, *_ = gateway("eks", "legacy", Options(namespaces=("shop",), node_port=30443))
    assert service["spec"]["type"] == "NodePort"
    assert service["spec"]["ports"][0]["port"] == 15443
    nodes = [
        node(("InternalIP", "10.0.0.1"), ("ExternalIP", "203.0.113.1")),
        node(("InternalIP", "10.0.0.2")),
        node(("InternalIP", "10.0.0.3"), ready="False"),
    ]
    assert addresses(service, nodes) == ("10.0.0.2:30443", "203.0.113.1:30443")
    free, *_ = gateway("eks", "legacy", Options(namespaces=("shop",), node_port=0))
    assert addresses(free, nodes) == (), "the API server has not chosen one yet"


def test_a18_a_load_balancer_has_all_its_addresses() -> None:
    service, *_ = gateway("eks", "legacy", Options(namespaces=("shop",)))
    ingress = [{"ip": "10.0.0.2"}, {"hostname": "lb.example"}, {"ip": "10.0.0.1"}]
    service["status"] = {"loadBalancer": {"ingress": ingress}}
    assert addresses(service) == ("10.0.0.1:15443", "10.0.0.2:15443", "lb.example:15443")


def test_the_clock_of_the_agents_is_a_port() -> None:
    assert Resolver(SystemClock(), lambda: None)("10.0.0.1") == ("10.0.0.1",)
