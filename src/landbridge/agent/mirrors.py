"""Which mirror Services stand here for the exported Services of another cluster (pure).

Only what carries our mark and the other cluster's name is ever written or deleted; a user's Service that has a
mirror's name is left alone (linkerd.md 5, A19), and a mirror that a split still sends traffic to is not deleted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from landbridge.agent import endpoints, names
from landbridge.agent.links import Link
from landbridge.clients.kubernetes import SERVICE
from landbridge.model.service import Manifest

LONGEST = 63
RESOURCE_VERSION = "mirror.linkerd.io/remote-resource-version"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """A mirror to make or to bring up to date."""

    manifest: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """A mirror whose Service is no longer exported."""

    namespace: str
    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """An exported Service that gets no mirror, and why."""

    namespace: str
    name: str
    reason: str


Change = Apply | Delete | Skip


def plan(
    link: Link,
    remote: Iterable[Manifest],
    local: Mapping[tuple[str, str], Manifest],
    *,
    namespaces: Collection[str],
    in_use: Collection[tuple[str, str]],
) -> list[Change]:
    """All changes that make the mirrors of one link right; nothing when they are.

    `remote` are the other cluster's exported Services, `local` all Services here by (namespace, name), `namespaces`
    those that exist here, `in_use` the (namespace, backend) pairs that some split gives a weight above 0.
    """
    changes: list[Change] = []
    wanted: set[tuple[str, str]] = set()
    for service in sorted(remote, key=lambda item: (item["metadata"]["namespace"], item["metadata"]["name"])):
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        mirror = names.mirror_name(name, link.cluster)
        have = local.get((namespace, mirror))
        if reason := _refused(service, mirror, namespace, namespaces, have, link.cluster):
            changes.append(Skip(namespace=namespace, name=mirror, reason=reason))
            continue
        wanted.add((namespace, mirror))
        manifest = wanted_mirror(service, link)
        if have is None or not _same(have, manifest):
            changes.append(Apply(manifest=manifest))
    for key, service in sorted(local.items()):
        if is_own(service, link.cluster) and key not in wanted:
            changes.append(_farewell(service, key, in_use))
    return changes


def wanted_mirror(service: Manifest, link: Link) -> Manifest:
    """The mirror Service of one exported Service: its ports, no selector, and how to reach it in its annotations."""
    meta = service["metadata"]
    labels = _copied(meta.get("labels")) | {
        names.MIRRORED: "true",
        names.CLUSTER_NAME: link.cluster,
        names.MANAGED_BY: "landbridge",
        names.SKIP_MIRROR: "true",
    }
    annotations = _copied(meta.get("annotations")) | {
        names.REMOTE_NAME: f"{meta['name']}.{meta['namespace']}.svc.cluster.local",
        RESOURCE_VERSION: str(meta.get("resourceVersion") or ""),
        names.REMOTE_IDENTITY: link.identity,
        names.GATEWAYS: json.dumps(list(link.gateways)),
    }
    if stated := names.annotation(service, names.PROTOCOLS):
        annotations[names.PROTOCOLS] = stated
    kept = ("name", "port", "protocol", "appProtocol")
    ports = [{key: port[key] for key in kept if key in port} for port in endpoints.ports_of(service)]
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": {
            "name": names.mirror_name(meta["name"], link.cluster),
            "namespace": meta["namespace"],
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {"ports": [{"protocol": "TCP", **port, "targetPort": port["port"]} for port in ports]},
    }


def is_own(service: Manifest, cluster: str) -> bool:
    """Whether a Service is a mirror that we made for this cluster."""
    return (
        names.label(service, names.MIRRORED) == "true"
        and names.label(service, names.CLUSTER_NAME) == cluster
        and names.label(service, names.MANAGED_BY) == "landbridge"
    )


def _refused(
    service: Manifest, mirror: str, namespace: str, namespaces: Collection[str], have: Manifest | None, cluster: str
) -> str:
    spec = service.get("spec") or {}
    if namespace not in namespaces:
        return "the namespace does not exist here, or does not move"
    if len(mirror) > LONGEST:
        return f"the name has {len(mirror)} characters, {LONGEST} are allowed"
    if spec.get("type") == "ExternalName" or spec.get("clusterIP") == "None":
        return "headless and ExternalName Services are not mirrored"
    if not spec.get("ports"):
        return "it has no ports"
    if have is not None and not is_own(have, cluster):
        return "a Service of that name is not ours"
    return ""


def _farewell(service: Manifest, key: tuple[str, str], in_use: Collection[tuple[str, str]]) -> Change:
    if key in in_use:
        return Skip(namespace=key[0], name=key[1], reason="no longer exported, but a split still sends traffic there")
    return Delete(namespace=key[0], name=key[1], version=service["metadata"]["resourceVersion"])


def _same(have: Manifest, want: Manifest) -> bool:
    for part in ("labels", "annotations"):
        present = have["metadata"].get(part) or {}
        if any(present.get(key) != value for key, value in want["metadata"][part].items()):
            return False
    if (have.get("spec") or {}).get("selector"):
        return False
    return _ports(have) == _ports(want)


def _ports(service: Manifest) -> list[tuple[str, ...]]:
    keys = ("name", "port", "protocol", "appProtocol", "targetPort")
    return sorted(tuple(str(port.get(key) or "") for key in keys) for port in endpoints.ports_of(service))


def _copied(pairs: Mapping[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (pairs or {}).items() if not key.startswith(NOT_COPIED)}
