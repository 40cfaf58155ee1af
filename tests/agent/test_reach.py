"""A waypoint serves a Service that is being adopted only when it gets through to its pods."""

from __future__ import annotations

from dataclasses import replace

import pytest

from landbridge.agent.reach import Reach, active, reached
from landbridge.envoy.state import Backend, Endpoint, Listener, Remote, Waypoint
from landbridge.model.service import Protocol
from tests.agent.bed import http_backend

NOWHERE = Endpoint(address="255.255.255.255", port=80)
"""To which nobody can connect."""
CLOSED = Endpoint(address="127.0.0.1", port=1)


def state(*local: Endpoint, gateway: Endpoint = CLOSED) -> Waypoint:
    over = Remote(sni="p80.web.shop.eks", gateways=(gateway,), identity="spiffe://eks/ns/landbridge/sa/x")
    sides = (Backend(service="web-leaf", weight=100, local=local), Backend(service="web-eks", weight=0, remote=over))
    item = Listener(namespace="shop", service="web", port=80, listen=20000, protocol=Protocol.HTTP, backends=sides)
    return Waypoint(cluster="legacy", namespace="shop", listeners=(item,))


async def test_one_pod_that_answers_is_enough() -> None:
    """waypoint.md 4: probe the leaf from a waypoint pod before any traffic."""
    async with http_backend("127.78.9.1", 18080, "web"):
        assert await reached([NOWHERE, Endpoint(address="127.78.9.1", port=18080)]) == ""
    assert "255.255.255.255:80" in await reached([NOWHERE])


async def test_a_port_that_nobody_listens_on_was_reached_and_so_was_nobody_at_all() -> None:
    assert await reached([CLOSED]) == ""
    assert await reached([]) == ""


async def test_a_service_is_served_when_its_pods_were_reached() -> None:
    reach, adopting = Reach(), {"web"}
    assert active(state(CLOSED), reach, adopting) == {}, "not looked yet"
    assert await reach.look(state(NOWHERE), adopting)
    assert active(state(NOWHERE), reach, adopting) == {}
    assert "pods of shop/web/80 cannot be reached" in reach.problems[0]
    assert await reach.look(state(CLOSED), adopting)
    assert active(state(CLOSED), reach, adopting) == {"shop/web/80": 20000}
    assert not reach.problems
    assert not await reach.look(state(CLOSED), adopting), "nothing new"
    await reach.look(state(NOWHERE), set())
    assert active(state(NOWHERE), reach, adopting) == {}, "the next adoption asks anew"


async def test_what_is_adopted_is_served_whatever_became_of_its_pods() -> None:
    reach = Reach()
    assert active(state(NOWHERE), reach, set()) == {"shop/web/80": 20000}
    assert active(None, reach, set()) == {}


async def test_a_gateway_out_of_reach_is_told_and_holds_nothing_up() -> None:
    reach, adopting = Reach(), {"web"}
    await reach.look(state(CLOSED, gateway=NOWHERE), adopting)
    assert active(state(CLOSED), reach, adopting)
    assert "the gateway cannot be reached" in reach.problems[0]


@pytest.mark.parametrize("name", ["web", "cart"])
async def test_only_what_is_being_adopted_is_asked(name: str) -> None:
    reach = Reach()
    made = state(NOWHERE)
    other = replace(made, listeners=(replace(made.listeners[0], service=name),))
    await reach.look(other, {"cart"})
    assert bool(reach.problems) is (name == "cart")
