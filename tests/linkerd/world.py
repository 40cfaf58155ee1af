"""What is read of a cluster with Linkerd, as plain objects: the same ones that an API server gives back."""

from __future__ import annotations

from typing import Any

import yaml

from landbridge.linkerd.found import Read, find
from landbridge.model.linkerd import Linkerd
from landbridge.model.service import Manifest
from tests.linkerd.definitions import definitions

EXTENSION = "linkerd-multicluster"
SAYS = {14: "stable-2.14.10", 15: "edge-24.3.1"} | {minor: f"version-2.{minor}" for minor in (16, 17, 18, 19, 20)}
IDENTITY = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
ANCHOR = "-----BEGIN CERTIFICATE-----\nMIIBUpon\nTrust\n-----END CERTIFICATE-----\n"


def named(api_version: str, kind: str, name: str, namespace: str = "", **more: Any) -> Manifest:
    meta: dict[str, Any] = {"name": name} | ({"namespace": namespace} if namespace else {})
    for key in ("labels", "annotations"):
        if key in more:
            meta[key] = more.pop(key)
    return {"apiVersion": api_version, "kind": kind, "metadata": meta, **more}


def config(minor: int, *, anchor: str = ANCHOR) -> Manifest:
    values = {"linkerdVersion": SAYS[minor], "clusterDomain": "cluster.local", "identityTrustAnchorsPEM": anchor}
    return named("v1", "ConfigMap", "linkerd-config", "linkerd", data={"values": yaml.safe_dump(values)})


def namespace(name: str, *, inject: str = "", extension: str = "") -> Manifest:
    notes = {"linkerd.io/inject": inject} if inject else {}
    labels = {"linkerd.io/extension": extension} if extension else {}
    return named("v1", "Namespace", name, annotations=notes, labels=labels)


def deployment(name: str, place: str) -> Manifest:
    pod = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
    return named(
        "apps/v1", "Deployment", name, place, spec={"selector": {"matchLabels": {"app": name}}, "template": pod}
    )


def ready(item: Manifest) -> Manifest:
    return item | {"status": {"availableReplicas": 1, "readyReplicas": 1, "replicas": 1, "updatedReplicas": 1}}


def door() -> Manifest:
    notes = {"gateway-identity": IDENTITY, "probe-period": "3", "probe-path": "/ready", "multicluster-gateway": "true"}
    ports = [{"name": "mc-gateway", "port": 4143}, {"name": "mc-probe", "port": 4191}]
    return named(
        "v1", "Service", "linkerd-gateway", EXTENSION,
        annotations={f"mirror.linkerd.io/{key}": value for key, value in notes.items()},
        spec={"type": "LoadBalancer", "selector": {"app": "linkerd-gateway"}, "ports": ports},
    )  # fmt: skip


def open_door(*addresses: str) -> Manifest:
    return door() | {"status": {"loadBalancer": {"ingress": [{"ip": address} for address in addresses]}}}


def controller(minor: int, other: str) -> Manifest:
    return deployment(f"{'controller-' if minor >= 18 else 'linkerd-service-mirror-'}{other}", EXTENSION)


def read(minor: int, *, other: str = "eks", gateway_api: bool = True, smi: bool = True, adaptor: bool = True) -> Read:
    deployments = [ready(controller(minor, other))]
    if adaptor:
        deployments.append(ready(deployment("smi-adaptor", "linkerd-smi")))
    return Read(
        config=config(minor),
        definitions=tuple(definitions(minor, gateway_api=gateway_api, smi=smi)),
        deployments=tuple(deployments),
        services=(open_door("192.0.2.7"),),
        namespaces=(
            namespace("shop", inject="enabled"),
            namespace("plain"),
            namespace(EXTENSION, extension="multicluster"),
        ),
    )


def linkerd(minor: int, **has: Any) -> Linkerd:
    found = find(read(minor, **has))
    assert found is not None
    return found
