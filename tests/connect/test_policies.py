"""Adoption where the plan counts on waypoints that keep NetworkPolicies, at a real API server."""

from __future__ import annotations

import secrets

import pytest

from landbridge.clients.kinds import SERVICE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import SystemClock
from landbridge.connect import names
from landbridge.connect.adopt import adopt, create_adopted
from landbridge.errors import BlockedError
from landbridge.lab import ApiServer
from landbridge.model.service import Manifest, ServiceId


def shop(space: str) -> Manifest:
    meta = {"name": "web", "namespace": space}
    spec = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


async def test_a_waypoint_that_was_not_told_takes_nothing_on(api: ApiServer) -> None:
    """migration.yaml was changed and `connect` was not run again: everybody would be let in."""
    space = f"shop-{secrets.token_hex(3)}"
    async with Kubernetes.connect(api.kubeconfig, name=api.name) as k8s:
        await k8s.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
        for name, told in (("new", ["--policies", "enforce"]), ("old", [])):
            container = {"name": "agent", "image": "x", "command": ["python3", *told]}
            meta = {"name": name, "namespace": space, "labels": {names.ROLE: "waypoint"}}
            await k8s.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}})
        target = create_adopted(k8s, shop(space), other="eks", clock=SystemClock(), enforce=True)
        with pytest.raises(BlockedError, match=f"waypoint {space}/old does not keep NetworkPolicies"):
            await target
        assert await k8s.list(SERVICE, space) == []
        await k8s.create(shop(space))
        with pytest.raises(BlockedError, match=f"waypoint {space}/old") as refused:
            await adopt(k8s, ServiceId(space, "web"), other="eks", clock=SystemClock(), enforce=True)
        assert "landbridge connect" in refused.value.advice
        assert [item["metadata"]["name"] for item in await k8s.list(SERVICE, space)] == ["web"]
