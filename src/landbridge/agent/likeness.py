"""What a mirror looks like: Linkerd's names and labels, and what our waypoints need to reach the other side.

Labels and annotations are the other cluster's, without those that other controllers act upon (pure).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from landbridge.agent import names
from landbridge.agent.links import Link
from landbridge.clients.kinds import SERVICE
from landbridge.model.exports import is_flat, matches
from landbridge.model.mirror import is_shortened, mirror_name
from landbridge.model.service import Manifest

RESOURCE_VERSION = "mirror.linkerd.io/remote-resource-version"
COPIED = names.PREFIX + "copied"
"""On a mirror: the keys that came from the other cluster, so that those that are gone there go here as well."""
NOT_COPIED = (
    "mirror.linkerd.io/",
    "multicluster.linkerd.io/",
    names.PREFIX,
    "kubectl.kubernetes.io/",
    "argocd.argoproj.io/",
    "meta.helm.sh/",
    "helm.sh/",
    "app.kubernetes.io/managed-by",
    "app.kubernetes.io/instance",
    "kustomize.toolkit.fluxcd.io/",
    "helm.toolkit.fluxcd.io/",
    "external-dns.alpha.kubernetes.io/",
    "service.beta.kubernetes.io/",
    "service.kubernetes.io/",
    "endpointslice.kubernetes.io/",
    "cloud.google.com/",
    "prometheus.io/",
)
"""Keys that other controllers act upon: copied, they would fight over the mirror (linkerd2#11358)."""
KEPT = ("name", "port", "protocol", "appProtocol")
OURS = frozenset(
    {
        names.EXPORTED,
        names.REMOTE_DISCOVERY,
        names.REMOTE_SERVICE,
        names.HEADLESS_MIRROR,
        names.REMOTE_IDENTITY,
        names.GATEWAYS,
        names.PROTOCOLS,
        names.FULL_NAME,
        COPIED,
    }
)
"""Keys that only a mirror's maker sets: they go when they are not wanted."""


def wanted_mirrors(
    link: Link, service: Manifest, hostnames: Sequence[str], have: Collection[Manifest] = ()
) -> list[Manifest]:
    """The mirrors of one exported Service: itself, and one for each pod that has a host name of its own."""
    was = any(names.is_headless(item) for item in have)
    flat = is_flat(service)
    headless = link.rules.headless and names.is_headless(service) and not flat and (bool(hostnames) or was)
    mirrors = [wanted_mirror(service, link, headless=headless)]
    if headless:
        mirrors += [wanted_mirror(service, link, hostname=name) for name in sorted(set(hostnames))]
    return mirrors


def wanted_mirror(service: Manifest, link: Link, *, headless: bool = False, hostname: str = "") -> Manifest:
    """The mirror of an exported Service, or of its pod `hostname`: its ports, no selector, and how to reach it."""
    meta = service["metadata"]
    whole = mirror_name(meta["name"], link.cluster)
    name = mirror_name(hostname, link.cluster) if hostname else whole
    path = ".".join(filter(None, (hostname, meta["name"], meta["namespace"])))
    rules = link.rules
    copied = {
        "labels": _copied(meta.get("labels"), rules.excluded_labels),
        "annotations": _copied(meta.get("annotations"), rules.excluded_annotations),
    }
    labels = copied["labels"] | {
        names.MIRRORED: "true",
        names.CLUSTER_NAME: link.cluster,
        names.MANAGED_BY: "landbridge",
        names.SKIP_MIRROR: "true",
    }
    annotations = copied["annotations"] | {
        names.REMOTE_NAME: f"{path}.svc.cluster.local",
        RESOURCE_VERSION: str(meta.get("resourceVersion") or ""),
    }
    if is_flat(service):
        labels |= {names.REMOTE_DISCOVERY: link.cluster, names.REMOTE_SERVICE: meta["name"]}
    else:
        annotations |= {names.REMOTE_IDENTITY: link.identity, names.GATEWAYS: json.dumps(list(link.gateways))}
    if hostname:
        labels[names.HEADLESS_MIRROR] = whole
    if is_shortened(hostname or meta["name"], link.cluster):
        annotations[names.FULL_NAME] = f"{hostname or meta['name']}-{link.cluster}"
    if stated := names.annotation(service, names.PROTOCOLS):
        annotations[names.PROTOCOLS] = stated
    if taken := {part: sorted(pairs) for part, pairs in copied.items() if pairs}:
        annotations[COPIED] = json.dumps(taken, sort_keys=True)
    ports = [{key: port[key] for key in KEPT if key in port} for port in link.exports.ports(service)]
    spec: dict[str, Any] = {"ports": [{"protocol": "TCP", **port, "targetPort": port["port"]} for port in ports]}
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": {"name": name, "namespace": meta["namespace"], "labels": labels, "annotations": annotations},
        "spec": spec | ({"clusterIP": "None"} if headless else {}),
    }


def is_own(service: Manifest, cluster: str) -> bool:
    """Whether a Service is a mirror that we made for this cluster."""
    return names.is_mirror(service) and names.label(service, names.CLUSTER_NAME) == cluster


def unit_of(mirror: Manifest) -> tuple[str, str]:
    """The Service of the other cluster that a mirror stands for, or for one of whose pods it does."""
    namespace, service = names.remote_service(mirror)
    return namespace, service.rpartition(".")[2]


def _copied(pairs: Mapping[str, str] | None, excluded: Sequence[str]) -> dict[str, str]:
    kept = {key: value for key, value in (pairs or {}).items() if not key.startswith(NOT_COPIED)}
    return {key: value for key, value in kept.items() if not matches(key, excluded)}
