"""The objects of the benchmark (pure): the service, what its callers call, and Flagger's Canary with its templates."""

from __future__ import annotations

from pathlib import Path

from benchmarks.flagger.cases import STEPS, Case
from landbridge.model.service import Manifest

NAMESPACE = "bench-flagger"
PROGRAM = Path(__file__).parent / "server.py"
PORT = 8080
FAIL = "/spec/template/spec/containers/0/env/0/value"
"""What makes the new copy out of the old one."""

SELECTED = '{namespace="{{ namespace }}",backend="{{ target }}-canary"}'
ERRORS = f"""100 * sum(rate(landbridge_waypoint_bad_total{SELECTED}[{{{{ interval }}}}]))
  / sum(rate(landbridge_waypoint_requests_total{SELECTED}[{{{{ interval }}}}]))"""
"""Percent of the canary's requests that failed, over all waypoints."""
SLOW = f"""100 * sum(rate(landbridge_waypoint_slower_500ms_total{SELECTED}[{{{{ interval }}}}]))
  / sum(rate(landbridge_waypoint_requests_total{SELECTED}[{{{{ interval }}}}]))"""
"""Percent that took longer than 500 ms: at most 1 says the same as a 99th percentile of at most 500 ms."""
METRICS = (("error-rate", ERRORS, "1m"), ("latency", SLOW, "30s"))
"""Name, query, interval; each may be 1 at most."""


def program() -> Manifest:
    """The server's text, for its pods."""
    meta = {"name": "server", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"server.py": PROGRAM.read_text()}}


def deployment(case: Case, image: str, fail: str = "") -> Manifest:
    """The old copy, or with `fail` the new one; its size is nobody's word here, for Flagger sets it."""
    get = {"path": "/ready", "port": PORT}
    container = {
        "name": "server",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-u", "/program/server.py"],
        "env": [{"name": "FAIL", "value": fail}, {"name": "NAME", "value": case.name}],
        "ports": [{"name": "web", "containerPort": PORT}],
        "readinessProbe": {"httpGet": get, "periodSeconds": 1, "timeoutSeconds": 5},
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}},
        "volumeMounts": [{"name": "program", "mountPath": "/program"}],
    }
    pod = {
        "containers": [container],
        "volumes": [{"name": "program", "configMap": {"name": "server"}}],
        "terminationGracePeriodSeconds": 10,
        "automountServiceAccountToken": False,
    }
    template = {"metadata": {"labels": {"app": case.name}}, "spec": pod}
    spec = {"selector": {"matchLabels": {"app": case.name}}, "template": template}
    meta = {"name": case.name, "namespace": NAMESPACE}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def fail_of(case: Case) -> str:
    """The share of failures of the new copy, as its environment says it."""
    return f"{case.fault / 100:g}"


def called(case: Case) -> str:
    """The Service that callers call. Flagger keeps writing its own apex' selector, so it gets one beside that."""
    return f"{case.name}-front" if case.rule.flagger else case.name


def service(case: Case) -> Manifest:
    """The Service that callers call, and that is adopted; at Flagger's its pods are the primary's."""
    selector = {"app": f"{case.name}-primary" if case.rule.flagger else case.name}
    ports = [{"name": "http", "port": 80, "targetPort": PORT, "protocol": "TCP"}]
    meta = {"name": called(case), "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": selector, "ports": ports}}


def template(name: str, query: str, prometheus: str) -> Manifest:
    """One of Flagger's MetricTemplates."""
    meta = {"name": name, "namespace": NAMESPACE}
    spec = {"provider": {"type": "prometheus", "address": prometheus}, "query": query}
    return {"apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate", "metadata": meta, "spec": spec}


def canary(case: Case) -> Manifest:
    """A Canary as Flagger's tutorial for Gateway API has it, with a Service as parent of its route."""
    metrics = [
        {"name": name, "templateRef": {"name": name}, "thresholdRange": {"max": 1}, "interval": interval}
        for name, _, interval in METRICS
    ]
    analysis = {
        "interval": f"{case.rule.interval // 60}m" if case.rule.interval >= 60 else f"{case.rule.interval}s",
        "threshold": case.rule.threshold,
        "maxWeight": STEPS[-1],
        "stepWeight": STEPS[0],
        "metrics": metrics,
    }
    parent = {"group": "", "kind": "Service", "name": called(case)}
    spec = {
        "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": case.name},
        "service": {"port": 80, "targetPort": PORT, "portName": "http", "gatewayRefs": [parent]},
        "analysis": analysis,
    }
    meta = {"name": case.name, "namespace": NAMESPACE}
    return {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": meta, "spec": spec}
