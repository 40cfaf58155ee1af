"""Services and workloads as landbridge speaks of them, from plain manifests (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

from landbridge.model.inventory import Service
from landbridge.model.manifest import (
    NONE,
    RUNNING,
    Fields,
    is_owned,
    kind_of,
    labels_of,
    matches,
    name_of,
    namespace_of,
    pod_template,
)
from landbridge.model.service import Manifest, ObjectRef, Port, Protocol, ServiceId, Workload
from landbridge.translate.adoption import TRUSTED

_APP_PROTOCOLS = {
    "http": Protocol.HTTP,
    "http2": Protocol.HTTP,
    "kubernetes.io/h2c": Protocol.HTTP,
    "kubernetes.io/ws": Protocol.HTTP,
    "grpc": Protocol.GRPC,
    "grpc-web": Protocol.HTTP,
}
_PREFIXES = {"http": Protocol.HTTP, "http2": Protocol.HTTP, "ws": Protocol.HTTP, "grpc": Protocol.GRPC}
_WORKLOADS = RUNNING | {"CronJob", "Job", "Pod"}

Template = tuple[ObjectRef, Mapping[str, str]]


def find_workloads(objects: Iterable[Manifest]) -> tuple[Workload, ...]:
    """Everything that runs and that no other object has made."""
    return tuple(
        Workload(ref=ObjectRef.of(item), replicas=replicas(item), labels=dict(_template_labels(item)))
        for item in objects
        if kind_of(item) in _WORKLOADS and not is_owned(item)
    )


def replicas(manifest: Manifest) -> int:
    """How many pods a workload wants; a DaemonSet's are as many as it has now."""
    kind, spec = manifest["kind"], manifest.get("spec") or NONE
    if kind == "DaemonSet":
        return int((manifest.get("status") or NONE).get("desiredNumberScheduled") or 0)
    if kind in {"CronJob", "Job"}:
        return 0
    wanted = spec.get("replicas")
    return 1 if wanted is None else int(wanted)


def find_services(objects: Iterable[Manifest], workloads: Iterable[Workload]) -> tuple[Service, ...]:
    """Every Service with the workloads whose pods it selects; nobody calls the one that selects trusted callers."""
    by_namespace: dict[str, list[Template]] = defaultdict(list)
    by_label: dict[tuple[str, str, str], list[Template]] = defaultdict(list)
    for workload in workloads:
        if workload.ref.kind in {"CronJob", "Job"}:
            continue
        entry = (workload.ref, workload.labels)
        by_namespace[workload.ref.namespace].append(entry)
        for key, value in workload.labels.items():
            by_label[(workload.ref.namespace, key, value)].append(entry)
    called = [item for item in objects if kind_of(item) == "Service" and name_of(item) != TRUSTED]
    return tuple(_service(item, by_label) for item in called)


def _service(manifest: Manifest, by_label: Mapping[tuple[str, str, str], list[Template]]) -> Service:
    spec = manifest.get("spec") or NONE
    selector = spec.get("selector") or {}
    namespace = namespace_of(manifest)
    first = next(iter(selector.items()), None)
    near = by_label.get((namespace, *first), []) if first else []
    return Service(
        id=ServiceId(namespace, name_of(manifest)),
        ports=tuple(_port(port) for port in spec.get("ports") or ()),
        workloads=tuple(sorted(ref for ref, found in near if matches(selector, found))),
        type=spec.get("type") or "ClusterIP",
        headless=spec.get("clusterIP") == "None",
        selector=selector,
    )


def _port(port: Fields) -> Port:
    number = int(port["port"])
    return _made(port.get("name") or "", number, protocol_of(port), str(port.get("targetPort", number)))


@lru_cache(maxsize=4096)
def _made(name: str, port: int, protocol: Protocol, target: str) -> Port:
    """Most Services have one of a few ports."""
    return Port(name=name, port=port, protocol=protocol, target=target)


def protocol_of(port: Fields) -> Protocol:
    """How a Service port is split, as declared: appProtocol first, then the name's first word; else per connection."""
    if (port.get("protocol") or "TCP") == "UDP":
        return Protocol.UDP
    declared = port.get("appProtocol")
    if declared:
        return _APP_PROTOCOLS.get(declared.lower(), Protocol.TCP)
    return _PREFIXES.get((port.get("name") or "").partition("-")[0].lower(), Protocol.TCP)


def _template_labels(manifest: Manifest) -> Mapping[str, str]:
    if manifest["kind"] == "Pod":
        return labels_of(manifest)
    return (pod_template(manifest).get("metadata") or NONE).get("labels") or NONE
