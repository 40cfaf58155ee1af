"""The Link to another cluster and its credentials, as the version of Linkerd that reads them wants it (pure).

Fields by version are those of the definition in Linkerd's multicluster chart; numbers in it are text.
https://linkerd.io/2/reference/multicluster/
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from landbridge.linkerd.versions import LINKS, Version
from landbridge.model.linkerd import Door, Linkerd
from landbridge.model.service import Manifest

GROUP = "multicluster.linkerd.io"
EXPORTED = "mirror.linkerd.io/exported"
MIRRORED = "mirror.linkerd.io/mirrored-service"
CLUSTER = "mirror.linkerd.io/cluster-name"
SECRET_TYPE = "mirror.linkerd.io/remote-kubeconfig"  # noqa: S105 - a type, no secret

Selector = Mapping[str, Any]
LABELLED: Selector = {"matchLabels": {EXPORTED: "true"}}
ALL: Selector = {"matchExpressions": [{"key": MIRRORED, "operator": "DoesNotExist"}]}
"""Everything but mirrors: without the exception two clusters would mirror each other's mirrors for ever."""

STAY_BEHIND = (
    "argocd.argoproj.io/*",
    "external-dns.alpha.kubernetes.io/*",
    "kubectl.kubernetes.io/*",
    "kustomize.toolkit.fluxcd.io/*",
    "landbridge.dev/*",
    "meta.helm.sh/*",
    "prometheus.io/*",
    "service.beta.kubernetes.io/*",
)
"""Annotations that would make other controllers take the mirror for theirs (linkerd2#11358)."""
LABELS_STAY_BEHIND = (
    "app.kubernetes.io/managed-by",
    "argocd.argoproj.io/*",
    "helm.sh/*",
    "kustomize.toolkit.fluxcd.io/*",
)

PROBE_TIMEOUT, PROBE_FAILURES = "5s", "3"
"""Where the version has them: a gateway that swallows packets is noticed after 25 s and not after 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One direction: written where the callers are, it points to the cluster `there`.

    `here` is Linkerd where it is written, `door` the other's gateway, `kubeconfig` (a secret) reads the other's API.
    """

    here: Linkerd
    there: Linkerd
    cluster: str
    door: Door
    kubeconfig: str = field(repr=False, default="")
    selector: Selector = field(default_factory=lambda: dict(LABELLED))
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def secret(self) -> str:
        """The name of the credentials, the only one that the mirror controller may read."""
        return f"cluster-credentials-{self.cluster}"


def manifest(link: Link, version: Version) -> Manifest:
    """The Link of the newest version that is served here, with exactly the fields that version has."""
    api = newest(link.here, version)
    probe: dict[str, Any] = {
        "path": link.door.probe_path,
        "port": str(link.door.probe_port),
        "period": f"{link.door.period}s",
    }
    if version.probe_limits:
        probe |= {"timeout": PROBE_TIMEOUT, "failureThreshold": PROBE_FAILURES}
    spec: dict[str, Any] = {
        "targetClusterName": link.cluster,
        "targetClusterDomain": link.there.domain,
        "targetClusterLinkerdNamespace": link.there.namespace,
        "clusterCredentialsSecret": link.secret,
        "gatewayAddress": ",".join(link.door.addresses),
        "gatewayPort": str(link.door.port),
        "gatewayIdentity": link.door.identity,
        "probeSpec": probe,
        "selector": dict(link.selector),
        "remoteDiscoverySelector": {"matchLabels": {EXPORTED: "remote-discovery"}},
    }
    if version.federated and api != "v1alpha1":
        spec["federatedServiceSelector"] = {"matchLabels": {"mirror.linkerd.io/federated": "member"}}
    if version.excluded and api == "v1alpha3":
        spec |= {"excludedAnnotations": list(STAY_BEHIND), "excludedLabels": list(LABELS_STAY_BEHIND)}
    meta = {
        "name": link.cluster,
        "namespace": link.here.extension,
        "labels": dict(link.labels),
        "annotations": {"linkerd.io/created-by": "landbridge"},
    }
    return {"apiVersion": f"{GROUP}/{api}", "kind": "Link", "metadata": meta, "spec": spec}


def newest(here: Linkerd, version: Version) -> str:
    """The newest version of Link that both the control plane and the definition have.

    A writer of an older one would have the API server drop the newer fields.
    """
    order = ("v1alpha3", "v1alpha2", "v1alpha1")
    served = here.served.get(LINKS, ())
    return next((api for api in order[order.index(version.link) :] if api in served), version.link)


def secrets(link: Link) -> tuple[Manifest, Manifest]:
    """The credentials for the mirror controller, and for the control plane, which needs to know the domains as well.

    The control plane watches only for new and deleted ones: rotating in place reaches it after a restart at the latest.
    """
    about = {"multicluster.linkerd.io/cluster-name": link.cluster}
    domains = {
        "multicluster.linkerd.io/trust-domain": link.there.trust_domain,
        "multicluster.linkerd.io/cluster-domain": link.there.domain,
    }
    return (
        _secret(link, link.here.extension, dict(link.labels), {}),
        _secret(link, link.here.namespace, dict(link.labels) | about, domains),
    )


def _secret(link: Link, namespace: str, labels: dict[str, str], annotations: dict[str, str]) -> Manifest:
    meta: dict[str, Any] = {"name": link.secret, "namespace": namespace, "labels": labels}
    if annotations:
        meta["annotations"] = annotations
    data = {"kubeconfig": base64.b64encode(link.kubeconfig.encode()).decode()} if link.kubeconfig else {}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "type": SECRET_TYPE, "data": data}


def export_patch(exported: bool) -> dict[str, Any]:
    """The patch of a Service's metadata that exports it through the gateway, or takes that back."""
    return {"metadata": {"labels": {EXPORTED: "true" if exported else None}}}
