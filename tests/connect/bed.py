"""The bed of the tests with pods: an echo service and open-loop callers in a namespace of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from landbridge.clients.kinds import DEPLOYMENT, NAMESPACE, POD, TRAFFICSPLIT
from landbridge.clients.kubernetes import Kubernetes
from landbridge.clock import Clock, SystemClock, wait_for
from landbridge.connect.connect import is_rolled_out
from landbridge.model.service import Manifest, ServiceId

PROGRAMS = Path(__file__).parent / "programs"
PRINT = sha256(b"".join(file.read_bytes() for file in sorted(PROGRAMS.glob("*.py")))).hexdigest()[:16]
LABELS = {"app": "echo"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bed:
    """Where the echo service lives; `image` has Python."""

    namespace: str
    image: str
    clock: Clock = field(default_factory=SystemClock)

    @property
    def echo(self) -> ServiceId:
        return ServiceId(self.namespace, "echo")

    async def lay(self, k8s: Kubernetes) -> None:
        """Namespace and programs."""
        await k8s.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        texts = {file.name: file.read_text() for file in PROGRAMS.glob("*.py")}
        meta = {"name": "programs", "namespace": self.namespace}
        await k8s.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": texts}, force=True)

    async def serve(self, k8s: Kubernetes, replicas: int = 2) -> None:
        """The echo pods, without their Service."""
        await k8s.apply(self.deployment("echo", ["echo.py"], replicas, {"CLUSTER": k8s.name}, probe=True), force=True)
        await self.ready(k8s, "echo")

    def service(self, **spec: Any) -> Manifest:
        """The echo Service as its owner writes it."""
        ports = [
            {"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"},
            {"name": "tcp-line", "port": 7000, "targetPort": 7000, "protocol": "TCP"},
        ]
        meta = {"name": "echo", "namespace": self.namespace, "labels": dict(LABELS)}
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": dict(LABELS), "ports": ports, **spec},
        }

    async def call(
        self,
        k8s: Kubernetes,
        *,
        rate: float = 50,
        held: int = 4,
        name: str = "caller",
        side: str = "",
        labels: Mapping[str, str] = {},
    ) -> None:
        """Start the callers; `side` is what they ask for by header, `labels` are their pods'."""
        made = self.deployment(name, ["caller.py", "echo", str(rate), str(held)], 1, {"SIDE": side} if side else {})
        made["spec"]["template"]["metadata"]["labels"] |= labels
        await k8s.apply(made, force=True)
        await self.ready(k8s, name)

    async def replace_callers(self, k8s: Kubernetes, name: str = "caller") -> None:
        """Other callers in the place of these, which begin to count anew; returns when the old connections are gone."""
        [old] = await k8s.list(POD, self.namespace, labels=f"app={name}")
        await k8s.delete(POD, old["metadata"]["name"], self.namespace)

        async def gone() -> bool:
            return await k8s.find(POD, old["metadata"]["name"], self.namespace) is None

        await wait_for(gone, what=f"the old {name} gone", within=60, clock=self.clock)
        await self.ready(k8s, name)

    async def counts(self, k8s: Kubernetes, name: str = "caller") -> dict[str, Any]:
        """What the callers have counted so far."""
        [pod] = await k8s.list(POD, self.namespace, labels=f"app={name}")
        found: list[dict[str, Any]] = []

        async def printed() -> bool:
            text = await k8s.logs(pod["metadata"]["name"], self.namespace, tail=1)
            if text.strip().startswith("{"):
                found.append(json.loads(text))
            return bool(found)

        await wait_for(printed, what="the callers' first line", within=20, clock=self.clock)
        return found[-1]

    async def split(self, k8s: Kubernetes, other: str, percent: int, notes: Mapping[str, str] = {}) -> None:
        """Declare how much goes to the other cluster; `notes` are annotations."""
        backends = [
            {"service": "echo-leaf", "weight": 100 - percent},
            {"service": f"echo-{other}", "weight": percent},
        ]
        meta = {"name": "echo", "namespace": self.namespace, "annotations": dict(notes)}
        spec = {"service": "echo", "backends": backends}
        split = {"apiVersion": TRAFFICSPLIT.api_version, "kind": "TrafficSplit", "metadata": meta, "spec": spec}
        await k8s.apply(split, force=True)

    async def ready(self, k8s: Kubernetes, name: str) -> None:
        async def available() -> bool:
            return is_rolled_out(await k8s.get(DEPLOYMENT, name, self.namespace))

        await wait_for(available, what=f"{name} in {k8s.name} available", within=60, clock=self.clock)

    async def pass_requests(self, k8s: Kubernetes, number: int, name: str = "caller") -> dict[str, Any]:
        """Wait until so many more requests were sent, and return the counts' growth meanwhile."""
        before = await self.counts(k8s, name)

        async def enough() -> dict[str, Any] | None:
            now = await self.counts(k8s, name)
            return now if now["sent"] - before["sent"] >= number else None

        now = await wait_for(enough, what=f"{number} requests", within=60, clock=self.clock, every=0.5)
        return growth(before, now)

    async def remove(self, k8s: Kubernetes) -> None:
        """Delete the namespace, its pods first and at once: it would wait for half of their longest grace, and more.

        Nobody waits for the end of it: a kubelet that was cut off takes its time, and the next bed has another name.
        """
        for item in await k8s.list(DEPLOYMENT, self.namespace):
            await k8s.delete(DEPLOYMENT, item["metadata"]["name"], self.namespace)
        query = {"gracePeriodSeconds": "1"}
        await k8s.request("DELETE", f"/api/v1/namespaces/{self.namespace}/pods", params=query)
        await k8s.delete(NAMESPACE, self.namespace)

    def deployment(
        self, name: str, arguments: list[str], replicas: int, env: Mapping[str, str], *, probe: bool = False
    ) -> Manifest:
        container: dict[str, Any] = {
            "name": name,
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-u", *[f"/programs/{a}" if a.endswith(".py") else a for a in arguments]],
            "env": [{"name": key, "value": value} for key, value in env.items()],
            # a share of a busy node that is worth something: an echo that starves is not what is under test
            "resources": {"requests": {"cpu": "100m", "memory": "16Mi"}},
            "volumeMounts": [{"name": "programs", "mountPath": "/programs"}],
        }
        if probe:
            container["ports"] = [{"name": "web", "containerPort": 8080}]
            # the kubelet of a busy machine needs its time; an echo that is late is not one that has ended
            get = {"path": "/", "port": 8080}
            container["readinessProbe"] = {"httpGet": get, "periodSeconds": 1, "timeoutSeconds": 5}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}, "annotations": {"programs": PRINT}},
                    "spec": {
                        "containers": [container],
                        "volumes": [{"name": "programs", "configMap": {"name": "programs"}}],
                        "terminationGracePeriodSeconds": 2,
                    },
                },
            },
        }


def growth(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """How much each count grew."""
    numbers = {key for key, value in now.items() if isinstance(value, int)}
    return {key: now[key] - before.get(key, 0) for key in numbers} | {"why": now["why"]}
