"""What runs behind a service in one cluster: which workloads, how many replicas are ready, which template."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from landbridge.clients.kinds import DAEMONSET, DEPLOYMENT, ENDPOINTSLICE, HPA, SERVICE, STATEFULSET
from landbridge.clients.kubernetes import Kubernetes
from landbridge.laws.weights import Health
from landbridge.model.service import Manifest, ServiceId

SERVICE_NAME = "kubernetes.io/service-name"
KINDS = (DEPLOYMENT, STATEFULSET, DAEMONSET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """The workloads of one service in one cluster."""

    workloads: tuple[Manifest, ...]

    @property
    def health(self) -> Health:
        """Ready and wanted replicas, summed; nothing at all counts as one replica wanted and none ready."""
        wanted = sum(map(wanted_of, self.workloads))
        ready = sum(map(ready_of, self.workloads))
        return Health(ready=ready, wanted=wanted if self.workloads else 1)

    @property
    def template(self) -> str:
        """A digest of all pod templates: another one means a new image or another configuration."""
        text = json.dumps([w["spec"]["template"] for w in self.workloads], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


async def selector_of(k8s: Kubernetes, service: ServiceId) -> Mapping[str, str]:
    """The labels of the service's own pods: the leaf's selector if it is adopted, else its own; empty if none."""
    for name in (f"{service.name}-leaf", service.name):
        found = await k8s.find(SERVICE, name, service.namespace)
        if found is not None and found["spec"].get("selector"):
            selector: Mapping[str, str] = found["spec"]["selector"]
            return selector
    return {}


async def find_behind(k8s: Kubernetes, service: ServiceId, selector: Mapping[str, str] | None = None) -> Behind:
    """The workloads whose pods a service selects."""
    labels = await selector_of(k8s, service) if selector is None else selector
    if not labels:
        return Behind(workloads=())
    found = await asyncio.gather(*(k8s.together.list(kind, service.namespace) for kind in KINDS))
    return of_selector([item for items in found for item in items], labels)


def of_selector(workloads: Sequence[Manifest], labels: Mapping[str, str]) -> Behind:
    """Those of a namespace's workloads that a selector finds; an empty one finds none."""
    return Behind(workloads=tuple(item for item in workloads if labels and _selects(labels, item)))


def _selects(labels: Mapping[str, str], workload: Manifest) -> bool:
    pod = workload["spec"]["template"]["metadata"].get("labels") or {}
    return all(pod.get(key) == value for key, value in labels.items())


def wanted_of(workload: Manifest) -> int:
    """How many replicas a workload should have."""
    if workload["kind"] == "DaemonSet":
        return int((workload.get("status") or {}).get("desiredNumberScheduled") or 0)
    return int(workload["spec"].get("replicas", 1))


def ready_of(workload: Manifest) -> int:
    """How many are ready, of the newest template as far as the controller has seen it."""
    status = workload.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(workload["metadata"].get("generation") or 0):
        return 0
    return int(status.get("numberReady" if workload["kind"] == "DaemonSet" else "readyReplicas") or 0)


async def autoscalers(k8s: Kubernetes, workloads: Sequence[Manifest]) -> list[Manifest]:
    """The HPAs that scale these workloads."""
    names = {(w["kind"], w["metadata"]["name"]) for w in workloads}
    namespaces = {w["metadata"]["namespace"] for w in workloads}
    found = [hpa for namespace in sorted(namespaces) for hpa in await k8s.together.list(HPA, namespace)]
    return [h for h in found if (h["spec"]["scaleTargetRef"]["kind"], h["spec"]["scaleTargetRef"]["name"]) in names]


async def endpoints_ready(k8s: Kubernetes, namespace: str, name: str) -> int:
    """Ready endpoints of a Service, by its slices."""
    listed = await k8s.together.list(ENDPOINTSLICE, namespace)
    slices = [item for item in listed if (item["metadata"].get("labels") or {}).get(SERVICE_NAME) == name]
    return sum(
        (endpoint.get("conditions") or {}).get("ready") is not False
        for item in slices
        for endpoint in item.get("endpoints") or ()
    )
