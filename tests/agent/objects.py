"""Manifests for tests of what is pure."""

from __future__ import annotations

from typing import Any

from landbridge.agent import names
from landbridge.model.service import Manifest

Ports = list[dict[str, Any]]
HTTP: Ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]


def service(
    name: str,
    namespace: str = "shop",
    *,
    ports: Ports | None = None,
    selector: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    **spec: Any,
) -> Manifest:
    meta: Manifest = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": "1"}
    meta |= {"labels": labels or {}, "annotations": annotations or {}}
    body = {"ports": HTTP if ports is None else ports, **spec}
    if selector:
        body["selector"] = selector
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": body}


def leaf(name: str, state: str = "adopted", **more: Any) -> Manifest:
    labels = {names.LEAF_OF: name, names.MANAGED_BY: "landbridge"}
    more.setdefault("selector", {"app": name})
    return service(f"{name}-leaf", labels=labels, annotations={names.STATE: state}, **more)


def mirror(name: str, cluster: str = "eks", namespace: str = "shop", **more: Any) -> Manifest:
    labels = {names.MIRRORED: "true", names.CLUSTER_NAME: cluster, names.MANAGED_BY: "landbridge"}
    annotations = {
        names.REMOTE_NAME: f"{name}.{namespace}.svc.cluster.local",
        names.REMOTE_IDENTITY: f"spiffe://{cluster}/ns/landbridge/sa/landbridge-gateway",
        names.GATEWAYS: '["10.90.0.12:15443"]',
    }
    return service(f"{name}-{cluster}", namespace, labels=labels, annotations=annotations, **more)


def endpoint_slice(
    service_name: str, *addresses: str, port: int = 8080, ours: bool = False, ready: bool = True, name: str = "http"
) -> Manifest:
    manager = names.SLICE_MANAGER if ours else "endpointslice-controller.k8s.io"
    labels = {names.SERVICE_NAME: service_name, names.SLICE_MANAGED_BY: manager}
    suffix = "landbridge-ipv4" if ours else "abcde"
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{service_name}-{suffix}",
            "namespace": "shop",
            "labels": labels,
            "resourceVersion": "7",
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [item], "conditions": {"ready": ready}} for item in addresses],
        "ports": [{"name": name, "port": port, "protocol": "TCP"}],
    }


def trafficsplit(service_name: str, weights: dict[str, Any], **annotations: str) -> Manifest:
    notes = {f"landbridge.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    backends = [{"service": name, "weight": weight} for name, weight in weights.items()]
    return {
        "apiVersion": "split.smi-spec.io/v1alpha2",
        "kind": "TrafficSplit",
        "metadata": {"name": service_name, "namespace": "shop", "annotations": notes},
        "spec": {"service": service_name, "backends": backends},
    }


def httproute(service_name: str, rules: list[dict[str, Any]]) -> Manifest:
    parent = {"group": "", "kind": "Service", "name": service_name}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": service_name, "namespace": "shop"},
        "spec": {"parentRefs": [parent], "rules": rules},
    }
