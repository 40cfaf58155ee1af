"""The landscape's objects as their teams would have applied them (pure): one echo Deployment answers for a tier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from landbridge.lab.landscape.services import PLATFORM, TIERS, Member, Name, platform

Manifest = dict[str, Any]
IMAGE = "landbridge.dev/lab-landscape:1"
PORT = 8080
EXPORTED = "mirror.linkerd.io/exported"
"""Tradeshift mirrored everything into the other cluster before anything moved; its owners set this label."""


def landscape(members: Sequence[Member]) -> list[Manifest]:
    """Everything of the old cluster, in the order to apply it."""
    spaces = sorted({member.name.namespace for member in members})
    made = [_namespace(space) for space in spaces]
    for space in spaces:
        for tier, role in enumerate(TIERS):
            own = [m for m in members if m.name.namespace == space and m.tier == tier]
            if own:
                calls = sorted({callee for member in own for callee in member.calls})
                made += [_echo(space, role, calls), *(_service(member.name, role) for member in own)]
    return made


def building() -> list[Manifest]:
    """Everything that stands in the new cluster already."""
    names = platform()
    return [_namespace(PLATFORM), _echo(PLATFORM, "build", ()), *(_service(name, "build") for name in names)]


def _namespace(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _service(name: Name, role: str) -> Manifest:
    labels = {"app": name.name, EXPORTED: "true"}
    port = {"name": "http", "port": 80, "targetPort": "http", "appProtocol": "http"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name.name, "namespace": name.namespace, "labels": labels},
        "spec": {"selector": {"app": f"echo-{role}"}, "ports": [port]},
    }


def _echo(space: str, role: str, calls: Iterable[Name]) -> Manifest:
    name = f"echo-{role}"
    node = {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    urls = [
        {"name": f"{callee.namespace}_{callee.name}_URL".upper().replace("-", "_"), "value": f"http://{callee.host}"}
        for callee in calls
    ]
    container = {
        "name": "echo",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/landscape", "serve", "-listen", f":{PORT}"],
        "ports": [{"name": "http", "containerPort": PORT}],
        "env": [node, *urls],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 10, "timeoutSeconds": 5},
    }
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": name}},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {
                "containers": [container],
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": 15,
            },
        },
    }
    meta = {"name": name, "namespace": space, "labels": {"app": name}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
