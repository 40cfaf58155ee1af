"""Small worlds for checks and plans: manifests in, an inventory out, by the inventory's own functions."""

from __future__ import annotations

from typing import Any

from landbridge.inventory.graph import find_edges
from landbridge.inventory.owners import owners_of
from landbridge.inventory.services import find_services, find_workloads
from landbridge.model.inventory import Inventory, Node, Platform
from landbridge.model.service import Manifest
from landbridge.settings import Migration
from landbridge.settings.migration import Cluster

SERVED = {
    "": "ConfigMap Endpoints LimitRange Namespace Node PersistentVolumeClaim Pod ResourceQuota Secret Service"
    " ServiceAccount",
    "apps": "DaemonSet Deployment ReplicaSet StatefulSet",
    "autoscaling": "HorizontalPodAutoscaler",
    "batch": "CronJob Job",
    "discovery.k8s.io": "EndpointSlice",
    "networking.k8s.io": "Ingress IngressClass NetworkPolicy",
    "policy": "PodDisruptionBudget",
    "rbac.authorization.k8s.io": "ClusterRole ClusterRoleBinding Role RoleBinding",
    "scheduling.k8s.io": "PriorityClass",
    "node.k8s.io": "RuntimeClass",
    "storage.k8s.io": "StorageClass",
    "admissionregistration.k8s.io": "MutatingWebhookConfiguration ValidatingWebhookConfiguration",
}
API = {"": "v1", "autoscaling": "autoscaling/v2"} | {
    group: f"{group}/v1" for group in SERVED if group not in {"", "autoscaling"}
}
VERSION = {kind: API[group] for group, kinds in SERVED.items() for kind in kinds.split()}
ROOM = Node(name="n1", cpu=64.0, memory=256 * 1024**3, pods=250)


def served() -> dict[str, tuple[str, ...]]:
    return {f"{VERSION[k].rpartition('/')[0]}/{k}": (VERSION[k].rpartition("/")[2],) for k in VERSION}


def thing(kind: str, name: str, namespace: str = "shop", **fields: Any) -> Manifest:
    """An object; `labels`, `annotations` and other metadata come as keyword `meta`."""
    meta = {"name": name, **({"namespace": namespace} if namespace else {}), **fields.pop("meta", {})}
    return {"apiVersion": fields.pop("api", VERSION.get(kind, "v1")), "kind": kind, "metadata": meta, **fields}


def container(**fields: Any) -> Manifest:
    return {
        "name": "main",
        "image": "registry.example/app:1",
        "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        **fields,
    }


def deployment(name: str, *containers: Manifest, kind: str = "Deployment", **fields: Any) -> Manifest:
    """A healthy workload `app: <name>` with two replicas; `spec`, `pod`, `notes`, `meta` change parts of it."""
    pod = {"containers": list(containers) or [container()], **fields.pop("pod", {})}
    template = {"metadata": {"labels": {"app": name}, "annotations": fields.pop("notes", {})}, "spec": pod}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": template, **fields.pop("spec", {})}
    return thing(kind, name, spec=spec, **fields)


def service(name: str, *ports: Manifest, **spec: Any) -> Manifest:
    """A Service for such a workload."""
    meta = spec.pop("meta", {})
    return thing(
        "Service",
        name,
        meta=meta,
        spec={"selector": {"app": name}, "ports": list(ports) or [{"name": "http", "port": 80}], **spec},
    )


def cronjob(name: str, **spec: Any) -> Manifest:
    job = {"spec": {"template": {"spec": {"containers": [container()]}}, **spec.pop("job", {})}}
    return thing("CronJob", name, spec={"schedule": "0 3 * * *", "timeZone": "Etc/UTC", "jobTemplate": job, **spec})


def healthy(*more: Manifest) -> list[Manifest]:
    """A namespace with one service that nothing is wrong with."""
    return [thing("Namespace", "shop", ""), deployment("web"), service("web"), *more]


def inventory(objects: list[Manifest], *, there: tuple[Manifest, ...] = (), **target: Any) -> Inventory:
    """What the inventory would make of these objects; `target` changes the target's Platform."""
    extra = {"used": {"cpu": 0.0, "memory": 0.0, "pods": 0.0}, "applied": {}, "ours": [], **target.pop("extra", {})}
    ordered = sorted(objects, key=lambda o: (o["metadata"].get("namespace", ""), o["kind"], o["metadata"]["name"]))
    workloads = find_workloads(ordered)
    services = find_services(ordered, workloads)
    facts = {
        "name": "eks",
        "context": "eks",
        "version": "v1.34.4",
        "served": served(),
        "nodes": (ROOM,),
        "features": ("metrics-api", "networkpolicy-enforced"),
        "objects": there,
        **target,
    }
    return Inventory(
        source=Platform(
            name="legacy",
            context="legacy",
            version=target.get("version", "v1.34.4"),
            served=served(),
            nodes=(ROOM,),
            objects=tuple(ordered),
        ),
        target=Platform(**facts),
        workloads=workloads,
        services=services,
        edges=find_edges(ordered, services, workloads),
        owners=tuple(owner for item in ordered for owner in owners_of(item)),
        extra=extra,
    )


def migration(**settings: Any) -> Migration:
    """Settings for these worlds."""
    ends = {"source": Cluster(name="legacy", context="legacy"), "target": Cluster(name="eks", context="eks")}
    return Migration.model_validate({**ends, "namespaces": ("shop",), **settings})
