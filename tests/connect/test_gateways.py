"""The row of a linked gateway, from what the agents of the other cluster say."""

from __future__ import annotations

from typing import Any

from landbridge.connect.gateways import LinkedGateway, read

LATENCY = {"p50": 2.0, "p95": 8.0, "p99": 9.5}


def row(*states: Any, services: int = 3) -> LinkedGateway:
    return read(list(states), cluster="eks", seen_from="legacy", services=services, addresses=("10.0.0.1:15443",))


def leader(**link: Any) -> dict[str, Any]:
    return {"leading": True, "duties": {"links": {"eks": link} if link else {}}}


def test_the_leader_knows() -> None:
    found = row({"leading": False}, leader(alive=True, ready=2, latency_ms=LATENCY))
    assert (found.alive, found.services, found.ready, found.latency_ms) == (True, 3, 2, LATENCY)
    assert found.problem == ""


def test_a_gateway_that_fell_silent_is_not_alive() -> None:
    found = row(leader(alive=False, ready=0, latency_ms=LATENCY))
    assert not found.alive
    assert found.problem == "it does not answer"


def test_what_is_not_known_is_said() -> None:
    assert row("gateway-1: refused").problem == "no gateway agent leads here: gateway-1: refused"
    assert row().problem == "no gateway agent leads here"
    assert row(leader()).problem == "the leading agent says nothing about it"
    assert row(leader(alive=False, probed=2), services=0).problem == "it does not answer"


def test_a_gateway_that_nobody_asks_yet_is_no_fault() -> None:
    found = row(leader(alive=False, probed=0), services=0)
    assert (found.alive, found.unused, found.problem) == (False, True, "")
    assert not row(leader(), services=0).unused
