"""The shop's Kubernetes objects, as a team of people would have written and applied them."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

Manifest = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
NODE_AND_POD = [
    {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
]
JOB_LABELS = [
    {"name": "JOB_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}}},
    {
        "name": "JOB_UID",
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/controller-uid']"}},
    },
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One service of the shop: what differs from the others."""

    name: str
    port: int = 80
    listens: int = 8080
    protocol: str = "http"
    replicas: int = 1
    database: bool = False
    disruption_budget: bool = False
    scaled: bool = False


PARTS = (
    Part(name="catalog", replicas=2, scaled=True),
    Part(name="users"),
    Part(name="ledger", port=7000, listens=7000, protocol="tcp"),
    Part(name="stock", port=9090, listens=9090, protocol="grpc", replicas=2, disruption_budget=True),
    Part(name="payments", replicas=2),
    Part(name="cart"),
    Part(name="orders", database=True, replicas=2, disruption_budget=True),
    Part(name="notices", database=True),
    Part(name="web", replicas=2, disruption_budget=True),
)
"""Callees before callers, so that a service finds what it calls when it starts."""


def manifests(
    namespace: str = "shop",
    *,
    image: str,
    postgres: str,
    redis: str,
    password: str,
    user: str = "shop",
    database: str = "shop",
    schedule: str = "* * * * *",
) -> list[Manifest]:
    """All objects of the shop, in the order to apply them.

    `postgres` and `redis` are hosts or host:port, reachable from the pods of both sides. Nothing names a cluster: the
    programs take it from their node's name, so the same objects are right on both sides.
    """
    config = {
        "POSTGRES_ADDRESS": postgres,
        "POSTGRES_DATABASE": database,
        "REDIS_ADDRESS": redis,
        "STOCK_ADDRESS": "stock:9090",
        "LEDGER_ADDRESS": "ledger:7000",
        "USERS_MAX_AGE_SECONDS": "30",
        **{f"{part.name.upper()}_URL": f"http://{part.name}" for part in PARTS if part.protocol == "http"},
    }
    made = [
        _object("v1", "Namespace", namespace, ""),
        _object("v1", "ConfigMap", "shop", namespace, data=config),
        _object(
            "v1",
            "Secret",
            "shop-database",
            namespace,
            type="Opaque",
            stringData={"POSTGRES_USER": user, "POSTGRES_PASSWORD": password},
        ),
        *_permissions(namespace),
    ]
    for part in PARTS:
        made += _part(part, namespace, image)
    return [copy.deepcopy(manifest) for manifest in (*made, _report(namespace, image, schedule))]


def _object(api: str, kind: str, name: str, namespace: str, **fields: Any) -> Manifest:
    metadata: Manifest = {"name": name, "labels": {"app.kubernetes.io/part-of": "shop"}}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **fields}


def _permissions(namespace: str) -> list[Manifest]:
    """Notices may read the shop's configuration; the others may nothing."""
    group = "rbac.authorization.k8s.io"
    rule = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["shop"], "verbs": ["get", "watch"]}
    subject = {"kind": "ServiceAccount", "name": "notices", "namespace": namespace}
    role_ref = {"apiGroup": group, "kind": "Role", "name": "read-configuration"}
    return [
        _object(f"{group}/v1", "Role", "read-configuration", namespace, rules=[rule]),
        _object(
            f"{group}/v1", "RoleBinding", "notices-reads-configuration", namespace, subjects=[subject], roleRef=role_ref
        ),
    ]


