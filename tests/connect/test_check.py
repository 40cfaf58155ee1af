"""Checks of the connection that are made of what agents say."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from landbridge.clients.kubeconfig import Context
from landbridge.clients.kubernetes import Kubernetes
from landbridge.connect.check import CHECKS, crowded
from landbridge.connect.linked import Look, expiry, in_circles, unanswered


def look(*states: dict[str, Any] | str) -> Look:
    nobody = Kubernetes(Context(name="none", cluster={"server": "http://127.0.0.1:1"}, user={}), name="legacy")
    agents = {f"shop/waypoint-{number}": state for number, state in enumerate(states)}
    return Look(nobody, nobody, ("shop",), agents, dict.fromkeys(agents, ("n1", "waypoint")))


async def problem(title: str, *states: dict[str, Any] | str) -> str:
    (judge,) = (judge for name, _, _, judge in CHECKS if name == title)
    return await judge(look(*states))


def split(leaf: int) -> dict[str, Any]:
    return {"splits": {"shop/web": {"weights": {"*": {"web-leaf": leaf, "web-eks": 100 - leaf}}}}}


async def test_waypoints_that_obey_different_weights_are_a_failed_check() -> None:
    """waypoint.md 13.10: an agent cut off for 40 s stayed on the old weight while its twin obeyed."""
    title = "waypoints agree about weights"
    assert await problem(title, split(50), split(50)) == ""
    assert await problem(title, split(50), split(75)) == "different weights for shop/web"


async def test_an_old_watch_is_told() -> None:
    """waypoint.md 13.10: the age of the watch is published."""
    title = "every agent hears the API server"
    assert await problem(title, {"watch_age": 3.0}) == ""
    assert "waypoint-0 41 s" in await problem(title, {"watch_age": 41.0})


async def test_a_circuit_breaker_that_said_no_is_an_alarm() -> None:
    """waypoint.md 9: alarm on `*_overflow`."""
    title = "no circuit breaker says no"
    assert await problem(title, {"overflows": {}}, "silent") == ""
    assert "upstream_rq_pending_overflow" in await problem(title, {"overflows": {"c.upstream_rq_pending_overflow": 3}})


async def test_what_a_waypoint_cannot_reach_is_told() -> None:
    """waypoint.md 4: the leaf is probed from the waypoint's pod."""
    said = await problem(
        "every Envoy obeys what its agent wrote", {"problems": ["pods of shop/web/80 cannot be reached"]}
    )
    assert "cannot be reached" in said


@pytest.mark.parametrize(
    ("waypoints", "limit", "full"),
    [(1, 128, False), (16, 128, False), (17, 128, True), (17, 8192, False), (17, 0, False), (4, 32, True)],
)
def test_a_node_with_too_many_envoys_for_its_limit_is_named(waypoints: int, limit: int, *, full: bool) -> None:
    """waypoint.md 13.1: 126 instances ran, 130 crashed. Our Envoys share a uid, and a pod's successor comes first."""
    places = {f"shop{number}/waypoint": ("n1", "waypoint") for number in range(waypoints)} | {"x/y": ("n2", "gateway")}
    said = crowded(places, dict.fromkeys(places, limit))
    assert said == (f"n1: {7 * waypoints} of {limit} inotify instances" if full else "")


def test_this_machine_says_its_limit() -> None:
    from landbridge.agent.server import inotify_limit

    assert inotify_limit() == int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    assert inotify_limit(Path("/nowhere")) == 0


def leads(**duties: Any) -> dict[str, Any]:
    return {"leading": True, "duties": duties}


async def test_a_gateway_that_does_not_let_agents_in_says_why() -> None:
    """linkerd2#11668: what counts is the handshake with the live authority, not what was once configured."""
    title = "the other gateway lets our agents in, and is who it should be"
    why = "10.0.0.1:15443: certificate verify failed"
    assert await problem(title, leads(links={"legacy": {"probed": 3, "alive": True}})) == ""
    assert why in await problem(title, leads(links={"legacy": {"probed": 3, "alive": False, "problem": why}}))
    assert await problem(title, leads(links={"legacy": {"probed": 0, "alive": False}})) == "", "nothing is asked"


async def test_an_api_server_that_is_not_followed_and_services_without_mirror_are_told() -> None:
    """linkerd.md A13: a revoked token is shown."""
    title = "the other API server is followed"
    assert await problem(title, leads(remotes={"legacy": "followed"})) == ""
    assert "credentials" in await problem(title, leads(remotes={"legacy": "does not know our credentials"}))
    title = "every exported Service is mirrored"
    assert await problem(title, leads(skipped={"shop/web-eks": "a Service of that name is not ours"}))
    assert await problem(title, leads(skipped={})) == ""
    assert await problem("names of the other gateway resolve", leads(names={"gw": "gw cannot be resolved"}))


def test_when_a_token_ends() -> None:
    body = base64.urlsafe_b64encode(b'{"exp": 1800000000}').decode().rstrip("=")
    assert expiry(f"e30.{body}.x") == 1_800_000_000.0
    assert expiry("e30.e30.x") is None
    assert expiry("opaque") is None


def backends(service: str, **weights: int) -> dict[str, Any]:
    found = [{"service": name.replace("_", "-"), "weight": weight} for name, weight in weights.items()]
    return {"metadata": {"namespace": "shop"}, "spec": {"service": service, "backends": found}}


def test_splits_that_send_to_each_other_are_named_unless_a_leaf_ends_it() -> None:
    """linkerd2#6569: 50/50 on both sides gave random 508; with a leaf any weights may stand on both sides."""
    here, there = [backends("web", web=50, web_eks=50)], [backends("web", web=50, web_legacy=50)]
    ends = ("legacy", "eks")
    assert in_circles(here, there, ends, ()) == ["shop/web"]
    assert in_circles(here, there, ends, {("shop", "web")}) == []
    assert in_circles(here, [backends("web", web=100, web_legacy=0)], ends, ()) == []


def test_mirrors_without_anybody_are_named() -> None:
    mirror = {"metadata": {"namespace": "shop", "name": "web-eks"}}
    labels = {"kubernetes.io/service-name": "web-eks"}
    item = {"metadata": {"namespace": "shop", "labels": labels}, "endpoints": [{"conditions": {"ready": False}}]}
    assert unanswered([mirror], [item]) == ["shop/web-eks"]
    item["endpoints"] = [{"conditions": {"ready": True}}]
    assert unanswered([mirror], [item]) == []
