"""All objects that joining makes in one cluster, Secrets' contents apart (pure): what `connect --dry-run` prints."""

from __future__ import annotations

from typing import Any

from landbridge.connect import crds, names, pods, roles
from landbridge.connect.options import Options
from landbridge.model.service import Manifest


def manifests(cluster: str, other: str, options: Options, *, own_split: bool = True) -> list[Manifest]:
    """The objects for one cluster, in the order to apply them; `own_split`: the TrafficSplit definition is ours."""
    found = [_namespace(), _priority()]
    if own_split:
        found.append(crds.trafficsplit())
    found += [_account(names.GATEWAY, names.HOME), _account(names.LINK, names.HOME)]
    found += roles.for_link() + roles.for_gateway(other, options)
    found += gateway(cluster, other, options)
    for namespace in options.namespaces:
        found.append(_account(names.WAYPOINT, namespace))
        found += roles.for_waypoint(namespace, enforce=options.enforce)
        found += waypoint(cluster, namespace, options)
    return found


def gateway(cluster: str, other: str, options: Options) -> list[Manifest]:
    """The cluster's door: pods, their disruption budget, and the LoadBalancer Service."""
    replicas = options.gateway_pods
    pod = pods.deployment(
        "gateway",
        name=names.GATEWAY,
        namespace=names.HOME,
        cluster=cluster,
        replicas=replicas,
        options=options,
        link=other,
    )
    return [_gateway_service(options), _budget(names.GATEWAY, names.HOME, "gateway"), pod]


def waypoint(cluster: str, namespace: str, options: Options) -> list[Manifest]:
    """One namespace's waypoint: pods, their disruption budget, and the Service that says whose header it takes."""
    replicas = options.waypoint_pods
    pod = pods.deployment(
        "waypoint", name=names.WAYPOINT, namespace=namespace, cluster=cluster, replicas=replicas, options=options
    )
    return [_trusted(namespace), _budget(names.WAYPOINT, namespace, "waypoint"), pod]


def link_token() -> Manifest:
    """The Secret in which the control plane puts the token that the other cluster's agent reads us with."""
    manifest = _object("v1", "Secret", f"{names.LINK}-token", names.HOME)
    manifest["metadata"]["annotations"] = {"kubernetes.io/service-account.name": names.LINK}
    return manifest | {"type": "kubernetes.io/service-account-token"}


def secret(name: str, namespace: str, data: dict[str, str], *, kind: str = "Opaque") -> Manifest:
    """A Secret of ours; `data` is base64."""
    return _object("v1", "Secret", name, namespace) | {"type": kind, "data": data}


def record(name: str, namespace: str, data: dict[str, str]) -> Manifest:
    """A ConfigMap of ours."""
    return _object("v1", "ConfigMap", name, namespace) | {"data": data}


def _object(api_version: str, kind: str, name: str, namespace: str = "") -> Manifest:
    meta: dict[str, Any] = {"name": name, "labels": names.labels()}
    if namespace:
        meta["namespace"] = namespace
    return {"apiVersion": api_version, "kind": kind, "metadata": meta}


def _namespace() -> Manifest:
    manifest = _object("v1", "Namespace", names.HOME)
    manifest["metadata"]["labels"] |= {"pod-security.kubernetes.io/enforce": "restricted"}
    return manifest


def _priority() -> Manifest:
    """Above every workload that says nothing, below the system's own: a waypoint is in many services' path."""
    return _object("scheduling.k8s.io/v1", "PriorityClass", names.PRIORITY) | {
        "value": 1_000_000,
        "globalDefault": False,
        "description": "landbridge's waypoints and gateways, which carry the traffic of other pods",
    }


def _account(name: str, namespace: str) -> Manifest:
    return _object("v1", "ServiceAccount", name, namespace)


def _budget(name: str, namespace: str, role: str) -> Manifest:
    return _object("policy/v1", "PodDisruptionBudget", name, namespace) | {
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {names.ROLE: role, "app.kubernetes.io/name": name}},
        }
    }


def _trusted(namespace: str) -> Manifest:
    """Its slices name the pods that carry the label: the agent reads slices anyhow, and needs no right on pods."""
    return _object("v1", "Service", names.TRUSTED, namespace) | {
        "spec": {
            "clusterIP": "None",
            "selector": {names.TRUSTED_LABEL: "true"},
            "publishNotReadyAddresses": True,
        }
    }


def _gateway_service(options: Options) -> Manifest:
    manifest = _object("v1", "Service", names.GATEWAY, names.HOME)
    manifest["metadata"]["annotations"] = dict(options.service_annotations)
    number = {"nodePort": options.node_port} if options.node_port else {}
    spec: dict[str, Any] = {
        "type": "LoadBalancer" if options.node_port is None else "NodePort",
        "selector": {names.ROLE: "gateway", "app.kubernetes.io/name": names.GATEWAY},
        "ports": [
            {"name": "tls", "port": names.GATEWAY_PORT, "targetPort": names.GATEWAY_PORT, "protocol": "TCP"} | number
        ],
    }
    if options.load_balancer_class:
        spec["loadBalancerClass"] = options.load_balancer_class
    return manifest | {"spec": spec}
