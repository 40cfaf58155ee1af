"""The pod that waypoint and gateway share: Envoy, the agent that feeds it, and the seed of its files (pure).

Every setting here was bought with a failure, see docs/connection.md#waypoint-pods: readiness is Envoy's own and
delivered by LDS, the agent has no probe, preStop comes before SIGTERM, and memory is not limited near its use.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from landbridge.connect import names
from landbridge.connect.options import Options
from landbridge.model.service import Manifest

SETTLE = 10.0  # waypoint.md 6: /healthcheck/fail and 10 s: 0 of 9,020 failed in a full rollout
ENVOY_UID = 15001  # Envoy's own: inotify instances are counted per uid on a node
AGENT_UID = 15002
GROUP = 15000
SHARED = "/run/landbridge"
ENVOY_DIR = f"{SHARED}/envoy"
TLS_DIR = "/etc/landbridge/tls"
_PRESTOP = (
    "import http.client as h,time\n"
    "c=h.HTTPConnection('127.0.0.1',{port},timeout=2)\n"
    "c.request('POST','/healthcheck/fail')\n"
    "c.getresponse().read()\n"
    "time.sleep({settle:g})\n"
)


def deployment(
    role: str, *, name: str, namespace: str, cluster: str, replicas: int, options: Options, link: str = ""
) -> Manifest:
    """The Deployment of a waypoint or a gateway; a gateway's agent follows the cluster `link`."""
    command = ["python3", "-m", "landbridge.agent", "--role", role, "--namespace", namespace, "--cluster", cluster]
    command += ["--envoy-dir", ENVOY_DIR, *(["--link", link] if link else [])]
    command += ["--policies", "enforce"] if options.enforce and role == "waypoint" else []
    if role == "gateway" and (policy := options.exports.document()):
        command += ["--exports", json.dumps(policy, sort_keys=True)]
    marks = names.labels(role)
    selector = {names.ROLE: role, "app.kubernetes.io/name": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": marks},
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": selector},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": marks | selector},
                "spec": _pod(command, name=name, selector=selector, options=options),
            },
        },
    }


def _pod(agent: list[str], *, name: str, selector: Mapping[str, str], options: Options) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "serviceAccountName": name,
        "terminationGracePeriodSeconds": math.ceil(SETTLE + options.drain + options.hold + 10),
        "priorityClassName": names.PRIORITY,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "fsGroup": GROUP,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            _spread("kubernetes.io/hostname", selector, hard=options.spread_hard),
            _spread("topology.kubernetes.io/zone", selector, hard=False),
        ],
        "initContainers": [_container("seed", options.image, AGENT_UID, [*agent, "--seed"], options)],
        "containers": [_envoy(options, name), _agent_container(agent, options, name)],
        "volumes": [
            {"name": "shared", "emptyDir": {}},
            {"name": "tls", "secret": {"secretName": names.TLS, "defaultMode": 0o440}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
    if options.pull_secrets:
        pod["imagePullSecrets"] = [{"name": secret} for secret in options.pull_secrets]
    return pod


def _spread(key: str, selector: Mapping[str, str], *, hard: bool) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "DoNotSchedule" if hard else "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(selector)},
    }


def _container(
    name: str, image: str, uid: int, command: list[str], options: Options, cpu: str = "20m"
) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": options.pull_policy,
        "command": command,
        "securityContext": {
            "runAsUser": uid,
            "runAsGroup": GROUP,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}},
        "volumeMounts": [
            {"name": "shared", "mountPath": SHARED},
            {"name": "tls", "mountPath": TLS_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a path in the pod
        ],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
    }


def _envoy(options: Options, name: str) -> dict[str, Any]:
    """Envoy under our small parent, or alone where the user names an image that has no Python."""
    envoy = ["envoy", "-c", f"{ENVOY_DIR}/bootstrap.json", "--disable-hot-restart", "--log-level", "warning"]
    envoy += ["--concurrency", str(options.workers)]
    envoy += ["--drain-time-s", f"{options.drain:g}", "--drain-strategy", "gradual"]
    parent = ["python3", "-m", "landbridge.connect.drain", "--admin-port", str(names.ADMIN_PORT)]
    parent += ["--settle", f"{SETTLE:g}", "--drain", f"{options.drain:g}", "--hold", f"{options.hold:g}", "--"]
    prestop: dict[str, Any] = {"exec": {"command": ["python3", "-S", "-c", _prestop()]}}
    if options.envoy_image:
        parent, prestop = [], {"sleep": {"seconds": int(SETTLE + options.drain)}}
    cpu = options.gateway_cpu if name == names.GATEWAY else options.cpu
    return _container("envoy", options.envoy, ENVOY_UID, [*parent, *envoy], options, cpu) | {
        "ports": [{"name": "ready", "containerPort": names.READY_PORT}],
        "lifecycle": {"preStop": prestop},
        "readinessProbe": {
            "httpGet": {"path": "/ready", "port": names.READY_PORT},
            "periodSeconds": 1,
            "timeoutSeconds": 5,  # a drain is answered at once; a starved node must not take both pods out of service
            "failureThreshold": 2,
        },
    }


def _agent_container(command: list[str], options: Options, name: str) -> dict[str, Any]:
    """The agent: no probe, for its death must not take the pod out; it takes Envoy out of service at the end.

    A gateway's asks for as much as a waypoint's Envoy: the one that leads works for the whole cluster, and every
    adoption waits for it.
    """
    stay = {"exec": {"command": ["python3", "-S", "-c", _prestop()]}}
    cpu = {"cpu": options.cpu} if name == names.GATEWAY else {}
    return _container("agent", options.image, AGENT_UID, command, options, **cpu) | {
        "ports": [{"name": "agent", "containerPort": names.AGENT_PORT}],
        "lifecycle": {"preStop": stay},
    }


def _prestop() -> str:
    return _PRESTOP.format(port=names.ADMIN_PORT, settle=SETTLE)