def _part(part: Part, namespace: str, image: str) -> list[Manifest]:
    account = _object("v1", "ServiceAccount", part.name, namespace, automountServiceAccountToken=part.name == "notices")
    service = _service(part, namespace)
    made = [account, service, _deployment(part, namespace, image)]
    if part.name == "users":
        # What `kubectl apply` leaves behind: the copy has to read it for explicit ports and must not carry it over.
        written = json.dumps(service, separators=(",", ":")) + "\n"
        service["metadata"]["annotations"] = {LAST_APPLIED: written}
    if part.disruption_budget:
        selector = {"matchLabels": {"app": part.name}}
        made.append(
            _object(
                "policy/v1", "PodDisruptionBudget", part.name, namespace, spec={"minAvailable": 1, "selector": selector}
            )
        )
    if part.scaled:
        made.append(_scaler(part, namespace))
    return made


def _service(part: Part, namespace: str) -> Manifest:
    port: Manifest = {"port": part.port, "targetPort": part.protocol}
    if part.protocol != "tcp":  # ledger's only port has no name, as many have
        port |= {"name": part.protocol, "appProtocol": {"http": "http", "grpc": "grpc"}[part.protocol]}
    return _object("v1", "Service", part.name, namespace, spec={"selector": {"app": part.name}, "ports": [port]})


def _deployment(part: Part, namespace: str, image: str) -> Manifest:
    spec: Manifest = {
        "selector": {"matchLabels": {"app": part.name}},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {
            "metadata": {"labels": {"app": part.name, "app.kubernetes.io/part-of": "shop"}},
            "spec": {
                "serviceAccountName": part.name,
                "terminationGracePeriodSeconds": 40,
                "containers": [_container(part, image)],
            },
        },
    }
    if not part.scaled:  # an autoscaler owns the number of the other
        spec["replicas"] = part.replicas
    return _object("apps/v1", "Deployment", part.name, namespace, spec=spec)


def _container(part: Part, image: str) -> Manifest:
    sources: list[Manifest] = [{"configMapRef": {"name": "shop"}}]
    if part.database:
        sources.append({"secretRef": {"name": "shop-database"}})
    container: Manifest = {
        "name": part.name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", f"landbridge.lab.shop.{part.name}"],
        "ports": [{"name": part.protocol, "containerPort": part.listens}],
        "env": NODE_AND_POD,
        "envFrom": sources,
        "resources": {"requests": {"cpu": "15m", "memory": "32Mi"}, "limits": {"memory": "192Mi"}},
        "startupProbe": {**_probe(part), "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 120},
        "readinessProbe": {**_probe(part), "periodSeconds": 5, "timeoutSeconds": 5, "failureThreshold": 2},
    }
    if part.protocol == "http":
        container["livenessProbe"] = {
            "httpGet": {"path": "/live", "port": "http"},
            "periodSeconds": 10,
            "timeoutSeconds": 5,
            "failureThreshold": 6,
        }
    return container


def _probe(part: Part) -> Manifest:
    match part.protocol:
        case "grpc":
            return {"grpc": {"port": part.listens}}
        case "tcp":
            return {"tcpSocket": {"port": "tcp"}}
        case _:
            return {"httpGet": {"path": "/ready", "port": "http"}}


def _scaler(part: Part, namespace: str) -> Manifest:
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": part.name},
        "minReplicas": part.replicas,
        "maxReplicas": part.replicas + 2,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            }
        ],
    }
    return _object("autoscaling/v2", "HorizontalPodAutoscaler", part.name, namespace, spec=spec)


def _report(namespace: str, image: str, schedule: str) -> Manifest:
    container = {
        "name": "report",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "landbridge.lab.shop.report"],
        "env": [*NODE_AND_POD, *JOB_LABELS],
        "envFrom": [{"configMapRef": {"name": "shop"}}, {"secretRef": {"name": "shop-database"}}],
        "resources": {"requests": {"cpu": "5m", "memory": "32Mi"}},
    }
    pod = {"restartPolicy": "OnFailure", "containers": [container]}
    job = {"backoffLimit": 3, "template": {"metadata": {"labels": {"app": "report"}}, "spec": pod}}
    spec = {
        "schedule": schedule,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 50,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"spec": job},
    }
    return _object("batch/v1", "CronJob", "report", namespace, spec=spec)
