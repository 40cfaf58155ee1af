"""Who else writes an object: Helm, GitOps, autoscalers, operators, people (pure).

Read from what they leave behind: managedFields, labels and annotations, ownerReferences, scale targets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from landbridge.model.inventory import Owner
from landbridge.model.manifest import NONE, annotations_of, kind_of, labels_of, namespace_of, subject
from landbridge.model.service import Manifest, ObjectRef

_KUBERNETES = (
    "kube-controller-manager",
    "kube-scheduler",
    "kube-apiserver",
    "kubelet",
    "kube-proxy",
    "cloud-controller-manager",
    "landbridge",
    "Go-http-client",
)
_MANAGERS = {"argocd": "argocd", "kustomize-controller": "flux", "helm-controller": "flux", "helm": "helm"}
_FLUX = {f"{controller}.toolkit.fluxcd.io/name": controller for controller in ("kustomize", "helm")}
_NOTES = frozenset({"meta.helm.sh/release-name", "argocd.argoproj.io/tracking-id"})
_LABELS = frozenset({"app.kubernetes.io/managed-by", "kapp.k14s.io/app", *_FLUX})
"""What `_signs` looks at: most objects have none of it."""
_WRITERS = frozenset({"Service", "Deployment", "StatefulSet", "DaemonSet", "CronJob", "Ingress", "ConfigMap", "Secret"})
_WRITERS |= {"HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Namespace", "ServiceAccount"}


def owners_of(item: Manifest) -> Iterator[Owner]:
    """One entry for each other writer of an object, and for the target of an autoscaler."""
    kind = kind_of(item)
    notes, marks = annotations_of(item), labels_of(item)
    signed = not (_NOTES.isdisjoint(notes) and _LABELS.isdisjoint(marks))
    signs = dict(_signs(notes, marks)) if signed else {}
    if kind in _WRITERS:
        for manager in _managers(item):
            signs.setdefault(*manager)
    if signs:
        ref = ObjectRef.of(item)
        for by, evidence in signs.items():
            yield Owner(ref=ref, by=by, evidence=evidence)
    if kind in {"HorizontalPodAutoscaler", "ScaledObject"}:
        yield from _scaled(item)


def _signs(notes: Mapping[str, str], marks: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if "meta.helm.sh/release-name" in notes:
        yield "helm", f"release {notes['meta.helm.sh/release-name']}"
    elif marks.get("app.kubernetes.io/managed-by") == "Helm":
        yield "helm", "label app.kubernetes.io/managed-by"
    if "argocd.argoproj.io/tracking-id" in notes:
        yield "argocd", f"application {notes['argocd.argoproj.io/tracking-id'].partition(':')[0]}"
    for label, controller in _FLUX.items():
        if name := marks.get(label):
            yield "flux", f"{controller} {name}"
    if "kapp.k14s.io/app" in marks:
        yield "kapp", "label kapp.k14s.io/app"


def _managers(item: Manifest) -> Iterator[tuple[str, str]]:
    """The field managers that are neither Kubernetes' own nor ours, with the last time they wrote."""
    for entry in item["metadata"].get("managedFields") or ():
        manager = entry.get("manager") or ""
        by = _writer(manager)
        if by is not None and entry.get("subresource") != "status":
            yield by, f"field manager {manager}, {entry.get('time') or 'time unknown'}"


@lru_cache(maxsize=4096)
def _writer(manager: str) -> str | None:
    """Who a field manager is; None for Kubernetes itself and for us."""
    if manager.startswith(_KUBERNETES):
        return None
    return next((name for start, name in _MANAGERS.items() if manager.startswith(start)), manager)


def _scaled(item: Manifest) -> Iterator[Owner]:
    """An autoscaler writes the replicas of its target."""
    target = (item.get("spec") or NONE).get("scaleTargetRef") or NONE
    if target.get("name"):
        by = "hpa" if item["kind"] == "HorizontalPodAutoscaler" else "keda"
        kind, version = target.get("kind") or "Deployment", target.get("apiVersion") or "apps/v1"
        ref = ObjectRef(version, kind, namespace_of(item), target["name"])
        yield Owner(ref=ref, by=by, evidence=f"replicas, by {subject(item)}")
