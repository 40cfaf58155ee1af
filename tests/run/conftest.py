from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from landbridge.clients.kinds import DEPLOYMENT, ENDPOINTSLICE, NAMESPACE
from landbridge.clients.kubernetes import Kubernetes
from landbridge.connect.crds import provide
from landbridge.lab import ApiServer
from landbridge.model.service import ServiceId


@dataclass(frozen=True)
class Pair:
    """Two API servers with a namespace of the test's own in each."""

    source: Kubernetes
    target: Kubernetes
    namespace: str
    kubeconfigs: tuple[str, str]

    async def service(self, name: str, replicas: int = 2) -> ServiceId:
        """A service as adoption leaves it: apex, leaf, mirror that is ready, a Deployment that is ready."""
        for k8s, other in ((self.source, "eks"), (self.target, "legacy")):
            await k8s.create(self.manifest("Service", name, {"ports": [{"port": 80}]}))
            leaf = {"ports": [{"port": 80}], "selector": {"app": name}}
            await k8s.create(self.manifest("Service", f"{name}-leaf", leaf))
            await k8s.create(self.slice(f"{name}-{other}"))
            await k8s.create(self.deployment(name, replicas))
            await self.ready(k8s, name, replicas)
        return ServiceId(self.namespace, name)

    def manifest(self, kind: str, name: str, spec: dict[str, Any], version: str = "v1") -> dict[str, Any]:
        meta = {"name": name, "namespace": self.namespace}
        return {"apiVersion": version, "kind": kind, "metadata": meta, "spec": spec}

    def slice(self, service: str) -> dict[str, Any]:
        labels = {"kubernetes.io/service-name": service}
        return {
            "apiVersion": ENDPOINTSLICE.api_version,
            "kind": ENDPOINTSLICE.kind,
            "metadata": {"name": f"{service}-landbridge-ipv4", "namespace": self.namespace, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": True}}],
            "ports": [{"port": 20000}],
        }

    def deployment(self, name: str, replicas: int, image: str = "shop:1") -> dict[str, Any]:
        pod = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": image}]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod}
        return self.manifest("Deployment", name, spec, "apps/v1")

    async def ready(self, k8s: Kubernetes, name: str, replicas: int) -> None:
        """What the controllers would say, which are not there."""
        found = await k8s.get(DEPLOYMENT, name, self.namespace)
        status = {
            "replicas": replicas,
            "readyReplicas": replicas,
            "observedGeneration": found["metadata"]["generation"],
        }
        await k8s.patch(DEPLOYMENT, name, {"status": status}, self.namespace, subresource="status")

    async def weights(self, name: str) -> tuple[int, int]:
        """The target's percent in both clusters' splits."""
        from landbridge.clients.kinds import TRAFFICSPLIT

        found = []
        for k8s, backend in ((self.source, f"{name}-eks"), (self.target, f"{name}-leaf")):
            split = await k8s.get(TRAFFICSPLIT, name, self.namespace)
            found.append({b["service"]: b["weight"] for b in split["spec"]["backends"]}[backend])
        return found[0], found[1]


@pytest.fixture
async def pair(api_pair: tuple[ApiServer, ApiServer]) -> AsyncIterator[Pair]:
    legacy, eks = api_pair
    namespace = f"shop-{uuid.uuid4().hex[:8]}"
    async with (
        Kubernetes.connect(Path(legacy.kubeconfig), name="legacy") as source,
        Kubernetes.connect(Path(eks.kubeconfig), name="eks") as target,
    ):
        for k8s in (source, target):
            await provide(k8s)
            for name in ("landbridge", namespace):
                if await k8s.find(NAMESPACE, name) is None:
                    await k8s.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield Pair(source, target, namespace, (str(legacy.kubeconfig), str(eks.kubeconfig)))
